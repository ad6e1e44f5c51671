//! Every named point, one after the other: the process dies there, and what comes next finds everything in order.

use rand::RngExt as _;
use reqwest::Method;
use serde_json::json;
use shared::clock::Random;
use shared::failpoint::Failpoint;
use tests::seed::number;

use super::Kind;
use crate::pair::Pair;
use crate::seed::{Round, Rounds};
use crate::session::Answer;
use crate::{migration, observe};

/// What leads to a point.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Publish,
    Sync,
    /// A sync with a slice that the secondary has never seen.
    FirstSync,
    /// A sync with a payload that arrives in pieces.
    LongSync,
    Rotate,
}

/// Who dies, and of which deed at which arrival.
enum Scenario {
    Primary(&'static [Deed]),
    Secondary(&'static [(Deed, u32)]),
    /// The primary, while it deletes a slice.
    Removal,
    /// The primary, while it publishes a long file.
    File,
    /// The primary, while it collects versions.
    Collection,
    /// Both, one after the other, on an older database.
    Migration,
    /// `tests/import` comes by these.
    Import,
}

/// A new point does not compile until it stands here.
fn scenario(point: Failpoint) -> Scenario {
    use Deed::{FirstSync, LongSync, Publish, Rotate, Sync};
    match point {
        Failpoint::MintWritten | Failpoint::MintCommitted | Failpoint::FirstUseCommitted => {
            Scenario::Primary(&[Rotate, Rotate])
        }
        Failpoint::DeathsWritten => Scenario::Primary(&[Publish, Rotate]),
        Failpoint::PublishMeasured | Failpoint::PublishCommitted => Scenario::Primary(&[Publish]),
        Failpoint::PublishPieceWritten => Scenario::File,
        Failpoint::SliceRetired | Failpoint::SlicePurging => Scenario::Removal,
        Failpoint::VersionsForgotten | Failpoint::VersionsCollecting => Scenario::Collection,
        Failpoint::FeedHeaderSent => Scenario::Primary(&[Sync, FirstSync]),
        Failpoint::RotateIntended | Failpoint::RotateAnswered | Failpoint::RotateStored => {
            Scenario::Secondary(&[(Rotate, 1), (Rotate, 1)])
        }
        // The second login of a rotation is that of the new key.
        Failpoint::LoginAnswered => {
            Scenario::Secondary(&[(Sync, 1), (Rotate, 1), (Rotate, 1), (Rotate, 2), (Rotate, 2)])
        }
        Failpoint::RunStarted | Failpoint::RunRecorded | Failpoint::ReportDelivered => {
            Scenario::Secondary(&[(Sync, 1)])
        }
        Failpoint::SubscriptionsTaken => Scenario::Secondary(&[(Sync, 1), (FirstSync, 1)]),
        // A first sync has nothing to remove.
        Failpoint::RemovalsStaged => Scenario::Secondary(&[(Sync, 1), (Sync, 2)]),
        // Once for each of two slices.
        Failpoint::StageBegun
        | Failpoint::GrainsStaged
        | Failpoint::MetadataStaged
        | Failpoint::StageVerified
        | Failpoint::SwitchWritten
        | Failpoint::SwitchCommitted => Scenario::Secondary(&[(Sync, 1), (Sync, 2), (FirstSync, 1)]),
        Failpoint::PieceStaged => Scenario::Secondary(&[(LongSync, 1), (LongSync, 2), (LongSync, 3)]),
        Failpoint::MigrationStarted | Failpoint::MigrationApplied => Scenario::Migration,
        Failpoint::ImportFounded
        | Failpoint::ImportGrainsWritten
        | Failpoint::ImportSlicePublished
        | Failpoint::ImportActivityWritten => Scenario::Import,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_death_at_any_named_point_heals_by_itself() {
    walk("on_sqlite_a_death_at_any_named_point_heals_by_itself", Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_a_death_at_any_named_point_heals_by_itself() {
    walk("on_postgres_a_death_at_any_named_point_heals_by_itself", Kind::Postgres).await;
}

async fn walk(test: &'static str, kind: Kind) {
    let rounds = Rounds::none(test);
    let mut round = rounds.set_up();
    let Some(mut pair) = Pair::start(kind, test, &mut round).await else { return };
    // By command, as cron does: the next process is the one that finds what the dead one left.
    pair.receiver.kill();
    let mut turn = 0_u32;
    let walks = number("SANDPIPER_TEST_WALKS").unwrap_or(1);
    for point in (0..walks).flat_map(|_walk| Failpoint::ALL) {
        match scenario(point) {
            Scenario::Primary(deeds) => {
                for deed in deeds {
                    turn += 1;
                    round.note = format!("the primary at {point:?} of {deed:?}");
                    primary_dies(&mut pair, point, *deed, turn, &mut round).await;
                }
            }
            Scenario::Secondary(deeds) => {
                for (deed, nth) in deeds {
                    turn += 1;
                    round.note = format!("the secondary at {point:?} {nth} of {deed:?}");
                    let point = format!("{}@{nth}", point.name());
                    secondary_dies(&mut pair, &point, *deed, turn, &mut round).await;
                }
            }
            Scenario::Removal => {
                round.note = format!("the primary at {point:?}");
                a_removal_is_cut_off(&mut pair, point).await;
            }
            Scenario::File => {
                round.note = format!("the primary at {point:?}");
                a_file_is_cut_off(&mut pair, point).await;
            }
            Scenario::Collection => {
                round.note = format!("the primary at {point:?}");
                a_collection_is_cut_off(&mut pair, point, &mut round).await;
            }
            Scenario::Import => {}
            Scenario::Migration => {
                round.note = format!("{point:?}");
                pair.publisher.kill();
                migration::dies_at(&pair.primary, &point.name()).await;
                migration::dies_at(&pair.secondary, &point.name()).await;
                pair.publisher.start_again(&[]);
                pair.heal("sync");
                pair.assert_equal_and_clean().await;
            }
        }
    }
    pair.assert_sound().await;
}

/// Both ways out of a rotation that was cut off, in turn.
fn healer(deed: Deed, turn: u32) -> &'static str {
    if matches!(deed, Deed::Rotate) && turn.is_multiple_of(2) { "rotate" } else { "sync" }
}

async fn prepare(pair: &mut Pair, deed: Deed, turn: u32, round: &mut Round) {
    match deed {
        Deed::Rotate => {}
        Deed::Publish | Deed::Sync => pair.change_both(&mut round.draw).await,
        Deed::LongSync => pair.put_long_payload(&mut round.draw).await,
        Deed::FirstSync => pair.add_slice(&format!("slice-{turn}"), &mut round.draw).await,
    }
}

async fn primary_dies(pair: &mut Pair, point: Failpoint, deed: Deed, turn: u32, round: &mut Round) {
    prepare(pair, deed, turn, round).await;
    pair.publisher.kill();
    pair.publisher.start_again(&[("SANDPIPER_FAILPOINT", &point.name())]);
    let command = match deed {
        Deed::Publish => {
            assert!(pair.edit(0, &mut round.draw).await);
            assert!(!pair.publish(0).await, "it was to die of this");
            None
        }
        Deed::Sync | Deed::FirstSync | Deed::LongSync => Some("sync"),
        Deed::Rotate => Some("rotate"),
    };
    if let Some(command) = command {
        let ended = pair.secondary.home.run(&[command, &pair.primary_id]);
        assert!(matches!(ended.status.code(), Some(1 | 75)), "{ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    }
    pair.publisher.await_death();
    pair.revive_publisher(&[]).await;
    let primary = pair.stores().0;
    for slice in &mut pair.slices {
        slice.settle(&primary, &pair.history).await;
    }
    drop(primary);
    // What was cut off may be in the draft: out with it, or the sides differ for that reason.
    assert!(pair.publish(0).await);
    pair.heal(healer(deed, turn));
    pair.heal("sync");
    pair.assert_equal_and_clean().await;
}

/// Nobody sees half a file, and publishing again takes the place of what is left.
async fn a_file_is_cut_off(pair: &mut Pair, point: Failpoint) {
    let id = Random::System.id();
    let slice = json!({ "id": id, "name": "a file", "slice_type": "pies-file", "metadata": { "k": "v" } });
    pair.publisher_admin.done(Method::POST, "/v1/slices", Some(&slice)).await.expect("a slice");
    let path = format!("/v1/slices/{id}/publish?source=a.xml");
    // Not to be compressed to less than a piece.
    let file = json!((0..400_000).map(|_| Random::System.bytes::<4>()).collect::<Vec<_>>());
    for round in 0..2 {
        pair.publisher.kill();
        pair.publisher.start_again(&[("SANDPIPER_FAILPOINT", &format!("{}@{}", point.name(), round + 1))]);
        assert!(pair.publisher_admin.done(Method::POST, &path, Some(&file)).await.is_none());
        pair.publisher.await_death();
        pair.revive_publisher(&[]).await;
        let admin = &pair.publisher_admin;
        let shown = admin.done(Method::GET, &format!("/v1/slices/{id}"), None).await.expect("the slice");
        assert_eq!(shown["content_count"], 0, "{shown}");
        let listed = admin.done(Method::GET, &format!("/v1/grains/slice/{id}"), None).await.expect("a list");
        assert_eq!(listed["paging"]["items_total"], 0, "{listed}");
        // What is left has no owner any more after a minute without a sign of life.
        observe::grow_old(&pair.stores().0).await;
    }
    let admin = &pair.publisher_admin;
    let published = admin.done(Method::POST, &path, Some(&file)).await.expect("a publication");
    assert_eq!((&published["version"], &published["content_count"]), (&json!(1), &json!(1)));
    let shown = admin.done(Method::GET, &format!("/v1/slices/{id}"), None).await.expect("the slice");
    assert_eq!(shown["metadata"], json!({ "k": "v" }), "given when it was made");
    admin.done(Method::DELETE, &format!("/v1/slices/{id}"), None).await.expect("a removal");
}

/// What is published stays whole, and the next start removes the rest.
async fn a_collection_is_cut_off(pair: &mut Pair, point: Failpoint, round: &mut Round) {
    pair.primary.home.add_settings("keep_versions = 2\nkeep_hours = 0\n");
    for _ in 0..4 {
        pair.change_both(&mut round.draw).await;
    }
    pair.publisher.kill();
    let store = pair.stores().0;
    observe::grow_old(&store).await;
    let before = observe::kept(&store).await;
    drop(store);
    // The first look at all slices is when it starts.
    pair.publisher.start_and_die(&[("SANDPIPER_FAILPOINT", &point.name())]);
    pair.revive_publisher(&[]).await;
    pair.heal("sync");
    pair.assert_equal_and_clean().await;
    let store = pair.stores().0;
    let collected = async || {
        let now = observe::kept(&store).await;
        now.versions < before.versions && now.superfluous == 0
    };
    tests::wait_until("the rest to be collected", collected).await;
}

/// Nobody sees half a slice, and asking again removes the rest.
async fn a_removal_is_cut_off(pair: &mut Pair, point: Failpoint) {
    pair.publisher.kill();
    pair.publisher.start_again(&[("SANDPIPER_FAILPOINT", &point.name())]);
    let id = Random::System.id();
    let slice = json!({ "id": id, "name": "going", "slice_type": "pies-items", "metadata": { "k": "v" } });
    pair.publisher_admin.done(Method::POST, "/v1/slices", Some(&slice)).await.expect("a slice");
    for key in ["a", "b", "c"] {
        let grain = json!({ "slice_id": id, "grain_key": key, "encoding": "raw", "payload": "x" });
        pair.publisher_admin.done(Method::POST, "/v1/grains", Some(&grain)).await.expect("a grain");
    }
    let path = format!("/v1/slices/{id}");
    assert!(pair.publisher_admin.done(Method::DELETE, &path, None).await.is_none(), "it was to die of this");
    pair.publisher.await_death();
    pair.revive_publisher(&[]).await;
    let admin = &pair.publisher_admin;
    for unseen in [path.clone(), "/v1/slices/name/going".to_owned()] {
        assert!(
            matches!(admin.call(Method::GET, &unseen, None).await, Answer::Whole(status, _) if status == 404)
        );
    }
    for list in ["/v1/slices?pagesize=250", "/v1/grains?pagesize=250"] {
        let list = admin.done(Method::GET, list, None).await.expect("a list");
        assert!(!list.to_string().contains(&id.to_string()), "{list}");
        let shown = list["data"].as_array().map_or(0, Vec::len);
        assert_eq!(list["paging"]["items_total"], shown, "{list}");
    }
    admin.done(Method::DELETE, &path, None).await.expect("the rest is removed");
    // Id and name are free again.
    admin.done(Method::POST, "/v1/slices", Some(&slice)).await.expect("a slice");
    admin.done(Method::DELETE, &path, None).await.expect("a removal");
    let left = pair.stores().0.read(shared::store::slice::retired).await.expect("a list");
    assert_eq!(left, []);
}

async fn secondary_dies(pair: &mut Pair, point: &str, deed: Deed, turn: u32, round: &mut Round) {
    prepare(pair, deed, turn, round).await;
    let command = if matches!(deed, Deed::Rotate) { "rotate" } else { "sync" };
    let wish = [("SANDPIPER_FAILPOINT", point)];
    let ended = pair.secondary.home.run_with(&[command, &pair.primary_id], "", &wish);
    assert!(ended.was_killed(), "it never came by {point}: {ended:?}");
    pair.await_end_of_secondary().await;
    // Whoever looks first repairs an SQLite file: sometimes that is to be the next run.
    if round.draw.random() {
        pair.assert_whole().await;
        let primaries = pair.secondary.home.run(&["primaries", "--json"]).json();
        assert_ne!(primaries[0]["last_run"], "running", "a dead run does not run: {primaries}");
    }
    pair.heal(healer(deed, turn));
    if matches!(deed, Deed::Rotate) {
        pair.heal("sync");
    }
    pair.assert_equal_and_clean().await;
}
