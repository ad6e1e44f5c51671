//! A publisher and a receiver, each a process of its own, set up by commands.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use reqwest::Method;
use shared::clock::Random;
use shared::store::{DatabaseUrl, Store};

use crate::content::{Content, Grain, History};
use crate::observe;
use crate::program::{Home, Server, programs};
use crate::publisher::{Edit, Slice};
use crate::reader::look_into;
use crate::seed::{Draw, Round};
use crate::session::{Answer, Session};

pub const PASSWORD: &str = "violet-otter-marble-42";
/// Grains of the two slices.
const SIZES: [usize; 2] = [90, 5];

/// Which database both servers have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    /// `false` (and a printed line) where there is no PostgreSQL.
    pub fn is_here(self, test: &str) -> bool {
        self == Self::Sqlite || tests::postgres::require_or_list(test).is_some()
    }

    /// The URL of an empty database; `None` for a file in the data folder.
    pub fn fresh_database(self) -> Option<String> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => {
                Some(tests::postgres::require_or_list("crash").unwrap().database_url().unwrap())
            }
        }
    }
}

/// A data folder and the database to it.
pub struct Node {
    pub home: Home,
    pub database: DatabaseUrl,
}

impl Node {
    /// Initialised; its passwords are quick to hash, which is what a server's start waits for.
    pub fn init(folder: &std::path::Path, primary: bool, database: Option<String>) -> Self {
        let (program, dir, name) = if primary {
            (&programs().primary, "primary", "Better Brakes")
        } else {
            (&programs().secondary, "secondary", "Retail Parts")
        };
        let home = Home { program, folder: folder.join(dir) };
        let mut args = vec!["init", "--name", name, "--admin-password-stdin"];
        args.extend(database.iter().flat_map(|url| ["--database", url]));
        home.run_with(&args, PASSWORD, &[]).ok();
        let mut config = File::options().append(true).open(home.folder.join("config.toml")).unwrap();
        writeln!(config, "password_cost = 10").unwrap();
        let file = || DatabaseUrl::Sqlite(home.folder.join("sandpiper.db"));
        // Under a name of our own, to tell our sessions from the servers'.
        let named = |url| format!("{url}?application_name=onlooker").parse().unwrap();
        let database = database.map_or_else(file, named);
        Self { home, database }
    }

    /// Its database, opened by this process. On SQLite not for long: whoever opens a database last that a killed
    /// process left is who repairs it, and mostly that should be the server.
    pub fn store(&self) -> Store {
        Store::open(self.database.clone()).unwrap()
    }
}

fn add_slice(primary: &Home, name: &str) -> Slice {
    let metadata = [("vcdb-version", "2026-10-31"), ("name", name)];
    let pairs = metadata.map(|(key, value)| format!("{key}={value}"));
    let [first, second] = &pairs;
    let slice = primary
        .run(&[
            "slice",
            "--json",
            "add",
            name,
            "--type",
            "pies-items",
            "--metadata",
            first,
            "--metadata",
            second,
        ])
        .json();
    primary.run(&["sub", "add", "--company", "Retail Parts", "--slice", name]).ok();
    Slice::new(slice["id"].as_str().unwrap().parse().unwrap(), &metadata)
}

/// Both.
pub struct Pair {
    pub kind: Kind,
    pub primary: Node,
    pub secondary: Node,
    pub publisher: Server,
    pub receiver: Server,
    pub publisher_admin: Session,
    pub receiver_admin: Arc<Session>,
    /// Id of the primary's company.
    pub primary_id: String,
    pub slices: Vec<Slice>,
    pub history: History,
    /// Kept open where that disturbs nothing.
    stores: Option<(Store, Store)>,
    /// How long a sync takes.
    pub pace: Duration,
    _folder: tempfile::TempDir,
}

impl Pair {
    /// Connected and synced; `None` where the database cannot be had.
    pub async fn start(kind: Kind, test: &str, set_up: &mut Round) -> Option<Self> {
        if !kind.is_here(test) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let primary = Node::init(folder.path(), true, kind.fresh_database());
        let secondary = Node::init(folder.path(), false, kind.fresh_database());
        primary.home.run(&["company", "add", "Retail Parts"]).ok();
        let account = ["account", "create", "-u", "anna", "--company", "Retail Parts", "--password-stdin"];
        primary.home.run_with(&account, PASSWORD, &[]).ok();
        let slices = ["items", "notes"].map(|name| add_slice(&primary.home, name)).into();
        let publisher = Server::start(primary.home.clone());
        let connect = ["connect", &publisher.url, "-u", "anna", "--password-stdin", "--json"];
        let connected = secondary.home.run_with(&connect, PASSWORD, &[]).json();
        let receiver = Server::start(secondary.home.clone());
        let publisher_admin = Session::open(&publisher.url, "admin", PASSWORD).await;
        let receiver_admin = Arc::new(Session::open(&receiver.url, "admin", PASSWORD).await);
        let mut pair = Self {
            kind,
            primary,
            secondary,
            publisher,
            receiver,
            publisher_admin,
            receiver_admin,
            primary_id: connected["id"].as_str().unwrap().to_owned(),
            slices,
            history: History::default(),
            stores: None,
            pace: Duration::ZERO,
            _folder: folder,
        };
        for (slice, size) in SIZES.into_iter().enumerate() {
            for _ in 0..size {
                assert!(pair.edit(slice, &mut set_up.draw).await);
            }
            assert!(pair.publish(slice).await);
        }
        pair.sync().await;
        pair.assert_equal_and_clean().await;
        Some(pair)
    }

    /// One drawn edit of a slice; `false` when it was cut off.
    pub async fn edit(&mut self, slice: usize, draw: &mut Draw) -> bool {
        let edit = self.slices[slice].draw_edit(draw, SIZES.get(slice).copied().unwrap_or(3));
        self.slices[slice].edit(&self.publisher_admin, &self.history, edit).await
    }

    /// Publishes the draft; `false` when that was cut off.
    pub async fn publish(&mut self, slice: usize) -> bool {
        self.slices[slice].edit(&self.publisher_admin, &self.history, Edit::Publish).await
    }

    /// A handful of changes in both slices, published.
    pub async fn change(&mut self, draw: &mut Draw) {
        for (slice, most) in [(0, 6), (1, 2)] {
            for _ in 0..draw.random_range(1..=most) {
                assert!(self.edit(slice, draw).await);
            }
            assert!(self.publish(slice).await);
        }
    }

    /// Publishes earlier content again, with the ids that it had.
    pub async fn change_back(&mut self, old: &[Content]) {
        for (slice, old) in self.slices.iter_mut().zip(old) {
            for edit in slice.edits_back_to(old) {
                assert!(slice.edit(&self.publisher_admin, &self.history, edit).await);
            }
            assert!(slice.edit(&self.publisher_admin, &self.history, Edit::Publish).await);
        }
    }

    /// A further slice, published and subscribed to; the secondary has not heard of it.
    pub async fn add_slice(&mut self, name: &str, draw: &mut Draw) {
        self.slices.push(add_slice(&self.primary.home, name));
        let last = self.slices.len() - 1;
        for _ in 0..3 {
            assert!(self.edit(last, draw).await);
        }
        assert!(self.publish(last).await);
    }

    /// A removal and an addition in each of the first two slices, published.
    pub async fn change_both(&mut self, draw: &mut Draw) {
        for slice in 0..SIZES.len() {
            for edit in self.slices[slice].draw_swap(draw) {
                assert!(self.slices[slice].edit(&self.publisher_admin, &self.history, edit).await);
            }
            assert!(self.publish(slice).await);
        }
    }

    /// A grain of the first slice that is transferred in three pieces, anew each time; published.
    pub async fn put_long_payload(&mut self, draw: &mut Draw) {
        let edit = Edit::Put(Random::System.id(), Grain::draw_long(draw, "long".to_owned()));
        assert!(self.slices[0].edit(&self.publisher_admin, &self.history, edit).await);
        assert!(self.publish(0).await);
    }

    /// What the publisher's slices hold now.
    pub fn contents(&self) -> Vec<Content> {
        self.slices.iter().map(|slice| slice.published().clone()).collect()
    }

    /// Starts a sync over HTTP.
    pub fn start_sync(&self) -> tokio::task::JoinHandle<Answer> {
        let (admin, path) = (Arc::clone(&self.receiver_admin), format!("/v1/sync/{}", self.primary_id));
        tokio::spawn(async move { admin.call(Method::POST, &path, None).await })
    }

    /// One sync over HTTP, which must succeed.
    pub async fn sync(&mut self) {
        let start = Instant::now();
        match self.start_sync().await.unwrap() {
            Answer::Whole(status, body) => assert_eq!(status, 200, "{body}"),
            cut @ Answer::Cut(_) => panic!("{cut:?}"),
        }
        let took = start.elapsed();
        self.pace = if self.pace.is_zero() { took } else { (self.pace * 7 + took) / 8 };
    }

    /// One sync or one rotation by command, with no server of the secondary.
    pub fn heal(&self, by: &str) {
        self.secondary.home.run(&[by, &self.primary_id]).ok();
    }

    /// Starts the publisher again at once, and waits until nothing of the dead one is left: a session of PostgreSQL
    /// may still commit what it was told before.
    pub async fn revive_publisher(&mut self, environment: &[(&str, &str)]) {
        if self.kind == Kind::Sqlite {
            return self.publisher.start_again(environment);
        }
        let primary = self.stores().0;
        let death = observe::database_time(&primary).await;
        self.publisher.start_again(environment);
        observe::await_end_of_sessions(&primary, &death).await;
    }

    /// After the secondary died: PostgreSQL may take a moment to notice, and until then the dead run holds its lock.
    pub async fn await_end_of_secondary(&mut self) {
        if self.kind == Kind::Postgres {
            let secondary = self.stores().1;
            let death = observe::database_time(&secondary).await;
            observe::await_end_of_sessions(&secondary, &death).await;
        }
    }

    /// A moment in a run of the usual length.
    pub fn moment(&self, draw: &mut Draw) -> Duration {
        self.pace.mul_f64(draw.random_range(0.0..1.1))
    }

    /// Both databases, opened by this process.
    pub fn stores(&mut self) -> (Store, Store) {
        let open = || (self.primary.store(), self.secondary.store());
        match self.kind {
            Kind::Sqlite => open(),
            Kind::Postgres => self.stores.get_or_insert_with(open).clone(),
        }
    }

    /// After a good run both sides show the same, and nothing is left of what was cut off.
    pub async fn assert_equal_and_clean(&mut self) {
        let (primary, secondary) = self.stores();
        for slice in &mut self.slices {
            slice.settle(&primary, &self.history).await;
            observe::assert_equal(&primary, &secondary, slice.id).await;
        }
        observe::assert_primary_is_clean(&primary).await;
        observe::assert_secondary_is_clean(&secondary).await;
        observe::assert_every_slice_says_success(&secondary).await;
    }

    /// What a reader sees of the secondary, whatever happened, is what the primary published.
    pub async fn assert_whole(&mut self) {
        let secondary = self.stores().1;
        for slice in &self.slices {
            look_into(&secondary, &self.history, slice.id).await;
        }
    }

    /// At the very end.
    pub async fn assert_sound(&mut self) {
        let (primary, secondary) = self.stores();
        observe::assert_sound(&primary).await;
        observe::assert_sound(&secondary).await;
    }
}
