//! What the databases hold, read past the servers, and what must be true of it.

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl as _};
use shared::store::version::VersionRow;
use shared::store::{self, Connection, DatabaseUrl, Store, StoreError, on_backend};
use shared::wire::Id;

use crate::content::{Content, Grain};

/// A version of a slice as a reader of the database sees it.
#[derive(Debug)]
pub struct Shown {
    pub epoch: Id,
    pub row: VersionRow,
    pub content: Content,
}

/// The published version; `None` without the slice.
pub async fn shown(store: &Store, slice: Id) -> Option<Shown> {
    store
        .read(move |conn| -> Result<_, StoreError> {
            let Some(slice) = store::slice::find(conn, slice)? else { return Ok(None) };
            let row = store::version::find(conn, slice.id, slice.current_version)?.expect("its version");
            let content = content_at(conn, slice.id, row.version)?;
            Ok(Some(Shown { epoch: slice.epoch, row, content }))
        })
        .await
        .expect("a readable database")
}

/// What the draft would publish.
pub async fn draft(store: &Store, slice: Id) -> Content {
    store
        .read(move |conn| -> Result<_, StoreError> {
            let version = store::slice::find(conn, slice)?.expect("the slice").current_version;
            content_at(conn, slice, version + 1)
        })
        .await
        .expect("a readable database")
}

fn content_at(conn: &mut Connection, slice: Id, version: i64) -> Result<Content, StoreError> {
    let mut content = Content {
        metadata: store::metadata::at(conn, slice, version)?.into_iter().collect(),
        ..Content::default()
    };
    let mut after = None;
    loop {
        let rows = store::grain::page(conn, slice, version, after, 1_000)?;
        let Some(last) = rows.last() else { return Ok(content) };
        after = Some(last.id);
        for (row, payload) in store::payload::of_rows(conn, rows)? {
            assert_eq!(row.payload_len, i64::try_from(payload.chars().count()).unwrap());
            let grain = Grain { key: row.grain_key, source: row.source, encoding: row.encoding, payload };
            assert!(content.grains.insert(row.id, grain).is_none(), "grain {} twice", row.id);
        }
    }
}

/// Both sides show the same, and every number that each keeps of it is true of the bytes.
pub async fn assert_equal(primary: &Store, secondary: &Store, slice: Id) {
    let ours = shown(primary, slice).await.expect("the publisher's slice");
    let theirs = shown(secondary, slice).await.expect("the receiver's slice");
    assert_eq!(ours.content, theirs.content, "slice {slice}");
    let digest = ours.content.digest();
    for row in [&ours.row, &theirs.row] {
        assert_eq!(row.digest, digest, "the digest of slice {slice} is not that of its bytes");
        assert_eq!(row.grain_count, i64::try_from(ours.content.grains.len()).unwrap());
        let bytes: usize = ours.content.grains.values().map(|grain| grain.payload.len()).sum();
        assert_eq!(row.payload_bytes, i64::try_from(bytes).unwrap());
    }
    let kept = |row: &VersionRow| {
        (row.set_hash.clone(), row.content_hash.clone(), row.ids_hash.clone(), row.content_date)
    };
    assert_eq!(kept(&ours.row), kept(&theirs.row));
    let source = theirs.row.source_epoch.zip(theirs.row.source_version);
    assert_eq!(source, Some((ours.epoch, ours.row.version)), "slice {slice}");
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Text)]
    what: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// What no node may have while nothing runs.
const LEFT_OVER: &str = "
    SELECT 'versions that were never switched to' AS what, count(*) AS count
      FROM slice_versions v JOIN slices s ON s.id = v.slice_id WHERE v.version > s.current_version
    UNION ALL SELECT 'pieces of no grain', count(*) FROM grain_chunks c
      WHERE NOT EXISTS (SELECT 1 FROM grains g WHERE g.row_id = c.grain_row)";

/// What a primary may not have after the receiver's good run or rotation: whatever was cut off before, there is one key.
const LEFT_OVER_OF_MINTS: &str = "
    UNION ALL SELECT 'keys beside the only one', count(*) - 1 FROM api_keys WHERE state <> 'revoked'
    UNION ALL SELECT 'companies whose generation is not that of their newest key', count(*) FROM companies c
      WHERE c.key_generation <> (SELECT coalesce(max(k.generation), 0) FROM api_keys k WHERE k.company_id = c.id)";

/// What a secondary may not have while nothing runs. (On a primary such rows are the draft.)
const LEFT_OVER_OF_RUNS: &str = "
    UNION ALL SELECT 'rotations under way', count(*) FROM partners WHERE rotation_key IS NOT NULL
    UNION ALL SELECT 'keys that were never proven', count(*) FROM partners WHERE candidate_key IS NOT NULL
    UNION ALL SELECT 'staged grains', count(*) FROM grains g JOIN slices s ON s.id = g.slice_id
      WHERE g.added_in > s.current_version OR g.removed_in > s.current_version
    UNION ALL SELECT 'staged metadata', count(*) FROM slice_metadata m JOIN slices s ON s.id = m.slice_id
      WHERE m.added_in > s.current_version OR m.removed_in > s.current_version
    UNION ALL SELECT 'slices that look as if they were being updated', count(*) FROM slices
      WHERE sync_status = 'updating'
    UNION ALL SELECT 'runs that look as if they still ran', count(*) FROM sync_runs WHERE state = 'running'
    UNION ALL SELECT 'primaries without a proven key', count(*) FROM partners WHERE api_key IS NULL";

const WITHOUT_SUCCESS: &str = "SELECT 'slices that are not in state success' AS what, count(*) AS count FROM slices WHERE sync_status <> 'success'";

async fn none_of(store: &Store, sql: String) {
    let found: Vec<Found> = store
        .read(move |conn| -> Result<_, StoreError> {
            on_backend!(conn, |c| diesel::sql_query(sql).load(c)).map_err(Into::into)
        })
        .await
        .expect("a readable database");
    assert!(!found.is_empty());
    let left: Vec<String> = found
        .iter()
        .filter(|found| found.count != 0)
        .map(|found| format!("{} {}", found.count, found.what))
        .collect();
    assert!(left.is_empty(), "left over: {left:?}");
}

/// A publisher at rest.
pub async fn assert_primary_is_clean(primary: &Store) {
    none_of(primary, format!("{LEFT_OVER}{LEFT_OVER_OF_MINTS}")).await;
}

/// A receiver after a good run.
pub async fn assert_secondary_is_clean(secondary: &Store) {
    none_of(secondary, format!("{LEFT_OVER}{LEFT_OVER_OF_RUNS}")).await;
}

/// After a good run every slice says so.
pub async fn assert_every_slice_says_success(secondary: &Store) {
    none_of(secondary, WITHOUT_SUCCESS.to_owned()).await;
}

/// Now, by PostgreSQL's clock.
pub async fn database_time(store: &Store) -> String {
    let lines: Vec<Line> = store
        .read(|conn| -> Result<_, StoreError> {
            let sql = "SELECT clock_timestamp()::text AS line";
            on_backend!(conn, |c| diesel::sql_query(sql).load(c)).map_err(Into::into)
        })
        .await
        .expect("a readable database");
    lines[0].line.clone()
}

/// Waits until PostgreSQL has no session left of a server that died at `death`.
pub async fn await_end_of_sessions(store: &Store, death: &str) {
    let sql = format!(
        "SELECT 'sessions of the dead' AS what, count(*) AS count FROM pg_stat_activity \
         WHERE datname = current_database() AND application_name = 'sandpiper' AND backend_start < '{death}'"
    );
    tests::wait_until("PostgreSQL drops the sessions of a dead server", async || {
        let sql = sql.clone();
        let found: Vec<Found> = store
            .read(move |conn| -> Result<_, StoreError> {
                on_backend!(conn, |c| diesel::sql_query(sql).load(c)).map_err(Into::into)
            })
            .await
            .expect("a readable database");
        found.iter().all(|found| found.count == 0)
    })
    .await;
}

/// How often the company's key was minted.
pub async fn generation(primary: &Store) -> i64 {
    let keys = primary.read(|conn| store::api_key::list(conn, None)).await.expect("a readable database");
    keys.iter().map(|key| key.generation).max().expect("a key")
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// SQLite's own checks; and its log does not grow for ever.
pub async fn assert_sound(store: &Store) {
    let DatabaseUrl::Sqlite(file) = store.url().clone() else { return };
    let (integrity, orphans) = store
        .read(|conn| -> Result<_, StoreError> {
            let Connection::Sqlite(conn) = conn else { panic!("the URL says SQLite") };
            let integrity: Vec<Line> =
                diesel::sql_query("SELECT integrity_check AS line FROM pragma_integrity_check").load(conn)?;
            let orphans: Vec<Line> =
                diesel::sql_query("SELECT \"table\" AS line FROM pragma_foreign_key_check").load(conn)?;
            Ok((integrity, orphans))
        })
        .await
        .expect("a readable database");
    let lines = |lines: Vec<Line>| lines.into_iter().map(|line| line.line).collect::<Vec<_>>();
    assert_eq!((lines(integrity), lines(orphans)), (vec!["ok".to_owned()], Vec::new()));
    let mut log = file.into_os_string();
    log.push("-wal");
    let size = std::fs::metadata(log).map_or(0, |file| file.len());
    assert!(size < 32 << 20, "the log has {size} bytes");
}

/// Every version was made long ago, and nobody reads an old one.
pub async fn grow_old(store: &Store) {
    store
        .write(|conn| -> Result<(), StoreError> {
            for column in
                ["slice_versions SET created_at", "version_leases SET expires_at", "stages SET touched_at"]
            {
                let sql = format!("UPDATE {column} = '2026-01-01T00:00:00.000000Z'");
                on_backend!(conn, |c| diesel::sql_query(sql).execute(c))?;
            }
            Ok(())
        })
        .await
        .expect("a writable database");
}

/// What versions there are.
pub struct Kept {
    /// Of all slices.
    pub versions: i64,
    /// Grains that no version has.
    pub superfluous: i64,
}

/// What versions there are.
pub async fn kept(store: &Store) -> Kept {
    let count = async |sql: &'static str| {
        let count = move |conn: &mut Connection| -> Result<i64, StoreError> {
            Ok(on_backend!(conn, |c| diesel::sql_query(sql).get_result::<Found>(c))?.count)
        };
        store.read(count).await.expect("a readable database")
    };
    Kept {
        versions: count("SELECT '' AS what, COUNT(*) AS count FROM slice_versions").await,
        superfluous: count(
            "SELECT '' AS what, COUNT(*) AS count FROM grains WHERE removed_in <= (SELECT MIN(version) FROM slice_versions \
             WHERE slice_versions.slice_id = grains.slice_id)",
        )
        .await,
    }
}
