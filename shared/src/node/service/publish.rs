//! Publishing: a draft becomes the next version in one transaction, so readers see the old one or the new one.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;

use super::version::{content_hashes, measure};
use super::{publish_changes, publish_file};
use crate::failpoint::{Failpoint, reach};
use crate::node::body::no_nul;
use crate::node::permission::Action;
use crate::node::{Error, Node, Principal};
use crate::store::slice::SliceRow;
use crate::store::version::VersionRow;
use crate::store::{self, Connection};
use crate::wire::publication::{ChangeCounts, NDJSON, PublishQuery};
use crate::wire::{Id, Timestamp};

/// What publishing did.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Published {
    /// The slice.
    pub slice_id: Id,
    /// Its name.
    pub slice_name: String,
    /// Number of the version that is the published one now.
    pub version: i64,
    /// Whether that is a new version; `false`: nothing was to publish.
    pub changed: bool,
    /// Grains in it.
    pub content_count: i64,
    /// SHA-1 over ids and metadata, in hex.
    pub content_hash: String,
}

/// What `publish` answers.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Publication {
    /// The published version.
    #[serde(flatten)]
    pub published: Published,
    /// Of a set of changes: what it came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangeCounts>,
}

/// `POST /v1/slices/:id/publish`: publishes a file or a set of changes, in one step for everybody who reads.
///
/// # Errors
/// [`Error::BadRequest`], [`Error::Forbidden`], [`Error::WrongServerRole`], [`Error::NotFound`], [`Error::Locked`],
/// [`Error::Conflict`] while a draft is open.
pub async fn publish(
    node: Arc<Node>,
    who: Principal,
    id: Id,
    query: PublishQuery,
    is_changes: bool,
    content: impl Stream<Item = io::Result<Bytes>> + Send + Unpin,
) -> Result<Publication, Error> {
    node.permit(&who, Action::PublishSlice)?;
    let by = who.username;
    if is_changes {
        let (published, counts) = publish_changes::changes(&node, &by, id, query.mode, content).await?;
        return Ok(Publication { published, changes: Some(counts) });
    }
    let source = query.source.filter(|source| !source.trim().is_empty());
    let source = source.ok_or_else(|| {
        Error::BadRequest(format!(
            "what is the file called? Add ?source=NAME; a set of changes has Content-Type: {NDJSON}"
        ))
    })?;
    no_nul("source", &source)?;
    let published = publish_file::file(&node, &by, id, source, content).await?;
    Ok(Publication { published, changes: None })
}

/// `POST /v1/slices/refresh/:id`: publishes the draft.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::WrongServerRole`], [`Error::NotFound`], [`Error::Locked`].
pub async fn refresh(node: &Node, who: &Principal, id: Id) -> Result<Published, Error> {
    node.permit(who, Action::PublishSlice)?;
    let (now, who) = (node.clock.now(), who.username.clone());
    let published = node
        .store
        .write(move |conn| {
            let slice = super::slice::editable(conn, id, &who, now)?;
            seal_draft(conn, &slice, now)
        })
        .await?;
    reach(Failpoint::PublishCommitted);
    Ok(published)
}

/// The row of the version that the draft would be; `None` if it changes nothing.
///
/// # Errors
/// What the store reports.
pub(super) fn next_version(
    conn: &mut Connection,
    base: &VersionRow,
    now: Timestamp,
) -> Result<Option<VersionRow>, Error> {
    let measured = measure(conn, base)?;
    if !measured.changed && base.content_date.is_some() {
        return Ok(None);
    }
    reach(Failpoint::PublishMeasured);
    let version = base.version + 1;
    let (ids_hash, content_hash) = content_hashes(conn, base.slice_id, version)?;
    Ok(Some(VersionRow {
        slice_id: base.slice_id,
        version,
        grain_count: measured.grain_count,
        payload_bytes: measured.payload_bytes,
        content_hash,
        ids_hash,
        digest: measured.set_hash.digest().to_vec(),
        set_hash: measured.set_hash.to_bytes(),
        content_date: Some(now),
        source_epoch: None,
        source_version: None,
        created_at: now,
    }))
}

/// Makes the draft the published version, unless it changes nothing.
pub(super) fn seal_draft(
    conn: &mut Connection,
    slice: &SliceRow,
    now: Timestamp,
) -> Result<Published, Error> {
    let base = store::version::find(conn, slice.id, slice.current_version)?.ok_or_else(|| {
        Error::Internal(format!("slice {} has no version {}", slice.id, slice.current_version))
    })?;
    let Some(row) = next_version(conn, &base, now)? else {
        return Ok(Published::of(slice, &base, false));
    };
    store::version::insert(conn, &row)?;
    if !store::slice::switch(conn, slice.id, base.version, row.version, now)? {
        return Err(Error::Conflict("the slice was published meanwhile: try again".to_owned()));
    }
    Ok(Published::of(slice, &row, true))
}

impl Published {
    /// What is answered when `row` is the published version.
    pub(super) fn of(slice: &SliceRow, row: &VersionRow, changed: bool) -> Self {
        Self {
            slice_id: slice.id,
            slice_name: slice.name.clone(),
            version: row.version,
            changed,
            content_count: row.grain_count,
            content_hash: row.content_hash.clone(),
        }
    }
}

/// Refuses a run that needs an empty draft.
///
/// # Errors
/// [`Error::Conflict`]; what the store reports.
pub(super) fn refuse_open_draft(conn: &mut Connection, slice: &SliceRow) -> Result<(), Error> {
    let base = store::version::find(conn, slice.id, slice.current_version)?;
    let open = match &base {
        // Metadata given at create waits for the first publication: not an edit in progress.
        Some(base) if base.content_date.is_none() => measure(conn, base)?.grain_count > 0,
        Some(base) => measure(conn, base)?.changed,
        None => false,
    };
    if open {
        return Err(Error::Conflict(
            "the slice has unpublished changes: publish them first (POST /v1/slices/refresh/:id)".to_owned(),
        ));
    }
    Ok(())
}
