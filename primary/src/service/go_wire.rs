//! What receivers of the reference pull.

use std::sync::Arc;

use shared::node::permission::Action;
use shared::node::{Error, Node, Principal};
use shared::store;
use shared::store::grain::GrainRow;
use shared::wire::Id;

use super::offer::open_slice;
use super::reader::Reader;
use super::stream::{Chunks, one_chunk, spawn};

/// Rows looked at for one chunk.
const PAGE_ROWS: i64 = 500;

/// The reference's wire: all grains of the published version as one JSON array, `null` if there are none.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NoAccessToSlice`], [`Error::PublisherEditing`].
pub async fn grains(node: Arc<Node>, who: &Principal, id: Id, brief: bool) -> Result<Chunks, Error> {
    let scope = node.permit(who, Action::ReadFeed)?;
    let asked = Arc::clone(&node);
    let slice = node.store.read(move |conn| open_slice(conn, &asked, scope, id)).await?;
    let version = slice.current_version;
    let mut reader = Reader::of(&node, id, version).await?;
    Ok(spawn(move |out| async move {
        let mut cursor = None;
        let mut before = "[";
        loop {
            let page = read_page(&mut reader, id, version, cursor, !brief).await?;
            let Some((last, _payload)) = page.last() else { break };
            cursor = Some(last.id);
            let mut text = String::new();
            for (row, payload) in page {
                text.push_str(before);
                before = ",";
                let grain = shared::node::service::grain::to_wire(row, payload);
                text.push_str(
                    &serde_json::to_string(&grain).map_err(|error| Error::Internal(error.to_string()))?,
                );
            }
            out.send(text).await?;
        }
        out.send(if before == "[" { "null\n".to_owned() } else { "]\n".to_owned() }).await
    }))
}

async fn read_page(
    reader: &mut Reader,
    id: Id,
    version: i64,
    cursor: Option<Id>,
    with_payload: bool,
) -> Result<Vec<(GrainRow, Option<String>)>, Error> {
    reader
        .read(move |conn| {
            let rows = store::grain::page(conn, id, version, cursor, PAGE_ROWS)?;
            if !with_payload {
                return Ok(rows.into_iter().map(|row| (row, Some(String::new()))).collect());
            }
            let rows = store::payload::of_rows(conn, one_chunk(rows))?;
            Ok(rows.into_iter().map(|(row, payload)| (row, Some(payload))).collect())
        })
        .await
}
