//! Publishing an earlier version anew. Its grains come back into the draft in many small transactions (design D7), and
//! then the draft is sealed as the next version. While that lasts the draft belongs to it: a row says so, everybody else
//! is refused, and whoever finds the row of a run that died undoes what it left.

use std::sync::Arc;

use chrono::Duration;

use super::history::{OneSided, published_version};
use super::publish::{Published, refuse_open_draft};
use super::version::measure;
use crate::node::permission::Action;
use crate::node::{Error, Node, Principal};
use crate::store::grain::GrainRow;
use crate::store::stage::StageRow;
use crate::store::version::VersionRow;
use crate::store::{self, Connection};
use crate::wire::history::Rollback;
use crate::wire::server::ServerRole;
use crate::wire::{Id, Timestamp};

/// Without a sign of life for this long it was cut off. (A batch takes a fraction of a second.)
const LIFE: Duration = Duration::minutes(1);
/// Rows written in one transaction.
const BATCH_ROWS: i64 = 500;
/// Payload copied in one transaction, unless a single grain is larger.
const BATCH_BYTES: i64 = 1024 * 1024;
/// Rows undone in one transaction.
const UNDO_ROWS: i64 = 2_000;

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
    let run = Run::begin(node, by, slice_id, version).await?;
    let result = run.fill_and_seal().await;
    if result.is_err()
        && let Err(error) = run.undo_and_end().await
    {
        // Its row stands there still: the next rollback does it.
        tracing::warn!(slice = %slice_id, %error, "undoing a rollback failed");
    }
    result
}

/// Refuses an edit of a draft that a rollback fills, or filled when it was cut off.
///
/// # Errors
/// [`Error::Locked`], [`Error::Conflict`].
pub fn refuse_while_rolling_back(conn: &mut Connection, slice_id: Id, now: Timestamp) -> Result<(), Error> {
    match store::stage::find(conn, slice_id)? {
        None => Ok(()),
        Some(row) if is_alive(&row, now) => Err(under_way(&row)),
        Some(row) => Err(Error::Conflict(format!(
            "a rollback of this slice to version {} was cut off: run it again, or a rollback to the published version \
             to undo it",
            row.source_version
        ))),
    }
}

fn is_alive(row: &StageRow, now: Timestamp) -> bool {
    now < row.touched_at.plus(LIFE)
}

fn under_way(row: &StageRow) -> Error {
    Error::Locked { owner: format!("a rollback by {}", row.owner), until: row.touched_at.plus(LIFE) }
}

/// One rollback under way.
struct Run<'a> {
    node: &'a Node,
    slice_id: Id,
    slice_name: String,
    /// Tells it from a later one that took over.
    id: Id,
    /// The version to come back.
    target: VersionRow,
    /// The published one, until the end.
    base: VersionRow,
}

impl<'a> Run<'a> {
    /// Takes the draft, which must be empty, or left by a rollback that was cut off.
    async fn begin(node: &'a Node, by: &str, slice_id: Id, version: i64) -> Result<Self, Error> {
        let (id, now, by) = (node.random.id(), node.clock.now(), by.to_owned());
        let (slice, target, base, left) = node
            .store
            .write(move |conn| {
                if store::slice::find_for_update(conn, slice_id)?.is_none() {
                    return Err(super::slice::MISSING);
                }
                let target = published_version(conn, slice_id, version)?;
                let left = store::stage::find(conn, slice_id)?;
                if let Some(row) = left.as_ref().filter(|row| is_alive(row, now)) {
                    return Err(under_way(row));
                }
                if let Some(row) = &left {
                    store::stage::end(conn, slice_id, row.run)?;
                }
                let slice = super::slice::editable(conn, slice_id, &by, now)?;
                if left.is_none() {
                    refuse_open_draft(conn, &slice)?;
                }
                let base = published_version(conn, slice_id, slice.current_version)?;
                let row = StageRow {
                    slice_id,
                    run: id,
                    owner: by,
                    source_epoch: None,
                    source_version: version,
                    source_digest: None,
                    mark: None,
                    unfinished_row: None,
                    touched_at: now,
                };
                store::stage::begin(conn, &row)?;
                Ok((slice, target, base, left.is_some()))
            })
            .await?;
        let run = Self { node, slice_id, slice_name: slice.name, id, target, base };
        if left {
            run.undo().await?;
        }
        Ok(run)
    }

    /// The version being made.
    fn draft(&self) -> i64 {
        self.base.version + 1
    }

    /// A write that only the newest run of this slice can do, and its sign of life.
    async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (slice_id, id, now) = (self.slice_id, self.id, self.node.clock.now());
        self.node
            .store
            .write(move |conn| {
                if !store::stage::touch(conn, slice_id, id, now)? {
                    return Err(Error::Conflict("another rollback of this slice took over".to_owned()));
                }
                change(conn)
            })
            .await
    }

    async fn fill_and_seal(&self) -> Result<Published, Error> {
        // Equal digests mean equal content, payloads included.
        if self.target.digest == self.base.digest {
            let (slice_id, id) = (self.slice_id, self.id);
            self.write(move |conn| Ok(store::stage::end(conn, slice_id, id)?)).await?;
            return Ok(self.published(self.base.version, false));
        }
        // Removals first: what comes back may have their keys.
        self.remove_newer().await?;
        self.bring_back().await?;
        let (slice_id, draft, from) = (self.slice_id, self.draft(), self.target.version);
        self.write(move |conn| {
            let pairs = store::metadata::at(conn, slice_id, from)?;
            Ok(store::metadata::replace(conn, slice_id, draft, &pairs)?)
        })
        .await?;
        self.verify().await?;
        self.seal().await?;
        Ok(self.published(draft, true))
    }

    /// Marks what the wanted version did not have.
    async fn remove_newer(&self) -> Result<(), Error> {
        let (slice_id, draft) = (self.slice_id, self.draft());
        let mut newer = OneSided::of(slice_id, self.target.version, self.base.version).by(BATCH_ROWS);
        while let Some(rows) = newer.page(self.node).await? {
            let rows = self.missing(rows, self.target.version).await?;
            let ids: Vec<Id> = rows.iter().map(|row| row.id).collect();
            self.write(move |conn| Ok(store::grain::remove(conn, slice_id, draft, &ids)?)).await?;
        }
        Ok(())
    }

    /// Adds what was removed since.
    async fn bring_back(&self) -> Result<(), Error> {
        let (slice_id, draft) = (self.slice_id, self.draft());
        let mut older = OneSided::of(slice_id, self.base.version, self.target.version).by(BATCH_ROWS);
        while let Some(mut rows) = older.page(self.node).await? {
            rows.truncate(one_batch(&rows));
            if let Some(last) = rows.last() {
                older.go_on_after(last);
            }
            let rows = self.missing(rows, self.base.version).await?;
            self.write(move |conn| {
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
        let slice_id = self.slice_id;
        Ok(self
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
        let (base, target) = (self.base.clone(), self.target.clone());
        self.node
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

    /// The same ids and metadata have the same hashes: nothing needs to be computed anew.
    async fn seal(&self) -> Result<(), Error> {
        let (slice_id, id, from, draft) = (self.slice_id, self.id, self.base.version, self.draft());
        let now = self.node.clock.now();
        let row =
            VersionRow { version: draft, content_date: Some(now), created_at: now, ..self.target.clone() };
        self.write(move |conn| {
            store::version::insert(conn, &row)?;
            if !store::slice::switch(conn, slice_id, from, draft, now)? {
                return Err(Error::Conflict("the slice was published meanwhile: try again".to_owned()));
            }
            Ok(store::stage::end(conn, slice_id, id)?)
        })
        .await
    }

    async fn undo_and_end(&self) -> Result<(), Error> {
        self.undo().await?;
        let (slice_id, id) = (self.slice_id, self.id);
        self.write(move |conn| Ok(store::stage::end(conn, slice_id, id)?)).await
    }

    async fn undo(&self) -> Result<(), Error> {
        let (slice_id, draft) = (self.slice_id, self.draft());
        loop {
            let touched =
                self.write(move |conn| Ok(store::grain::undo(conn, slice_id, draft, UNDO_ROWS)?)).await?;
            if touched == 0 {
                break;
            }
        }
        self.write(move |conn| Ok(store::metadata::undo(conn, slice_id, draft)?)).await
    }

    fn published(&self, version: i64, changed: bool) -> Published {
        Published {
            slice_id: self.slice_id,
            slice_name: self.slice_name.clone(),
            version,
            changed,
            content_count: self.target.grain_count,
            content_hash: self.target.content_hash.clone(),
        }
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
