//! The sync log.

use sha2::{Digest as _, Sha256};

use super::report::{Notes, Table, named};
use super::{Event, Import, ImportError, Target, length};
use crate::failpoint::{Failpoint, reach};
use crate::store::activity::ActivityRow;
use crate::store::import::{Numbered, insert_activity, last_activity, reserve_ids};
use crate::store::reference::Activity;
use crate::store::{Connection, StoreError};
use crate::wire::Id;

/// Records read and written at a time.
const BATCH_ROWS: usize = 1_000;

impl Import {
    /// Copies what is not there yet; records keep their ids.
    pub(super) async fn copy_activity(
        &self,
        target: Option<&Target>,
        notes: &mut Notes,
    ) -> Result<(), ImportError> {
        let mut there = match target {
            Some(target) => target.store.read(last_activity).await?,
            None => None,
        };
        notes.read(Table::Activity, self.snapshot.activity);
        self.reader.read(super::Source::begin_activity).await?;
        let mut last = None;
        loop {
            let records = self.reader.read(|source| source.next_activity(BATCH_ROWS)).await?;
            let count = length(records.len());
            if count == 0 {
                break;
            }
            let mut rows = Vec::with_capacity(records.len());
            for record in records {
                let is_twice = last == Some(record.id);
                last = Some(record.id);
                if is_twice {
                    let line = named(record.id, &record.message);
                    notes.add(Table::Activity, super::Finding::IdTwice, line);
                } else {
                    rows.push(row(self.installation.server_id, record, notes));
                }
            }
            rows.retain(|row| there.is_none_or(|there| row.id > there));
            if let (Some(target), false) = (target, rows.is_empty()) {
                let highest = rows.last().map(|row| row.id);
                target
                    .store
                    .write(move |conn: &mut Connection| -> Result<(), StoreError> {
                        insert_activity(conn, &rows)?;
                        reserve_ids(conn, Numbered::Activity, highest.unwrap_or_default())
                    })
                    .await?;
                there = highest;
                reach(Failpoint::ImportActivityWritten);
            }
            (self.progress)(Event::Read(count));
        }
        Ok(())
    }
}

fn row(server_id: Id, record: Activity, notes: &mut Notes) -> ActivityRow {
    let line = || named(record.id, &record.message);
    ActivityRow {
        created_at: notes.time_or_zero(Table::Activity, record.created_at, line),
        id: record.id,
        uid: uid(server_id, record.id),
        company_id: record.company_id.unwrap_or(Id::NIL),
        sub_id: record.sub_id.and_then(Id::given),
        success: record.success,
        message: record.message,
        error: record.error,
        duration: record.duration,
    }
}

/// The same for the same record, so that no import adds it twice.
fn uid(server_id: Id, id: i64) -> Id {
    let mut hash = Sha256::new();
    hash.update(b"sandpiper import activity v1\0");
    hash.update(server_id.as_bytes());
    hash.update(id.to_be_bytes());
    let mut bytes = [0; 16];
    for (byte, hashed) in bytes.iter_mut().zip(hash.finalize()) {
        *byte = hashed;
    }
    Id(uuid::Builder::from_random_bytes(bytes).into_uuid())
}
