//! The same on the Go wire, as far as its one hash can prove anything: it is over ids and metadata. **Not noticed** is a grain's
//! payload, key, source or encoding that is another one under its id, and where a name ends and its value begins. What there is
//! against that is TLS, and a primary that speaks sync-2: it is never read over the Go wire again.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use shared::wire::Id;
use tests::TestDatabase;
use tests::chaos::Answer;
use tests::fake::Asked;
use tests::ledger::Shown;
use tests::seed::{Draw, draw_of, say, seed};

use super::corrupt::{Done, Mark, World, corruptions, flip, metadata, text};
use super::without_sync_2;

/// What is damaged of a slice in a turn: the list of its grains, one of these, or its metadata.
const DAMAGES: [&str; 9] = [
    "an id of the list",
    "a grain that is not listed",
    "a grain that is listed twice",
    "the list of another slice",
    "a list that is cut off",
    "a grain under another id",
    "a pair of metadata flipped",
    "a pair of metadata dropped",
    "metadata of yesterday",
];

fn other_id(id: &Value, draw: &mut Draw) -> Value {
    let id = id.as_str().unwrap();
    let at = draw.random_range(24..id.len());
    let other = if id.as_bytes()[at] == b'0' { "1" } else { "0" };
    json!(format!("{}{other}{}", &id[..at], &id[at + 1..]))
}

fn damage_list(mark: &Mark, marks: &[Mark], what: &str, answer: &mut Answer, draw: &mut Draw) {
    let mut list: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
    let which = draw.random_range(0..list.len());
    match what {
        "an id of the list" => list[which]["id"] = other_id(&list[which]["id"], draw),
        "a grain that is not listed" => drop(list.remove(which)),
        "a grain that is listed twice" => list.push(list[which].clone()),
        "the list of another slice" => {
            let other = marks.iter().find(|other| other.slice != mark.slice).unwrap();
            list = other.new.values().cloned().collect();
        }
        _ => {
            answer.body.truncate(draw.random_range(1..answer.body.len() - 2));
            return;
        }
    }
    answer.body = serde_json::to_vec(&list).unwrap();
}

fn damage_metadata(what: &str, answer: &mut Answer, draw: &mut Draw) {
    let mut pairs: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
    let which = draw.random_range(0..pairs.len());
    match what {
        "a pair of metadata flipped" => pairs[which]["val"] = json!(flip(text(&pairs[which], "val"), draw)),
        "a pair of metadata dropped" => drop(pairs.remove(which)),
        _ => {
            let vcdb = pairs.iter_mut().find(|pair| pair["key"] == "vcdb").unwrap();
            vcdb["val"] = metadata(1)["vcdb"].clone();
        }
    }
    answer.body = serde_json::to_vec(&pairs).unwrap();
}

fn damage(marks: &[Mark], turn: u32, asked: &Asked, answer: &mut Answer) -> Option<(Id, &'static str)> {
    let id: Id = asked.path.split('/').find_map(|part| part.parse().ok())?;
    let is_grain = asked.path.starts_with("/v1/grains/");
    let has_grain = |mark: &Mark| mark.new.values().any(|grain| grain["id"] == id.to_string());
    let is_of = |mark: &Mark| if is_grain { has_grain(mark) } else { mark.slice == id };
    let (number, mark) = marks.iter().enumerate().find(|(_number, mark)| is_of(mark))?;
    let mut draw = draw_of("corrupt_go", turn * 1_000 + u32::try_from(number).unwrap());
    let what = *DAMAGES.choose(&mut draw).unwrap();
    if asked.path.starts_with("/v1/sync/slice/") && (what.contains("list")) {
        damage_list(mark, marks, what, answer, &mut draw);
    } else if asked.path.starts_with("/v1/slices/metadata/") && what.contains("metadata") {
        damage_metadata(what, answer, &mut draw);
    } else if is_grain && what == "a grain under another id" && mark.new["target"]["id"] == id.to_string() {
        let mut grain: Value = serde_json::from_slice(&answer.body).unwrap();
        grain["id"] = if draw.random_bool(0.5) {
            mark.new["beside"]["id"].clone()
        } else {
            other_id(&grain["id"], &mut draw)
        };
        answer.body = serde_json::to_vec(&grain).unwrap();
    } else {
        return None;
    }
    Some((mark.slice, what))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_go_wire_other_ids_and_metadata_are_refused_and_the_old_version_stays() {
    let wanted = corruptions() / 4;
    say(&format!("{wanted} damages on each database with SANDPIPER_TEST_SEED={}", seed()));
    for database in TestDatabase::each("on_the_go_wire_other_ids") {
        let world = World::start(database, false).await;
        let done = Done::default();
        let (mut counts, mut turn) = (BTreeMap::new(), 0);
        while counts.values().sum::<u32>() < wanted {
            turn += 1;
            let (marks, noted) = (Arc::clone(&world.marks), Arc::clone(&done));
            world.chaos.happen(move |asked, answer| {
                let mut answer = without_sync_2(asked, answer);
                if let Some((slice, what)) = damage(&marks, turn, asked, &mut answer) {
                    noted.lock().unwrap().insert(slice, (what.to_owned(), None));
                }
                answer
            });
            world.turn(&done, &mut counts).await;
        }
        say(&format!("{} damages of {} kinds refused", counts.values().sum::<u32>(), counts.len()));
        world.chaos.happen(without_sync_2);
        world.heal().await;
    }
}

/// Should this test fail one day, the wire has learned to prove more, and the sentences above are to be changed.
#[tokio::test]
async fn on_the_go_wire_nobody_can_tell_that_what_stands_under_an_id_was_changed() {
    let world = World::start(TestDatabase::sqlite(), false).await;
    for (field, forged) in [("payload", "forged"), ("grain_key", "forged key"), ("source", "forged.xml")] {
        let marks = Arc::clone(&world.marks);
        world.chaos.happen(move |asked, answer| {
            let mut answer = without_sync_2(asked, answer);
            if asked.path.ends_with(text(&marks[0].new["target"], "id")) {
                let mut grain: Value = serde_json::from_slice(&answer.body).unwrap();
                grain[field] = json!(forged);
                answer.body = serde_json::to_vec(&grain).unwrap();
            }
            answer
        });
        super::forget_source(&world.secondary.secondary.node.store, world.marks[0].slice).await;
        world.secondary.sync(world.primary.server_id).await.unwrap().into_result().unwrap();
        let store = &world.secondary.secondary.node.store;
        let shown = Shown::of(store, world.marks[0].slice).await.unwrap();
        if field == "payload" {
            assert!(shown.grains.iter().any(|grain| grain[field] == forged), "{field}");
        }
    }
}
