//! An import that dies, at every named point and at any moment: the next one goes on, and comes to the same end.

use std::time::{Duration, Instant};

use rand::RngExt as _;
use serde_json::json;
use shared::failpoint::Failpoint;
use shared::wire::server::ServerRole;

use crate::dump;
use crate::program::Home;
use crate::source::Source;

const POINTS: [(Failpoint, u32); 7] = [
    (Failpoint::ImportFounded, 1),
    (Failpoint::ImportGrainsWritten, 1),
    (Failpoint::ImportGrainsWritten, 4),
    (Failpoint::ImportSlicePublished, 1),
    (Failpoint::ImportSlicePublished, 2),
    (Failpoint::ImportSlicePublished, 4),
    (Failpoint::ImportActivityWritten, 1),
];

#[tokio::test]
async fn an_import_that_dies_at_a_named_point_goes_on_and_ends_as_if_it_had_not() {
    let test = "an_import_that_dies_at_a_named_point";
    let Some(source) = Source::restore(test, ServerRole::Primary) else { return };
    // As many batches as there are points.
    source.sql("DELETE FROM grains WHERE grain_key LIKE 'part-%' AND grain_key > 'part-3';");
    for (turn, undisturbed) in Home::each(test, ServerRole::Primary).into_iter().enumerate() {
        let report = undisturbed.import(&source).ok().json();
        let expected = dump::lasting(&undisturbed.store()).await;
        for (point, nth) in POINTS {
            let home = Home::each(test, ServerRole::Primary).swap_remove(turn);
            let wish = format!("{}@{nth}", point.name());
            let ended = home.import_with(&source, &[], &[("SANDPIPER_FAILPOINT", &wish)]);
            assert!(ended.was_killed(), "it never came by {wish}: {ended:?}");
            if home.dir.join("config.toml").exists() {
                home.run(&["serve"]).fails_with(78, "run `import --from …` again");
            } else {
                home.run(&["serve"]).fails_with(78, "is not initialised");
            }
            let resumed = home.import(&source).ok().json();
            assert_eq!(resumed["already"], json!(false));
            assert_eq!(resumed, report, "after {wish}");
            dump::assert_equal(&expected, &dump::lasting(&home.store()).await);
            drop(home.serve());
        }
    }
}

#[tokio::test]
async fn an_import_that_is_killed_again_and_again_still_comes_to_the_same_end() {
    let test = "an_import_that_is_killed_again_and_again";
    let Some(source) = Source::restore(test, ServerRole::Secondary) else { return };
    for (turn, undisturbed) in Home::each(test, ServerRole::Secondary).into_iter().enumerate() {
        let start = Instant::now();
        let report = undisturbed.import(&source).ok().json();
        let pace = start.elapsed();
        let expected = dump::lasting(&undisturbed.store()).await;
        for _round in 0..tests::times(10) {
            let home = Home::each(test, ServerRole::Secondary).swap_remove(turn);
            for _kill in 0..4 {
                let moment = pace.mul_f64(rand::rng().random_range(0.0..1.1));
                let mut child = home.spawn_import(&source);
                let start = Instant::now();
                while child.try_wait().unwrap().is_none() && start.elapsed() < moment {
                    std::thread::sleep(Duration::from_millis(1));
                }
                drop(child.kill());
                child.wait().unwrap();
            }
            let mut last = home.import(&source).ok().json();
            last["already"] = json!(false);
            assert_eq!(last, report);
            dump::assert_equal(&expected, &dump::lasting(&home.store()).await);
        }
    }
}

#[tokio::test]
async fn two_imports_at_once_do_not_meet() {
    let test = "two_imports_at_once";
    let Some(source) = Source::restore(test, ServerRole::Primary) else { return };
    for home in Home::each(test, ServerRole::Primary) {
        // Both want to make the same folder: at most one of them may be told to come back.
        let children = [home.spawn_import(&source), home.spawn_import(&source)];
        let ends: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
        let codes: Vec<_> = ends.iter().map(|end| end.status.code()).collect();
        assert!(codes.contains(&Some(0)), "{ends:?}");
        let last = home.import(&source).ok().json();
        assert_eq!(last["already"], json!(true));
        let fresh = Home::sqlite(ServerRole::Primary);
        let mut expected = fresh.import(&source).ok().json();
        expected["already"] = json!(true);
        assert_eq!(last, expected);
    }
}

#[test]
fn a_source_that_changed_meanwhile_is_refused() {
    let test = "a_source_that_changed_meanwhile";
    let Some(source) = Source::restore(test, ServerRole::Primary) else { return };
    for change in [
        "UPDATE companies SET active = TRUE;",
        "DELETE FROM grains WHERE grain_key = 'part-1';",
        // The same number of grains, in a slice that is here already.
        "UPDATE grains SET payload = 'other' WHERE id = '03cd2467-b8ce-444d-b8a4-33a8135750c6';",
    ] {
        let home = Home::sqlite(ServerRole::Primary);
        let ended = home.import_with(&source, &[], &[("SANDPIPER_FAILPOINT", "ImportSlicePublished@2")]);
        assert!(ended.was_killed(), "{ended:?}");
        source.sql(change);
        home.import(&source).fails_with(78, "has changed since this import began");
    }
}
