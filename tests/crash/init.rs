//! `init` dies at a random moment: the next one works or says what to do, and no folder looks ready that is not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use rand::RngExt as _;

use super::Kind;
use crate::pair::PASSWORD;
use crate::program::{Ended, Home, programs};
use crate::seed::{Rounds, say};

const KILLS: u32 = 30;

#[test]
fn on_sqlite_an_init_that_dies_can_be_repeated() {
    dies("on_sqlite_an_init_that_dies_can_be_repeated", Kind::Sqlite);
}

#[test]
fn on_postgres_an_init_that_dies_can_be_repeated() {
    dies("on_postgres_an_init_that_dies_can_be_repeated", Kind::Postgres);
}

struct Attempt {
    home: Home,
    database: Option<String>,
}

impl Attempt {
    fn args(&self) -> Vec<&str> {
        let mut args = vec!["init", "--name", "Better Brakes", "--admin-password-stdin"];
        args.extend(self.database.iter().flat_map(|url| ["--database", url]));
        args
    }

    fn init(&self) -> Ended {
        self.home.run_with(&self.args(), PASSWORD, &[])
    }

    fn is_initialised(&self) -> bool {
        self.home.folder.join("config.toml").exists()
    }

    /// Whether the node in it opens.
    fn assert_opens(&self) {
        let list = if self.home.program.ends_with("sandpiper-primary") {
            ["company", "list"]
        } else {
            ["primaries", "--json"]
        };
        self.home.run(&list).ok();
    }
}

fn dies(test: &'static str, kind: Kind) {
    let rounds = Rounds::of(test, KILLS);
    if !kind.is_here(test) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let attempt = |name: &str, program: &'static Path| Attempt {
        home: Home { program, folder: folder.path().join(name) },
        database: kind.fresh_database(),
    };
    // The first one loads the program, and takes longer than the others will.
    let pace = ["first", "second"].map(|name| {
        let start = Instant::now();
        attempt(name, &programs().primary).init().ok();
        start.elapsed()
    });
    let pace = pace[0].min(pace[1]);
    let (mut ready, mut again, mut told) = (0, 0, 0);
    for (turn, mut round) in rounds.each().enumerate() {
        let program =
            if round.number.is_multiple_of(2) { &programs().primary } else { &programs().secondary };
        let attempt = attempt(&format!("turn-{turn}"), program);
        let moment = pace.mul_f64(round.draw.random_range(0.0..1.05));
        round.note = format!("`init` killed after {moment:?}");
        attempt.home.run_killed(&attempt.args(), PASSWORD, moment);
        if attempt.is_initialised() {
            ready += 1;
            attempt.assert_opens();
            continue;
        }
        let second = attempt.init();
        if second.status.success() {
            again += 1;
        } else {
            told += 1;
            assert_eq!((second.status.code(), second.err.lines().count()), (Some(78), 1), "{second:?}");
            assert!(!attempt.is_initialised());
            follow(&attempt, &second.err);
        }
        attempt.assert_opens();
    }
    say(&format!(
        "{test}: an init takes {pace:?}; {ready} were ready, {again} just worked again, {told} said what to do"
    ));
    assert!(rounds.count() < 20 || again + told > 0, "no kill came in time");
}

/// Does what the message says: the node is there, only its settings are not.
fn follow(attempt: &Attempt, message: &str) {
    assert!(message.contains("an earlier init was cut off"), "{message}");
    let line = match &attempt.database {
        None => {
            assert!(message.contains("put an empty one there"), "{message}");
            String::new()
        }
        Some(url) => {
            assert!(message.contains("put one with the line database = "), "{message}");
            format!("database = {url:?}\n")
        }
    };
    let config = attempt.home.folder.join("config.toml");
    fs::write(&config, line).unwrap();
    fs::set_permissions(config, fs::Permissions::from_mode(0o600)).unwrap();
}
