//! A draft that one run fills in many small transactions (design D7) and seals as the next version. While that lasts it belongs
//! to the run: a row says so, everybody else is refused, and whoever comes after a run that died undoes what it left.

use chrono::Duration;

use super::history::published_version;
use super::publish::{Published, next_version, refuse_open_draft};
use crate::failpoint::{Failpoint, reach};
use crate::node::{Error, Node};
use crate::store::slice::SliceRow;
use crate::store::stage::StageRow;
use crate::store::version::VersionRow;
use crate::store::{self, Connection};
use crate::wire::{Id, Timestamp};

/// Without a sign of life for this long it was cut off. (A batch takes a fraction of a second.)
const LIFE: Duration = Duration::minutes(1);
/// Rows undone in one transaction.
const UNDO_ROWS: i64 = 2_000;

/// What a draft is filled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Version so and so comes back.
    Rollback(i64),
    /// Content from outside.
    Publish,
}

/// Refuses an edit of a draft that a run fills, or filled when it was cut off.
///
/// # Errors
/// [`Error::Locked`], [`Error::Conflict`].
pub(super) fn refuse_while_held(conn: &mut Connection, slice_id: Id, now: Timestamp) -> Result<(), Error> {
    match store::stage::find(conn, slice_id)? {
        None => Ok(()),
        Some(row) if is_alive(&row, now) => Err(under_way(&row)),
        Some(row) => Err(Error::Conflict(match row.purpose.as_str() {
            "publish" => format!(
                "a publication by {} was cut off: publish again (POST /v1/slices/:id/publish), or roll back to the published \
                 version to undo it",
                row.owner
            ),
            _ => format!(
                "a rollback of this slice to version {} was cut off: run it again, or a rollback to the published version \
                 to undo it",
                row.source_version
            ),
        })),
    }
}

/// Whether somebody's run fills the draft, dead or alive: then it is nobody's to see.
///
/// # Errors
/// What the store reports.
pub(super) fn is_held(conn: &mut Connection, slice_id: Id) -> Result<bool, store::StoreError> {
    Ok(store::stage::find(conn, slice_id)?.is_some())
}

fn is_alive(row: &StageRow, now: Timestamp) -> bool {
    now < row.touched_at.plus(LIFE)
}

fn under_way(row: &StageRow) -> Error {
    let what = if row.purpose == "publish" { "publication" } else { "rollback" };
    Error::Locked { owner: format!("a {what} by {}", row.owner), until: row.touched_at.plus(LIFE) }
}

/// The draft of a slice, in the hands of one run.
pub(super) struct HeldDraft<'a> {
    pub node: &'a Node,
    pub slice: SliceRow,
    /// The published version, until the end.
    pub base: VersionRow,
    /// Tells it from a later run that took over.
    run: Id,
}

impl<'a> HeldDraft<'a> {
    /// Takes the draft, which must be empty, or left by a run that was cut off.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Locked`] by somebody else or another run, [`Error::Conflict`] while a draft is open.
    pub async fn take(node: &'a Node, by: &str, slice_id: Id, purpose: Purpose) -> Result<Self, Error> {
        let (run, now, by) = (node.random.id(), node.clock.now(), by.to_owned());
        let (slice, base, left) = node
            .store
            .write(move |conn| {
                if store::slice::find_for_update(conn, slice_id)?.is_none() {
                    return Err(super::slice::MISSING);
                }
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
                let base = match purpose {
                    Purpose::Rollback(version) => {
                        published_version(conn, slice_id, version)?;
                        published_version(conn, slice_id, slice.current_version)?
                    }
                    Purpose::Publish => store::version::find(conn, slice_id, slice.current_version)?
                        .ok_or_else(|| Error::Internal(format!("slice {slice_id} has no current version")))?,
                };
                let (name, version) = match purpose {
                    Purpose::Rollback(version) => ("rollback", version),
                    Purpose::Publish => ("publish", base.version),
                };
                let row = StageRow {
                    slice_id,
                    run,
                    purpose: name.to_owned(),
                    owner: by,
                    source_epoch: None,
                    source_version: version,
                    source_digest: None,
                    mark: None,
                    unfinished_row: None,
                    touched_at: now,
                };
                store::stage::begin(conn, &row)?;
                Ok((slice, base, left.is_some()))
            })
            .await?;
        let draft = Self { node, slice, base, run };
        if left {
            draft.undo().await?;
        }
        Ok(draft)
    }

    /// The version being made.
    pub fn version(&self) -> i64 {
        self.base.version + 1
    }

    /// A write that only the newest run of this slice can do, and its sign of life.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another run took over; what `change` reports.
    pub async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (slice_id, run, now) = (self.slice.id, self.run, self.node.clock.now());
        self.node
            .store
            .write(move |conn| {
                if !store::stage::touch(conn, slice_id, run, now)? {
                    return Err(Error::Conflict("another run of this slice took over: try again".to_owned()));
                }
                change(conn)
            })
            .await
    }

    /// Publishes what the draft holds now; `false`, and the draft is given back, if that changes nothing. It is measured before the
    /// one short step that everybody waits for.
    ///
    /// # Errors
    /// [`Error::Conflict`]; what the store reports.
    pub async fn publish(&self) -> Result<Published, Error> {
        let (base, now) = (self.base.clone(), self.node.clock.now());
        let next = self.node.store.read(move |conn| next_version(conn, &base, now)).await?;
        let Some(row) = next else {
            self.give_back().await?;
            return Ok(self.published(&self.base, false));
        };
        self.seal(row.clone()).await?;
        reach(Failpoint::PublishCommitted);
        Ok(self.published(&row, true))
    }

    /// Publishes the draft as `row` says, in one short step.
    ///
    /// # Errors
    /// [`Error::Conflict`]; what the store reports.
    pub async fn seal(&self, row: VersionRow) -> Result<(), Error> {
        let (slice_id, run, from, to) = (self.slice.id, self.run, self.base.version, self.version());
        let now = self.node.clock.now();
        self.write(move |conn| {
            store::version::insert(conn, &row)?;
            if !store::slice::switch(conn, slice_id, from, to, now)? {
                return Err(Error::Conflict("the slice was published meanwhile: try again".to_owned()));
            }
            Ok(store::stage::end(conn, slice_id, run)?)
        })
        .await
    }

    /// Gives it back empty.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn give_back(&self) -> Result<(), Error> {
        self.undo().await?;
        let (slice_id, run) = (self.slice.id, self.run);
        self.write(move |conn| Ok(store::stage::end(conn, slice_id, run)?)).await
    }

    async fn undo(&self) -> Result<(), Error> {
        let (slice_id, draft) = (self.slice.id, self.version());
        loop {
            let touched =
                self.write(move |conn| Ok(store::grain::undo(conn, slice_id, draft, UNDO_ROWS)?)).await?;
            if touched == 0 {
                break;
            }
        }
        // What a slice was given when it was made waits in its first draft.
        if self.base.content_date.is_none() {
            return Ok(());
        }
        self.write(move |conn| Ok(store::metadata::undo(conn, slice_id, draft)?)).await
    }

    /// What is answered when `row` is the published version.
    pub fn published(&self, row: &VersionRow, changed: bool) -> Published {
        Published::of(&self.slice, row, changed)
    }
}
