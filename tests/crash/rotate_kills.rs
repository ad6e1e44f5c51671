//! Either server dies at a random moment of a rotation: a key that works is always left, and nobody has to help.

use std::time::{Duration, Instant};

use rand::RngExt as _;

use super::Kind;
use crate::observe;
use crate::pair::Pair;
use crate::seed::{Rounds, say};

const KILLS: u32 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_rotation_survives_any_death_of_either_server() {
    either_dies("on_sqlite_a_rotation_survives_any_death_of_either_server", Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_a_rotation_survives_any_death_of_either_server() {
    either_dies("on_postgres_a_rotation_survives_any_death_of_either_server", Kind::Postgres).await;
}

async fn either_dies(test: &'static str, kind: Kind) {
    let rounds = Rounds::of(test, KILLS);
    let Some(mut pair) = Pair::start(kind, test, &mut rounds.set_up()).await else { return };
    // Rotations come by cron, and so does what heals them.
    pair.receiver.kill();
    let start = Instant::now();
    pair.heal("rotate");
    let mut pace = start.elapsed();
    let (mut generation, mut cut) = (0, 0);
    for mut round in rounds.each() {
        let moment = pace.mul_f64(round.draw.random_range(0.0..1.1));
        let secondary_dies = round.number.is_multiple_of(2);
        let healer = if round.draw.random() { "rotate" } else { "sync" };
        round.note = format!(
            "the {} killed {moment:?} into a rotation, healed by `{healer}`",
            if secondary_dies { "secondary" } else { "primary" }
        );
        let rotate = ["rotate", &pair.primary_id];
        let ended = if secondary_dies {
            let ended = pair.secondary.home.run_killed(&rotate, "", moment);
            pair.await_end_of_secondary().await;
            ended
        } else {
            let killer = pair.publisher.kill_after(moment);
            let ended = pair.secondary.home.run(&rotate);
            killer.join().unwrap();
            pair.revive_publisher(&[]).await;
            assert!(matches!(ended.status.code(), Some(0 | 1 | 75)), "a refusal is no crash: {ended:?}");
            ended
        };
        cut += u32::from(!ended.status.success());
        let start = Instant::now();
        pair.heal(healer);
        if healer == "rotate" {
            pace = (pace * 7 + start.elapsed().min(Duration::from_secs(5))) / 8;
        }
        let (primary, secondary) = pair.stores();
        observe::assert_primary_is_clean(&primary).await;
        observe::assert_secondary_is_clean(&secondary).await;
        let newest = observe::generation(&primary).await;
        let least = generation + i64::from(ended.status.success()) + i64::from(healer == "rotate");
        // One by the rotation that was cut off, one by what healed it.
        assert!((least..=generation + 2).contains(&newest) || generation == 0, "{generation}, then {newest}");
        generation = newest;
    }
    pair.heal("sync");
    pair.assert_equal_and_clean().await;
    pair.assert_sound().await;
    let kills = rounds.count();
    say(&format!("{test}: {kills} kills, {cut} of them in time; a rotation takes {pace:?}"));
    assert!(kills < 20 || cut > kills / 10, "hardly a kill came in time");
}
