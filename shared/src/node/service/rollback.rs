//! Publishing an earlier version anew: its grains come back into the draft, which is held meanwhile.

use std::sync::Arc;

use super::held_draft::{HeldDraft, Purpose};
use super::history::{OneSided, published_version};
use super::publish::Published;
use super::version::measure;
use crate::node::permission::Action;
use crate::node::{Error, Node, Principal};
use crate::store;
use crate::store::grain::GrainRow;
use crate::store::version::VersionRow;
use crate::wire::Id;
use crate::wire::history::Rollback;
use crate::wire::server::ServerRole;

/// Rows written in one transaction.
const BATCH_ROWS: i64 = 500;
/// Payload copied in one transaction, unless a single grain is larger.
const BATCH_BYTES: i64 = 1024 * 1024;

/// `POST /v1/slices/:id/rollback`: publishes a version's content anew. It goes on if the caller hangs up.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Forbidden`], [`Error::WrongServerRole`]; as [`rollback_as`].
pub async fn rollback(
    node: Arc<Node>,
    who: &Principal,
    slice_id: Id,
    body: &Rollback,
) -> Result<Published, Error> {
    let missing = || Error::Invalid(vec!["Version is required, but was not received".to_owned()]);
    let version = body.version.ok_or_else(missing)?;
    node.permit(who, Action::PublishSlice)?;
    let by = who.username.clone();
    tokio::spawn(async move { rollback_as(&node, &by, slice_id, version).await })
        .await
        .map_err(|error| Error::Internal(error.to_string()))?
}

/// The same in the name of `by`; used by the command line too.
///
/// # Errors
/// [`Error::WrongServerRole`], [`Error::NotFound`], [`Error::Locked`] by somebody else or another rollback,
/// [`Error::Conflict`] while a draft is open, and for a grain that lives in another slice now.
pub async fn rollback_as(node: &Node, by: &str, slice_id: Id, version: i64) -> Result<Published, Error> {
    node.require_role(ServerRole::Primary)?;
    let draft = HeldDraft::take(node, by, slice_id, Purpose::Rollback(version)).await?;
    let target = node.store.read(move |conn| published_version(conn, slice_id, version)).await?;
    let run = Run { draft, target };
    let result = run.fill_and_seal().await;
    if result.is_err()
        && let Err(error) = run.draft.give_back().await
    {
        // Its row stands there still: the next run does it.
        tracing::warn!(slice = %slice_id, %error, "undoing a rollback failed");
    }
    result
}

/// One rollback under way.
struct Run<'a> {
    draft: HeldDraft<'a>,
    /// The version to come back.
    target: VersionRow,
}

impl Run<'_> {
    async fn fill_and_seal(&self) -> Result<Published, Error> {
        // Equal digests mean equal content, payloads included.
        if self.target.digest == self.draft.base.digest {
            self.draft.give_back().await?;
            return Ok(self.draft.published(&self.draft.base, false));
        }
        // Removals first: what comes back may have their keys.
        self.remove_newer().await?;
        self.bring_back().await?;
        let (slice_id, draft, from) = (self.draft.slice.id, self.draft.version(), self.target.version);
        self.draft
            .write(move |conn| {
                let pairs = store::metadata::at(conn, slice_id, from)?;
                Ok(store::metadata::replace(conn, slice_id, draft, &pairs)?)
            })
            .await?;
        self.verify().await?;
        let now = self.draft.node.clock.now();
        // The same ids and metadata have the same hashes: nothing needs to be computed anew.
        let row =
            VersionRow { version: draft, content_date: Some(now), created_at: now, ..self.target.clone() };
        self.draft.seal(row.clone()).await?;
        Ok(self.draft.published(&row, true))
    }

    /// Marks what the wanted version did not have.
    async fn remove_newer(&self) -> Result<(), Error> {
        let (slice_id, draft) = (self.draft.slice.id, self.draft.version());
        let mut newer = OneSided::of(slice_id, self.target.version, self.draft.base.version).by(BATCH_ROWS);
        while let Some(rows) = newer.page(self.draft.node).await? {
            let rows = self.missing(rows, self.target.version).await?;
            let ids: Vec<Id> = rows.iter().map(|row| row.id).collect();
            self.draft.write(move |conn| Ok(store::grain::remove(conn, slice_id, draft, &ids)?)).await?;
        }
        Ok(())
    }

    /// Adds what was removed since.
    async fn bring_back(&self) -> Result<(), Error> {
        let (slice_id, draft) = (self.draft.slice.id, self.draft.version());
        let mut older = OneSided::of(slice_id, self.draft.base.version, self.target.version).by(BATCH_ROWS);
        while let Some(mut rows) = older.page(self.draft.node).await? {
            rows.truncate(one_batch(&rows));
            if let Some(last) = rows.last() {
                older.go_on_after(last);
            }
            let rows = self.missing(rows, self.draft.base.version).await?;
            self.draft
                .write(move |conn| {
                    let ids: Vec<Id> = rows.iter().map(|row| row.id).collect();
                    if let Some(id) = store::history::live_elsewhere(conn, slice_id, &ids)? {
                        return Err(Error::Conflict(format!(
                            "grain {id} is in another slice now: remove it there first"
                        )));
                    }
                    Ok(store::history::bring_back(conn, draft, &rows)?)
                })
                .await?;
        }
        Ok(())
    }

    /// The rows whose very grain a version lacks. (A grain that was removed and came back has two rows.)
    async fn missing(&self, rows: Vec<GrainRow>, version: i64) -> Result<Vec<GrainRow>, Error> {
        let slice_id = self.draft.slice.id;
        Ok(self
            .draft
            .node
            .store
            .read(move |conn| -> Result<_, store::StoreError> {
                let ids: Vec<Id> = rows.iter().map(|row| row.id).collect();
                let there = store::grain::among(conn, slice_id, version, &ids)?;
                let same = |row: &GrainRow| {
                    there.iter().any(|other| other.id == row.id && other.digest == row.digest)
                };
                // Few grains ever come back, so this list is short.
                Ok(rows.into_iter().filter(|row| !same(row)).collect())
            })
            .await?)
    }

    /// The draft must amount to the wanted version, to the byte.
    async fn verify(&self) -> Result<(), Error> {
        let (base, target) = (self.draft.base.clone(), self.target.clone());
        self.draft
            .node
            .store
            .read(move |conn| {
                let measured = measure(conn, &base)?;
                let is_equal = measured.set_hash.to_bytes() == target.set_hash
                    && measured.grain_count == target.grain_count
                    && measured.payload_bytes == target.payload_bytes;
                if is_equal {
                    Ok(())
                } else {
                    Err(Error::Internal(format!(
                        "the rollback of slice {} does not give version {}: nothing was published",
                        base.slice_id, target.version
                    )))
                }
            })
            .await
    }
}

/// How many of the first rows fit into one transaction; at least one.
fn one_batch(rows: &[GrainRow]) -> usize {
    let mut bytes = 0_i64;
    rows.iter()
        .take_while(|row| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(row.payload_bytes.max(1));
            first || bytes <= BATCH_BYTES
        })
        .count()
}
