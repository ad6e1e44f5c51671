//! The number of all that ended or was given out so far, and what triggers say of each transaction (decision 0017).

use diesel::prelude::*;

use super::schema::{deaths, high_water, recoveries};
use super::{Connection, StoreError};

/// How far a database has come, or how far somebody has seen it come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Another one after each recovery; 0 before the first.
    pub lineage: i64,
    /// Rises with each transaction that ended something or gave out a number.
    pub revision: i64,
}

/// What a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// `api_key`, `user`, `password`, `company`, `ring_key`, `subscription` or `slice`.
    pub kind: String,
    /// Whose; empty for what only raises the revision.
    pub id: String,
}

/// One recovery of the past.
#[derive(Debug, Clone, Copy, Queryable, Insertable)]
#[diesel(table_name = recoveries)]
pub(super) struct Recovery {
    /// 1, 2 …
    pub number: i64,
    /// What began with it.
    pub lineage: i64,
    /// The revision that the backup had.
    pub base: i64,
    /// No number that was given out up to this revision is given again.
    pub covered: i64,
}

/// What a database does not know that somebody remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    /// Deaths above this revision may be unknown to the database.
    pub floor: i64,
    /// Numbers given out above this revision may be given again.
    pub covered: i64,
}

/// How far the database is.
pub(super) fn mark(conn: &mut Connection) -> Result<Mark, StoreError> {
    let (lineage, revision) =
        high_water::table.select((high_water::lineage, high_water::revision)).first(conn)?;
    Ok(Mark { lineage, revision })
}

/// Empties the mailbox: what this transaction ended. Every transaction does so before it commits, so nobody finds what
/// another one has put in.
pub(super) fn take_deaths(conn: &mut Connection) -> Result<Vec<Death>, StoreError> {
    let found: Vec<(String, String)> = deaths::table.select((deaths::kind, deaths::id)).load(conn)?;
    if !found.is_empty() {
        diesel::delete(deaths::table).execute(conn)?;
    }
    Ok(found.into_iter().map(|(kind, id)| Death { kind, id }).collect())
}

/// Raises the revision. The last row that a transaction takes, so it waits for nobody who waits for us.
pub(super) fn raise(conn: &mut Connection) -> Result<Mark, StoreError> {
    diesel::update(high_water::table).set(high_water::revision.eq(high_water::revision + 1)).execute(conn)?;
    mark(conn)
}

/// All recoveries, in their order.
pub(super) fn recoveries(conn: &mut Connection) -> Result<Vec<Recovery>, StoreError> {
    Ok(recoveries::table.order(recoveries::number).load(conn)?)
}

/// Begins a lineage.
pub(super) fn begin_lineage(conn: &mut Connection, recovery: Recovery, mark: Mark) -> Result<(), StoreError> {
    diesel::insert_into(recoveries::table).values(recovery).execute(conn)?;
    diesel::update(high_water::table)
        .set((high_water::lineage.eq(mark.lineage), high_water::revision.eq(mark.revision)))
        .execute(conn)?;
    Ok(())
}

/// Whether somebody who has seen `known`, and whose newest death has the revision `newest_death`, remembers what a database
/// at `now` does not know.
pub(super) fn gap(known: Mark, newest_death: i64, now: Mark, recoveries: &[Recovery]) -> Option<Gap> {
    let behind = Gap { floor: now.revision, covered: now.revision };
    if known.lineage == now.lineage {
        return (now.revision < known.revision).then_some(behind);
    }
    let begun = match known.lineage {
        0 => Some(0),
        lineage => recoveries.iter().position(|recovery| recovery.lineage == lineage).map(|at| at + 1),
    };
    // A lineage that the database has never heard of: it is from before a recovery.
    let Some(later) = begun.and_then(|begun| recoveries.get(begun..)) else { return Some(behind) };
    // Another node has recovered since. It knew what it remembered itself, not what we do.
    let (Some(first), Some(floor)) = (later.first(), later.iter().map(|recovery| recovery.base).min()) else {
        return Some(behind);
    };
    let gap = Gap { floor, covered: first.covered };
    (newest_death > gap.floor || known.revision > gap.covered).then_some(gap)
}

#[cfg(test)]
mod tests {
    use super::{Gap, Mark, Recovery, gap};

    fn mark(lineage: i64, revision: i64) -> Mark {
        Mark { lineage, revision }
    }

    fn recovery(number: i64, lineage: i64, base: i64, covered: i64) -> Recovery {
        Recovery { number, lineage, base, covered }
    }

    #[test]
    fn in_one_lineage_the_lower_revision_is_the_older_one() {
        assert_eq!(gap(mark(0, 7), 7, mark(0, 7), &[]), None);
        assert_eq!(gap(mark(0, 7), 7, mark(0, 9), &[]), None);
        assert_eq!(gap(mark(0, 7), 3, mark(0, 4), &[]), Some(Gap { floor: 4, covered: 4 }));
    }

    #[test]
    fn who_slept_through_a_recovery_is_asked_only_for_what_he_alone_knows() {
        let recoveries = [recovery(1, 50, 4, 9)];
        let now = mark(50, 10);
        // All of it was in the backup, or the other one knew as much and nothing with a name ended here.
        assert_eq!(gap(mark(0, 4), 4, now, &recoveries), None);
        assert_eq!(gap(mark(0, 9), 3, now, &recoveries), None);
        let known = Some(Gap { floor: 4, covered: 9 });
        assert_eq!(gap(mark(0, 6), 5, now, &recoveries), known, "a death after the backup");
        assert_eq!(
            gap(mark(0, 12), 0, now, &recoveries),
            known,
            "numbers that the other one did not know of"
        );
    }

    #[test]
    fn of_several_recoveries_the_oldest_backup_counts() {
        let recoveries = [recovery(1, 50, 4, 9), recovery(2, 60, 15, 20)];
        assert_eq!(gap(mark(0, 8), 6, mark(60, 21), &recoveries), Some(Gap { floor: 4, covered: 9 }));
        assert_eq!(gap(mark(50, 15), 15, mark(60, 21), &recoveries), None);
        assert_eq!(gap(mark(60, 21), 21, mark(60, 22), &recoveries), None);
    }

    #[test]
    fn a_backup_from_before_a_recovery_does_not_know_its_lineage() {
        let behind = Some(Gap { floor: 6, covered: 6 });
        assert_eq!(gap(mark(60, 21), 18, mark(0, 6), &[]), behind);
        assert_eq!(gap(mark(60, 21), 18, mark(50, 6), &[recovery(1, 50, 4, 5)]), behind);
    }
}
