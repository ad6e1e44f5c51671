//! What a node remembers of its database outside of it: the data folder's file `high-water`. A database that knows less
//! was restored from a backup, or is a copy that lags behind: nobody is let in by it, and nothing is written to it
//! (decision 0017).

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::high_water::{self, Death, Gap, Mark, Recovery};
use super::high_water_file::{Held, MarkFile, in_folder};
use super::{Connection, StoreError, in_transaction};
use crate::failpoint::{Failpoint, reach};
use crate::wire::Id;

/// What the folder remembers, and how far this process has seen the database come.
pub(super) struct Memory {
    file: MarkFile,
    seen: Mutex<Mark>,
    is_rolled_back: AtomicBool,
}

/// What a database that was restored from a backup does not know.
#[derive(Debug)]
pub struct Unknown {
    /// What ended since, in that order.
    pub deaths: Vec<Death>,
    /// No counter has been raised more often since.
    pub given_out: i64,
}

impl Memory {
    /// Looks whether the database that `conn` leads to knows all that the folder remembers, and remembers what is new.
    pub fn open(folder: &Path, server_id: Id, conn: &mut Connection) -> Result<Self, StoreError> {
        let file = MarkFile::new(in_folder(folder), server_id);
        let (mark, gap) = look(&file.hold()?, conn)?;
        Ok(Self { file, seen: Mutex::new(mark), is_rolled_back: AtomicBool::new(gap.is_some()) })
    }

    /// A new connection: is it still the same database, or one that knows more? Another process of the folder may have seen it
    /// come further than this one has.
    pub fn meet(&self, conn: &mut Connection) -> Result<(), StoreError> {
        // Before the database is asked: another thread may raise both meanwhile.
        let seen = self.seen();
        let (now, gap) = look(&self.file.hold()?, conn)?;
        // What could not be written to the file is known all the same.
        if gap.is_some() || (now.lineage == seen.lineage && now.revision < seen.revision) {
            self.roll_back();
        } else {
            self.see(now);
        }
        Ok(())
    }

    pub fn require_current(&self) -> Result<(), StoreError> {
        if self.is_rolled_back.load(Ordering::SeqCst) { Err(StoreError::RolledBack) } else { Ok(()) }
    }

    /// The transaction that raised the database's revision to `mark` is committed. The line of its deaths is on the disk, so
    /// a mark that cannot be written costs no more than what had no name.
    pub fn raise(&self, mark: Mark) {
        self.see(mark);
        let raised = || {
            let held = self.file.hold()?;
            match held.mark()? {
                Some(known) if known.lineage == mark.lineage && known.revision >= mark.revision => Ok(()),
                _ => held.set_mark(mark),
            }
        };
        if let Err(error) = raised() {
            tracing::error!(%error, revision = mark.revision, "the data folder does not remember the last change");
        }
    }

    /// Nothing that has a name ends before the folder remembers it.
    fn write_ahead(&self, conn: &mut Connection, mark: Mark, deaths: &[Death]) -> Result<(), StoreError> {
        let seen = self.seen();
        // Turned back under a connection that was open, or recovered by another node?
        let has_gap = if mark.lineage == seen.lineage {
            mark.revision <= seen.revision
        } else {
            let held = self.file.hold()?;
            gap_of(&held, held.mark()?.unwrap_or(seen), mark, conn)?.is_some()
        };
        if has_gap {
            self.roll_back();
            return Err(StoreError::RolledBack);
        }
        let named: Vec<&Death> = deaths.iter().filter(|death| !death.id.is_empty()).collect();
        if named.is_empty() {
            return Ok(());
        }
        let held = self.file.hold()?;
        if held.mark()?.is_none() {
            held.set_mark(seen)?;
        }
        held.append(mark.revision, &named)?;
        reach(Failpoint::DeathsWritten);
        Ok(())
    }

    /// As [`super::Store::recover`].
    pub fn recover<T, E: From<StoreError>>(
        &self,
        conn: &mut Connection,
        lineage: i64,
        change: impl FnOnce(&mut Connection, &Unknown) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        // To the end: of two recoveries the second has nothing to do.
        let held = self.file.hold()?;
        let (now, gap) = look(&held, conn)?;
        let (Some(gap), Some(known)) = (gap, held.mark()?) else { return Ok(None) };
        let deaths = held.lines()?.into_iter().filter(|(revision, _death)| *revision > gap.floor);
        let unknown = Unknown {
            deaths: deaths.map(|(_revision, death)| death).collect(),
            given_out: known.revision.saturating_sub(gap.covered).max(0),
        };
        let covered = known.revision.max(now.revision);
        let mark = Mark { lineage, revision: covered + 1 };
        let done = in_transaction(conn, |conn| -> Result<T, E> {
            let done = change(conn, &unknown)?;
            // The folder has a line for each of them.
            high_water::take_deaths(conn)?;
            let number = high_water::recoveries(conn)?.last().map_or(1, |last| last.number + 1);
            high_water::begin_lineage(conn, Recovery { number, lineage, base: now.revision, covered }, mark)?;
            Ok(done)
        })?;
        held.set_mark(mark)?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = mark;
        self.is_rolled_back.store(false, Ordering::SeqCst);
        Ok(Some(done))
    }

    fn seen(&self) -> Mark {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn see(&self, mark: Mark) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.lineage != mark.lineage || seen.revision < mark.revision {
            *seen = mark;
        }
    }

    fn roll_back(&self) {
        if !self.is_rolled_back.swap(true, Ordering::SeqCst) {
            tracing::error!("{}", StoreError::RolledBack);
        }
    }
}

/// The last thing before a commit: takes what the transaction has ended out of the mailbox, raises the revision, and lets the
/// folder remember it. Nothing of that happens where nothing ended.
pub(super) fn note_deaths(
    conn: &mut Connection,
    memory: Option<&Memory>,
) -> Result<Option<Mark>, StoreError> {
    let deaths = high_water::take_deaths(conn)?;
    if deaths.is_empty() {
        return Ok(None);
    }
    let mark = high_water::raise(conn)?;
    if let Some(memory) = memory {
        memory.write_ahead(conn, mark, &deaths)?;
    }
    Ok(Some(mark))
}

/// How far the database is, and what it does not know. If it knows all, the file says so from now on.
fn look(held: &Held<'_>, conn: &mut Connection) -> Result<(Mark, Option<Gap>), StoreError> {
    // The file first: what it says was committed before.
    let known = held.mark()?;
    let now = high_water::mark(conn)?;
    let Some(known) = known else {
        held.set_mark(now)?;
        return Ok((now, None));
    };
    if known.lineage == now.lineage && known.revision <= now.revision {
        if known != now {
            held.set_mark(now)?;
        }
        return Ok((now, None));
    }
    let gap = gap_of(held, known, now, conn)?;
    if gap.is_none() {
        held.set_mark(now)?;
    }
    Ok((now, gap))
}

fn gap_of(held: &Held<'_>, known: Mark, now: Mark, conn: &mut Connection) -> Result<Option<Gap>, StoreError> {
    let newest_death = held.lines()?.into_iter().map(|(revision, _death)| revision).max();
    Ok(high_water::gap(known, newest_death.unwrap_or_default(), now, &high_water::recoveries(conn)?))
}
