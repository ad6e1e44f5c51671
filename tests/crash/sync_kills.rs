//! Either server dies at a random moment of a sync.

use rand::RngExt as _;

use super::Kind;
use crate::observe;
use crate::pair::Pair;
use crate::reader::{Reader, Window};
use crate::seed::{Round, Rounds, say};
use crate::session::Answer;

const KILLS: u32 = 300;
/// Of those after which the primary goes back to what the secondary still shows.
const KILLS_AND_BACK: u32 = 15;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_sync_survives_any_death_of_the_secondary() {
    secondary_dies("on_sqlite_a_sync_survives_any_death_of_the_secondary", Kind::Sqlite, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_a_sync_survives_any_death_of_the_secondary() {
    secondary_dies("on_postgres_a_sync_survives_any_death_of_the_secondary", Kind::Postgres, false).await;
}

/// "Nothing to do" must clear the stage of a dead run, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_each_database_a_primary_that_goes_back_leaves_no_stage_behind() {
    let test = "on_each_database_a_primary_that_goes_back_leaves_no_stage_behind";
    secondary_dies(test, Kind::Sqlite, true).await;
    secondary_dies(test, Kind::Postgres, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_sync_survives_any_death_of_the_primary() {
    primary_dies("on_sqlite_a_sync_survives_any_death_of_the_primary", Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_a_sync_survives_any_death_of_the_primary() {
    primary_dies("on_postgres_a_sync_survives_any_death_of_the_primary", Kind::Postgres).await;
}

/// What a loop really did: told at its end, and checked not to be nothing.
#[derive(Default)]
struct Tally {
    cut: u32,
    looks: u64,
}

impl Tally {
    fn end(&self, test: &str, kills: u32, pair: &Pair) {
        let Self { cut, looks } = self;
        say(&format!(
            "{test}: {kills} kills, {cut} of them before the sync had answered; {looks} looks; a sync takes {:?}",
            pair.pace
        ));
        assert!(kills < 20 || *cut > kills / 10, "hardly a kill came in time");
        assert!(*looks > 0);
    }
}

/// Every other reader looks into the database; on SQLite a process that has it open keeps the next one from repairing
/// it, so the other half of the deaths leave a database that the restarted server has to repair.
fn reader(pair: &mut Pair, round: &mut Round) -> Reader {
    let window = if round.draw.random() {
        Window::Database(pair.stores().1)
    } else {
        Window::Http(std::sync::Arc::clone(&pair.receiver_admin))
    };
    Reader::start(pair, window)
}

async fn secondary_dies(test: &'static str, kind: Kind, goes_back: bool) {
    let rounds = Rounds::of(test, if goes_back { KILLS_AND_BACK } else { KILLS });
    let Some(mut pair) = Pair::start(kind, test, &mut rounds.set_up()).await else { return };
    let mut tally = Tally::default();
    for mut round in rounds.each() {
        let before = pair.contents();
        pair.change(&mut round.draw).await;
        let moment = pair.moment(&mut round.draw);
        round.note = format!("the secondary killed {moment:?} into a sync");
        let reader = reader(&mut pair, &mut round);
        let sync = pair.start_sync();
        let killer = pair.receiver.kill_after(moment);
        let answer = sync.await.unwrap();
        killer.join().unwrap();
        match answer {
            // Answered, so nothing of it may be lost, with no further sync.
            Answer::Whole(status, body) => {
                assert_eq!(status, 200, "{body}");
                let (primary, secondary) = pair.stores();
                for slice in &pair.slices {
                    observe::assert_equal(&primary, &secondary, slice.id).await;
                }
            }
            Answer::Cut(_) => tally.cut += 1,
        }
        pair.await_end_of_secondary().await;
        if goes_back {
            pair.change_back(&before).await;
        }
        // Cron comes before the server does.
        if round.draw.random_ratio(1, 8) {
            pair.secondary.home.run(&["sync", "--all"]).ok();
        }
        pair.receiver.start_again(&[]);
        pair.sync().await;
        tally.looks += reader.stop().await;
        pair.assert_equal_and_clean().await;
    }
    pair.assert_sound().await;
    tally.end(test, rounds.count(), &pair);
}

async fn primary_dies(test: &'static str, kind: Kind) {
    let rounds = Rounds::of(test, KILLS);
    let Some(mut pair) = Pair::start(kind, test, &mut rounds.set_up()).await else { return };
    let mut tally = Tally::default();
    for mut round in rounds.each() {
        pair.change(&mut round.draw).await;
        let moment = pair.moment(&mut round.draw);
        round.note = format!("the primary killed {moment:?} into a sync, while it publishes");
        let reader = reader(&mut pair, &mut round);
        let sync = pair.start_sync();
        let killer = pair.publisher.kill_after(moment);
        // Goes on until it is cut off.
        loop {
            let slice = usize::from(round.draw.random_ratio(1, 4));
            let publishes = round.draw.random_ratio(1, 4);
            let done =
                if publishes { pair.publish(slice).await } else { pair.edit(slice, &mut round.draw).await };
            if !done {
                break;
            }
        }
        killer.join().unwrap();
        match sync.await.unwrap() {
            Answer::Whole(status, _body) if status == 200 => {}
            Answer::Whole(status, body) => {
                assert_eq!(status, 502, "{body}");
                tally.cut += 1;
            }
            cut @ Answer::Cut(_) => panic!("the secondary was left alone: {cut:?}"),
        }
        pair.revive_publisher(&[]).await;
        let primary = pair.stores().0;
        for slice in &mut pair.slices {
            slice.settle(&primary, &pair.history).await;
        }
        drop(primary);
        for slice in 0..pair.slices.len() {
            assert!(pair.publish(slice).await);
        }
        pair.sync().await;
        tally.looks += reader.stop().await;
        pair.assert_equal_and_clean().await;
    }
    pair.assert_sound().await;
    tally.end(test, rounds.count(), &pair);
}
