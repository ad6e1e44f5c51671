//! Publishing: a draft becomes the next version in one transaction, so readers see the old one or the new one.

use sha2::{Digest as _, Sha256};

use super::version::{content_hashes, measure};
use crate::clock::Random;
use crate::crypto::set_hash::grain_digest;
use crate::failpoint::{Failpoint, reach};
use crate::node::permission::Action;
use crate::node::{Error, Node, Principal};
use crate::payload::Encoding;
use crate::store::grain::{GrainRow, NewGrain};
use crate::store::slice::SliceRow;
use crate::store::version::VersionRow;
use crate::store::{self, Connection};
use crate::wire::grain::LEVEL_1;
use crate::wire::server::ServerRole;
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

/// Makes the draft the published version, unless it changes nothing.
fn seal_draft(conn: &mut Connection, slice: &SliceRow, now: Timestamp) -> Result<Published, Error> {
    let base = store::version::find(conn, slice.id, slice.current_version)?.ok_or_else(|| {
        Error::Internal(format!("slice {} has no version {}", slice.id, slice.current_version))
    })?;
    let measured = measure(conn, &base)?;
    let published = |version: i64, changed: bool, count: i64, hash: String| Published {
        slice_id: slice.id,
        slice_name: slice.name.clone(),
        version,
        changed,
        content_count: count,
        content_hash: hash,
    };
    if !measured.changed && base.content_date.is_some() {
        return Ok(published(base.version, false, base.grain_count, base.content_hash));
    }
    reach(Failpoint::PublishMeasured);
    let version = base.version + 1;
    let (ids_hash, content_hash) = content_hashes(conn, slice.id, version)?;
    let row = VersionRow {
        slice_id: slice.id,
        version,
        grain_count: measured.grain_count,
        payload_bytes: measured.payload_bytes,
        content_hash: content_hash.clone(),
        ids_hash,
        digest: measured.set_hash.digest().to_vec(),
        set_hash: measured.set_hash.to_bytes(),
        content_date: Some(now),
        source_epoch: None,
        source_version: None,
        created_at: now,
    };
    store::version::insert(conn, &row)?;
    if !store::slice::switch(conn, slice.id, base.version, version, now)? {
        return Err(Error::Conflict("the slice was published meanwhile: try again".to_owned()));
    }
    Ok(published(version, true, measured.grain_count, content_hash))
}

/// Publishes a file as the slice's whole content: one `level-1` grain, encoded z64, in one step. The same bytes under
/// the same name change nothing.
///
/// # Errors
/// [`Error::WrongServerRole`], [`Error::NotFound`], [`Error::Locked`], [`Error::Conflict`] while a draft is open.
pub async fn file(
    node: &Node,
    by: &str,
    slice_id: Id,
    source: String,
    bytes: Vec<u8>,
) -> Result<Published, Error> {
    node.require_role(ServerRole::Primary)?;
    let (random, now, by) = (node.random.clone(), node.clock.now(), by.to_owned());
    let content = Sha256::digest(&bytes);
    // Compressing a large file takes seconds: not inside the transaction.
    let payload = tokio::task::spawn_blocking(move || Encoding::Z64.encode(&bytes))
        .await
        .map_err(|error| Error::Internal(error.to_string()))?
        .map_err(|error| Error::BadRequest(error.to_string()))?;
    super::grain::require_fits(&payload)?;
    node.store
        .write(move |conn| {
            let slice = super::slice::editable(conn, slice_id, &by, now)?;
            refuse_open_draft(conn, &slice)?;
            let draft = slice.current_version + 1;
            if let Some(only) = only_file(conn, &slice)?
                && only.source == source
                && same_content(conn, &only, &content)?
            {
                return seal_draft(conn, &slice, now);
            }
            remove_all(conn, &slice, draft)?;
            let new = level_1(&slice, source, payload, draft, &random, now);
            store::grain::insert(conn, &[new])?;
            seal_draft(conn, &slice, now)
        })
        .await
}

/// The slice's one grain, if it is a whole file.
fn only_file(conn: &mut Connection, slice: &SliceRow) -> Result<Option<GrainRow>, Error> {
    let mut first = store::grain::page(conn, slice.id, slice.current_version, None, 2)?;
    let only = if first.len() == 1 { first.pop() } else { None };
    Ok(only.filter(|row| row.grain_key == LEVEL_1))
}

/// Empties the draft. (Before the first publication it may hold grains of its own.)
fn remove_all(conn: &mut Connection, slice: &SliceRow, draft: i64) -> Result<(), Error> {
    let mut after = None;
    loop {
        let page = store::grain::index_page(conn, slice.id, draft, after, 5_000)?;
        let Some((last, _digest)) = page.last() else { return Ok(()) };
        after = Some(*last);
        let gone: Vec<Id> = page.into_iter().map(|(id, _digest)| id).collect();
        store::grain::remove(conn, slice.id, draft, &gone)?;
    }
}

fn level_1(
    slice: &SliceRow,
    source: String,
    payload: String,
    draft: i64,
    random: &Random,
    now: Timestamp,
) -> NewGrain {
    let id = random.id();
    let encoding = Encoding::Z64.as_str();
    NewGrain {
        slice_id: slice.id,
        id,
        grain_key: LEVEL_1.to_owned(),
        digest: grain_digest(id, LEVEL_1, encoding, &source, &payload).to_vec(),
        source,
        encoding: encoding.to_owned(),
        payload,
        added_in: draft,
        created_at: now,
    }
}

/// Compares decoded bytes: another compressor's text of the same file is the same file.
fn same_content(conn: &mut Connection, row: &GrainRow, content: &[u8]) -> Result<bool, Error> {
    let Ok(encoding) = row.encoding.parse::<Encoding>() else { return Ok(false) };
    let text = store::payload::of_row(conn, row)?;
    let limit = u64::try_from(text.len()).unwrap_or(u64::MAX).saturating_mul(2000);
    Ok(encoding.decode(&text, limit).is_ok_and(|bytes| Sha256::digest(&bytes).as_slice() == content))
}

pub(super) fn refuse_open_draft(conn: &mut Connection, slice: &SliceRow) -> Result<(), Error> {
    let base = store::version::find(conn, slice.id, slice.current_version)?;
    let open = match &base {
        // Metadata given at create waits for the first publication: not an edit in progress.
        Some(base) if base.content_date.is_none() => false,
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
