//! Another company's id is answered as one that there is not: whoever tries ids learns nothing of what others have.

use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use shared::clock::Random;
use tests::TestDatabase;
use tests::seed::{Draw, draw_of};

use super::offer::Drawn;
use super::request::{Draft, Maker};
use super::world::{World, send};

/// Names of members and parameters that say which row is meant.
const NAMING: [&str; 12] = [
    "company_id",
    "slice_id",
    "grain_id",
    "subscription_id",
    "session_id",
    "user_id",
    "activity_id",
    "sub_id",
    "ids",
    "ring_key",
    "epoch",
    "digest",
];

/// The same request on a row of others and on none, in each place that can name one.
fn twins(maker: &Maker<'_>, draw: &mut Draw, drawn: &Drawn, sound: &Draft) -> Vec<[(String, Draft); 2]> {
    let mut twins = Vec::new();
    let values = |draw: &mut Draw, name: &str| -> Option<[String; 2]> {
        let theirs = maker.pool(name, sound.template, false).choose(draw)?.clone();
        let is_number = theirs.parse::<i64>().is_ok();
        let none =
            if is_number { "987654".to_owned() } else { Random::System.id().to_string().replace('-', "") };
        Some([theirs, none])
    };
    for (place, (name, _value)) in sound.path.iter().enumerate() {
        if let Some(pair) = values(draw, name) {
            twins.push(pair.map(|value| {
                let mut draft = sound.clone();
                draft.path[place].1.clone_from(&value);
                (value, draft)
            }));
        }
    }
    for name in drawn.members.iter().filter(|name| NAMING.contains(&name.as_str())) {
        if let (Some(pair), Some(_body)) = (values(draw, name), &sound.body) {
            twins.push(pair.map(|value| {
                let mut draft = sound.clone();
                let member = if name == "ids" { json!([value]) } else { json!(value) };
                if let Some(body) = draft.body.as_mut().and_then(Value::as_object_mut) {
                    body.insert(name.clone(), member);
                }
                (value, draft)
            }));
        }
    }
    let filters = drawn.filters.iter().map(|name| (name, true));
    for (name, is_filter) in filters.chain(drawn.query.iter().map(|name| (name, false))) {
        let Some(pair) = NAMING.contains(&name.as_str()).then(|| values(draw, name)).flatten() else {
            continue;
        };
        twins.push(pair.map(|value| {
            let mut draft = sound.clone();
            let parameter = ("filter".to_owned(), format!("{name}:{value}"));
            draft.query = vec![if is_filter { parameter } else { (name.clone(), value.clone()) }];
            (value, draft)
        }));
    }
    twins
}

async fn compare(test: &str, world: World) {
    let mut draw = draw_of(test, 1);
    let rows = world.rows().await;
    let all = Drawn::all();
    let (mut wrong, mut pairs) = (Vec::new(), 0);
    for side in 0..2 {
        let maker = Maker { world: &world, rows: &rows, side };
        for seat in 0..world.sides[side].seats.len() {
            for drawn in &all {
                let sound = maker.sound(&mut draw, drawn, seat);
                for pair in twins(&maker, &mut draw, drawn, &sound) {
                    let mut answers = Vec::new();
                    for (value, draft) in &pair {
                        let answer = send(draft.build(&world, side)).await;
                        let mut body = answer.body();
                        if let Some(members) = body.as_object_mut() {
                            members.remove("request_id");
                        }
                        let told = super::oracle::unpacked(&body.to_string());
                        // Short numbers stand in times and sizes too.
                        let it = super::rows::normal(value);
                        let told = if it.len() > 5 { told.replace(&it, "it") } else { told };
                        answers.push((answer.status, told));
                    }
                    pairs += 1;
                    if answers[0] != answers[1] {
                        let role = world.sides[side].seats[seat].role;
                        wrong.push(format!("{role:?} {:?}: {answers:?}", pair[0].1));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {pairs} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(pairs > 100, "{pairs}");
}

#[tokio::test]
async fn at_a_primary_a_row_of_others_is_answered_as_one_that_there_is_not() {
    let test = "at_a_primary_a_row_of_others";
    for database in TestDatabase::each(test) {
        compare(test, World::on_primary(database, &mut draw_of(test, 0)).await).await;
    }
}

#[tokio::test]
async fn at_a_secondary_a_row_of_others_is_answered_as_one_that_there_is_not() {
    let test = "at_a_secondary_a_row_of_others";
    for database in TestDatabase::each(test) {
        compare(test, World::on_secondary(database, &mut draw_of(test, 0)).await).await;
    }
}
