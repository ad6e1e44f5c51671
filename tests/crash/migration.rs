//! A process dies while it brings a database up to date.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use diesel::{QueryableByName, RunQueryDsl as _};
use rand::RngExt as _;
use shared::store::{DatabaseUrl, Store, StoreError, create_file, migrate, on_backend};

use super::Kind;
use crate::pair::Node;
use crate::program::Server;
use crate::seed::{Rounds, say};

const KILLS: u32 = 30;

/// All migrations of a database: version and folder, the oldest first.
fn migrations(url: &DatabaseUrl) -> Vec<(String, PathBuf)> {
    let backend = match url {
        DatabaseUrl::Sqlite(_) => "sqlite",
        DatabaseUrl::Postgres(_) => "postgres",
    };
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(backend);
    let mut found: Vec<(String, PathBuf)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name.split('_').next().unwrap().replace('-', ""), entry.path())
        })
        .collect();
    found.sort();
    found
}

/// How many migrations can be undone and leave a database that holds a node.
fn undoable(url: &DatabaseUrl) -> usize {
    migrations(url).len() - 1
}

/// Makes the newest `count` migrations undone, and what the folder remembers of the newer database.
async fn go_back(node: &Node, count: usize) {
    let url = &node.database;
    drop(fs::remove_file(node.home.folder.join("high-water")));
    let mut undo: Vec<(String, PathBuf)> = migrations(url).into_iter().rev().take(count).collect();
    let store = Store::open(url.clone()).unwrap();
    // Not by `write`, which looks into one of the tables before it commits.
    store
        .read(move |conn| -> Result<(), StoreError> {
            on_backend!(conn, |c| c.batch_execute("BEGIN"))?;
            for (version, folder) in undo.drain(..) {
                let down = fs::read_to_string(folder.join("down.sql")).unwrap();
                on_backend!(conn, |c| c.batch_execute(&down))?;
                let forget = format!("DELETE FROM __diesel_schema_migrations WHERE version = '{version}'");
                on_backend!(conn, |c| diesel::sql_query(forget).execute(c))?;
            }
            on_backend!(conn, |c| c.batch_execute("COMMIT"))?;
            Ok(())
        })
        .await
        .unwrap();
}

#[derive(QueryableByName)]
struct Applied {
    #[diesel(sql_type = diesel::sql_types::Text)]
    version: String,
}

/// Every migration is applied, once, and every column is there.
async fn assert_up_to_date(url: &DatabaseUrl) {
    assert!(migrate(url).unwrap().is_empty(), "something was left to do");
    let applied: Vec<Applied> = Store::open(url.clone())
        .unwrap()
        .read(|conn| -> Result<_, StoreError> {
            let all = "SELECT CAST(version AS TEXT) AS version FROM __diesel_schema_migrations ORDER BY 1";
            on_backend!(conn, |c| diesel::sql_query(all).load(c)).map_err(Into::into)
        })
        .await
        .unwrap();
    let applied: Vec<String> = applied.into_iter().map(|row| row.version).collect();
    let known: Vec<String> = migrations(url).into_iter().map(|(version, _folder)| version).collect();
    assert_eq!(applied, known);
}

/// `migrate` dies at a named point, on a database that is one migration behind; the next one does the rest.
pub async fn dies_at(node: &Node, point: &str) {
    go_back(node, 1).await;
    let ended = node.home.run_with(&["migrate"], "", &[("SANDPIPER_FAILPOINT", point)]);
    assert!(ended.was_killed(), "it never came by {point}: {ended:?}");
    node.home.run(&["migrate"]).ok();
    assert_up_to_date(&node.database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_migration_survives_any_death() {
    any_death("on_sqlite_a_migration_survives_any_death", Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_a_migration_survives_any_death() {
    any_death("on_postgres_a_migration_survives_any_death", Kind::Postgres).await;
}

async fn any_death(test: &'static str, kind: Kind) {
    let rounds = Rounds::of(test, KILLS);
    let folder = tempfile::tempdir().unwrap();
    if !kind.is_here(test) {
        return;
    }
    let nodes = [true, false].map(|primary| Node::init(folder.path(), primary, kind.fresh_database()));
    let mut servers = nodes.each_ref().map(|node| Server::start(node.home.clone()));
    servers.iter_mut().for_each(Server::kill);
    let [mut migrate_pace, mut start_pace] = [Duration::from_millis(60); 2];
    let mut cut = 0;
    for mut round in rounds.each() {
        let side = usize::from(round.number.is_multiple_of(2));
        let node = &nodes[side];
        match round.draw.random_range(0..3) {
            // The command, on a database of an older version.
            0 => {
                go_back(node, round.draw.random_range(1..=undoable(&node.database))).await;
                let moment = migrate_pace.mul_f64(round.draw.random_range(0.0..1.1));
                round.note = format!("`migrate` killed after {moment:?}");
                cut += u32::from(node.home.run_killed(&["migrate"], "", moment).was_killed());
                let start = Instant::now();
                node.home.run(&["migrate"]).ok();
                migrate_pace = (migrate_pace * 7 + start.elapsed()) / 8;
                assert_up_to_date(&node.database).await;
            }
            // The same on an empty one.
            1 => {
                let (url, flag) = empty_database(kind, folder.path(), round.number);
                let moment = migrate_pace.mul_f64(round.draw.random_range(0.0..1.1));
                round.note = format!("`migrate` of an empty database killed after {moment:?}");
                let args = ["migrate", "--database", &flag];
                cut += u32::from(node.home.run_killed(&args, "", moment).was_killed());
                node.home.run(&args).ok();
                assert_up_to_date(&url).await;
            }
            // The first start of a new version.
            _ => {
                go_back(node, round.draw.random_range(1..=undoable(&node.database))).await;
                let moment = start_pace.mul_f64(round.draw.random_range(0.0..1.1));
                round.note = format!("the first start killed after {moment:?}");
                let serve = ["serve", "--listen", "127.0.0.1:0"];
                let ended = node.home.run_killed(&serve, "", moment);
                assert!(ended.was_killed(), "{ended:?}");
                cut += u32::from(ended.out.is_empty());
                let start = Instant::now();
                servers[side].start_again(&[]);
                start_pace = (start_pace * 7 + start.elapsed()) / 8;
                servers[side].kill();
                assert_up_to_date(&node.database).await;
            }
        }
    }
    for node in &nodes {
        crate::observe::assert_sound(&node.store()).await;
    }
    let kills = rounds.count();
    say(&format!(
        "{test}: {kills} kills, {cut} in time; `migrate` takes {migrate_pace:?}, a start {start_pace:?}"
    ));
    assert!(kills < 20 || cut > kills / 10, "hardly a kill came in time");
}

fn empty_database(kind: Kind, folder: &std::path::Path, number: u32) -> (DatabaseUrl, String) {
    let url = kind.fresh_database().unwrap_or_else(|| {
        let file = folder.join(format!("empty-{number}.db"));
        if file.exists() {
            fs::remove_file(&file).unwrap();
        }
        create_file(&file).unwrap();
        format!("sqlite://{}", file.display())
    });
    (url.parse().unwrap(), url)
}
