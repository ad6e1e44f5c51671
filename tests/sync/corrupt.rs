//! Payloads, metadata and digests that are changed on the way: each is refused by an error that names the grain at fault, none is
//! ever shown, and the old version is still served. Many slices travel in one run, each with one damage of its own.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use secondary::sync::Outcome;
use serde_json::{Value, json};
use shared::crypto::set_hash::grain_digest;
use shared::payload::Encoding;
use shared::wire::Id;
use tests::chaos::{Answer, Chaos, Coding};
use tests::fake::Asked;
use tests::ledger::{Ledger, Publisher, Shown};
use tests::seed::{Draw, draw_of, number, say, seed};
use tests::{TestDatabase, TestPrimary, TestSecondary};

use super::{forget_source, without_sync_2};

const MIB: usize = 1024 * 1024;

/// How a slice's new version travels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Way {
    /// There is nothing yet.
    Full,
    /// From the version that is there.
    Delta,
    /// By ids: the grains that are missing are asked for.
    Wanted,
}

/// What is damaged in it, each time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    RawSmall,
    /// Too large for its row.
    RawLarge,
    Z64,
    /// Too large for a line.
    Pieces,
    Metadata,
    Digest,
    /// The whole answer is another one.
    Answer,
}

const TARGETS: [Target; 7] = [
    Target::RawSmall,
    Target::RawLarge,
    Target::Z64,
    Target::Pieces,
    Target::Metadata,
    Target::Digest,
    Target::Answer,
];

fn payload_of(target: Target, version: usize, word: &str) -> (&'static str, String) {
    let text = |length: usize| format!("<{word} {version} Größe>").chars().cycle().take(length).collect();
    match target {
        Target::RawLarge => ("raw", text(70_000)),
        Target::Pieces => ("raw", text(MIB + 5_000)),
        Target::Z64 => {
            let text: String =
                (0..900).map(|n| format!("{word} {version} {n};")).collect::<Vec<_>>().concat();
            ("z64", Encoding::Z64.encode(text.as_bytes()).unwrap())
        }
        _ => ("raw", text(60)),
    }
}

/// A slice with one target.
pub(super) struct Mark {
    pub slice: Id,
    pub way: Way,
    pub target: Target,
    /// Key to grain, of the version that is there and of the one that never arrives.
    pub old: BTreeMap<String, Value>,
    pub new: BTreeMap<String, Value>,
    old_digest: String,
    /// Digest of what readers see: the old version, or nothing.
    shown: String,
}

/// What was done to a slice in this run, and the grain that is to be named for it.
pub(super) type Done = Arc<Mutex<HashMap<Id, (String, Option<Id>)>>>;

pub(super) struct World {
    pub primary: TestPrimary,
    pub chaos: Chaos,
    pub secondary: TestSecondary,
    pub marks: Arc<Vec<Mark>>,
    ledger: Ledger,
}

pub(super) fn metadata(version: usize) -> Value {
    json!({ "vcdb": format!("2026-0{version}"), "pcdb": "7" })
}

fn content(publisher: &Publisher) -> BTreeMap<String, Value> {
    publisher.keys().into_iter().map(|key| (key.clone(), publisher.grain(&key).clone())).collect()
}

impl World {
    pub async fn start(database: TestDatabase, speaks_sync_2: bool) -> Self {
        let primary = TestPrimary::start().await;
        let secondary = TestSecondary::start_on(database).await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        let chaos = Chaos::start(&primary.url).await;
        if !speaks_sync_2 {
            chaos.happen(without_sync_2);
        }
        secondary.connect(&chaos.url, "companyadmin").await;
        let ledger = Ledger::default();
        let mut publishers = Vec::new();
        let ways: &[Way] = if speaks_sync_2 { &[Way::Full, Way::Delta, Way::Wanted] } else { &[Way::Delta] };
        for way in ways {
            for target in TARGETS {
                let name = format!("{way:?} {target:?}");
                let slice = primary.add_slice(&name, "pies-items", &metadata(1), company).await;
                let publisher = Publisher::of(slice, &metadata(1), &ledger);
                publishers.push((*way, target, publisher));
            }
        }
        let mut marks = Vec::new();
        // Those of which nothing is there come last.
        publishers.sort_by_key(|(way, ..)| *way == Way::Full);
        let is_first = publishers.iter().position(|(way, ..)| *way == Way::Full);
        for (n, (way, target, publisher)) in publishers.iter_mut().enumerate() {
            if Some(n) == is_first {
                secondary.sync(primary.server_id).await.unwrap();
            }
            publish(&primary, publisher, *target, 1).await;
            let (old, old_digest) = (content(publisher), publisher.published.clone());
            marks.push(Mark {
                slice: publisher.slice,
                way: *way,
                target: *target,
                old,
                new: BTreeMap::new(),
                old_digest,
                shown: String::new(),
            });
        }
        if is_first.is_none() {
            secondary.sync(primary.server_id).await.unwrap().into_result().unwrap();
        }
        for (mark, (_way, _target, publisher)) in marks.iter_mut().zip(&mut publishers) {
            publisher.set_metadata(&primary, &metadata(2)).await;
            publish(&primary, publisher, mark.target, 2).await;
            mark.new = content(publisher);
            if let Some(shown) = Shown::of(&secondary.secondary.node.store, mark.slice).await {
                mark.shown = shown.digest();
                assert_eq!(mark.shown == mark.old_digest, mark.way != Way::Full);
            }
            if mark.way == Way::Wanted {
                forget_source(&secondary.secondary.node.store, mark.slice).await;
            }
        }
        Self { primary, chaos, secondary, marks: Arc::new(marks), ledger }
    }

    /// One run in which every slice is damaged; how often each damage was refused.
    pub async fn turn(&self, done: &Done, counts: &mut BTreeMap<String, u32>) {
        done.lock().unwrap().clear();
        let report = self.secondary.sync(self.primary.server_id).await.unwrap();
        let done = std::mem::take(&mut *done.lock().unwrap());
        for mark in self.marks.iter() {
            let (what, named) =
                done.get(&mark.slice).unwrap_or_else(|| panic!("{:?} {:?}", mark.way, mark.target));
            let what = format!("{:?} {:?}: {what}", mark.way, mark.target);
            let outcome = report.slices.iter().find(|slice| slice.slice_id == mark.slice).unwrap();
            let Outcome::Failed { error, temporary: false } = &outcome.outcome else {
                panic!("{what}: {:?}", outcome.outcome)
            };
            match named {
                Some(id) => {
                    assert!(error.contains(&format!("grain {id} arrived damaged")), "{what}: {error}");
                }
                None => assert!(
                    [
                        "do not match",
                        "sent something unexpected",
                        "another slice",
                        "not asked for",
                        "breaks off",
                        "twice in one version",
                        "answered 40"
                    ]
                    .iter()
                    .any(|words| error.contains(words)),
                    "{what}: {error}"
                ),
            }
            if let Some(shown) = Shown::of(&self.secondary.secondary.node.store, mark.slice).await {
                shown.assert_sound();
                assert_eq!((shown.digest(), shown.staged), (mark.shown.clone(), 0), "{what}");
            }
            *counts.entry(what).or_default() += 1;
        }
    }

    /// All of it was good but for the damage.
    pub async fn heal(&self) {
        let report = self.secondary.sync(self.primary.server_id).await.unwrap().into_result().unwrap();
        assert_eq!(report.changed(), self.marks.len());
        for mark in self.marks.iter() {
            let store = &self.secondary.secondary.node.store;
            let shown = self.ledger.assert_published(store, mark.slice).await.unwrap();
            assert_eq!(shown.grains.len(), mark.new.len());
            let theirs = Shown::of(&self.primary.node.store, mark.slice).await.unwrap();
            assert_eq!(shown.digest(), theirs.digest());
        }
    }
}

/// One grain that is damaged, and two beside it.
async fn publish(primary: &TestPrimary, publisher: &mut Publisher, target: Target, version: usize) {
    for key in ["target", "beside", "behind"] {
        let target = if key == "target" { target } else { Target::RawSmall };
        let (encoding, payload) = payload_of(target, version, key);
        publisher.put(primary, key, encoding, &payload).await;
    }
    publisher.publish(primary).await;
}

pub(super) fn text<'a>(grain: &'a Value, name: &str) -> &'a str {
    grain[name].as_str().unwrap()
}

/// One character, another character.
pub(super) fn flip(text: &str, draw: &mut Draw) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let at = draw.random_range(0..characters.len());
    let flipped = u32::from(characters[at]) ^ (1 << draw.random_range(0..7));
    characters[at] = char::from_u32(flipped).unwrap();
    characters.into_iter().collect()
}

/// Two characters that are not the same change places.
fn swap(text: &str, draw: &mut Draw) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let one = draw.random_range(0..characters.len());
    let other = (0..characters.len()).find(|other| characters[*other] != characters[one]).unwrap();
    characters.swap(one, other);
    characters.into_iter().collect()
}

fn truncate(text: &str, draw: &mut Draw) -> String {
    let count = text.chars().count();
    text.chars().take(draw.random_range(0..count)).collect()
}

/// Damages the target in a line of the feed; its digest may be made to fit.
fn damage_grain(mark: &Mark, grain: &mut Value, draw: &mut Draw) -> (String, Option<Id>) {
    let id: Id = text(grain, "id").parse().unwrap();
    let payload = text(grain, "payload").to_owned();
    let what = ["flip", "swap", "truncate", "replay", "another's", "key", "source", "encoding", "digest"]
        .choose(draw)
        .unwrap();
    match *what {
        "flip" => grain["payload"] = json!(flip(&payload, draw)),
        "swap" => grain["payload"] = json!(swap(&payload, draw)),
        "truncate" => grain["payload"] = json!(truncate(&payload, draw)),
        "replay" => grain["payload"] = mark.old["target"]["payload"].clone(),
        "another's" => grain["payload"] = mark.new["beside"]["payload"].clone(),
        "key" => grain["grain_key"] = json!(flip(text(grain, "grain_key"), draw)),
        "source" => grain["source"] = json!(flip(text(grain, "source"), draw)),
        "encoding" => grain["encoding"] = json!("a85"),
        _ => {
            // Hex still, so that it is a digest.
            let digest = text(grain, "digest").to_owned();
            let at = draw.random_range(0..digest.len());
            let other = if digest.as_bytes()[at] == b'0' { "1" } else { "0" };
            grain["digest"] = json!(format!("{}{other}{}", &digest[..at], &digest[at + 1..]));
        }
    }
    let holds_nul = ["payload", "grain_key", "source"].iter().any(|name| text(grain, name).contains('\0'));
    if *what != "digest" && !holds_nul && draw.random_bool(0.3) {
        let field = |name: &str| text(grain, name);
        let digest =
            grain_digest(id, field("grain_key"), field("encoding"), field("source"), field("payload"));
        grain["digest"] = json!(data_encoding::HEXLOWER.encode(&digest));
        return (format!("{what} under a digest that fits"), None);
    }
    ((*what).to_owned(), Some(id))
}

fn damage_header(mark: &Mark, header: &mut Value, draw: &mut Draw) -> String {
    if mark.target == Target::Digest {
        let digest = text(header, "digest").to_owned();
        let at = draw.random_range(0..digest.len());
        let other = if digest.as_bytes()[at] == b'0' { "1" } else { "0" };
        let (what, digest) = match draw.random_range(0..3) {
            0 => ("replay", mark.old_digest.clone()),
            1 => ("truncate", digest[..at].to_owned()),
            _ => ("flip", format!("{}{other}{}", &digest[..at], &digest[at + 1..])),
        };
        header["digest"] = json!(digest);
        return what.to_owned();
    }
    let pairs = header["metadata"].as_array_mut().unwrap();
    let which = draw.random_range(0..pairs.len());
    let name = if draw.random_bool(0.5) { "key" } else { "val" };
    let what = ["flip", "swap", "drop", "replay"].choose(draw).unwrap();
    match *what {
        "flip" => pairs[which][name] = json!(flip(text(&pairs[which], name), draw)),
        "swap" => {
            let (one, other) = (pairs[0]["val"].clone(), pairs[1]["val"].clone());
            (pairs[0]["val"], pairs[1]["val"]) = (other, one);
        }
        "drop" => drop(pairs.remove(which)),
        _ => {
            let vcdb = pairs.iter_mut().find(|pair| pair["key"] == "vcdb").unwrap();
            vcdb["val"] = metadata(1)["vcdb"].clone();
        }
    }
    (*what).to_owned()
}

/// A piece of the target's payload.
fn damage_piece(mark: &Mark, asked: &Asked, answer: &mut Answer, draw: &mut Draw) -> (String, Option<Id>) {
    let body = &mut answer.body;
    let at = draw.random_range(0..body.len());
    let what = ["flip", "swap", "truncate", "replay", "another digest"].choose(draw).unwrap();
    match *what {
        "flip" => body[at] ^= 1 << draw.random_range(0..8),
        "swap" => {
            let other = (0..body.len()).find(|other| body[*other] != body[at]).unwrap();
            body.swap(at, other);
        }
        "truncate" => body.truncate(at),
        "replay" => {
            let offset: usize = asked.uri.rsplit_once("offset=").unwrap().1.parse().unwrap();
            let old = text(&mark.old["target"], "payload").as_bytes();
            *body = old[offset..old.len().min(offset + MIB)].to_vec();
        }
        _ => answer.digest = Some("sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:".to_owned()),
    }
    ((*what).to_owned(), Some(text(&mark.new["target"], "id").parse().unwrap()))
}

fn lines(body: &[u8]) -> Vec<Value> {
    body.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// The damage of one answer, if it is one that carries the target of its slice.
fn damage(
    marks: &[Mark],
    earlier: &Mutex<Vec<(Id, Vec<u8>)>>,
    turn: u32,
    asked: &Asked,
    answer: &mut Answer,
) -> Option<(Id, String, Option<Id>)> {
    let parts: Vec<&str> = asked.path.split('/').collect();
    let slice: Id = parts.iter().find_map(|part| part.parse().ok())?;
    let (number, mark) = marks.iter().enumerate().find(|(_number, mark)| mark.slice == slice)?;
    let mut draw = draw_of("corrupt", turn * 1_000 + u32::try_from(number).unwrap());
    let is_header = matches!(mark.target, Target::Metadata | Target::Digest);
    let (is_feed, is_piece) = (asked.path.ends_with("/feed"), asked.path.ends_with("/payload"));
    let carries = if is_header || mark.way != Way::Wanted { "/feed" } else { "/grains" };
    if is_feed {
        let mut earlier = earlier.lock().unwrap();
        if !earlier.iter().any(|(known, _body)| *known == slice) {
            earlier.push((slice, answer.body.clone()));
        }
    }
    answer.coding = match draw.random_range(0..3) {
        0 => Coding::Plain,
        1 if !is_piece => Coding::Gzip,
        _ => Coding::Zstd,
    };
    if mark.target == Target::Pieces {
        let wanted = if draw.random_bool(0.5) { "offset=0" } else { "offset=1048576" };
        let is_meant = is_piece && asked.uri.ends_with(wanted);
        return is_meant
            .then(|| damage_piece(mark, asked, answer, &mut draw))
            .map(|(what, named)| (slice, what, named));
    }
    if !asked.path.ends_with(carries) {
        return None;
    }
    if mark.target == Target::Answer {
        let other = earlier.lock().unwrap().iter().find(|(other, _body)| *other != slice).cloned();
        let (what, body) = if let (Some((_other, body)), true) = (other, draw.random_bool(0.5)) {
            ("the answer for another slice", body)
        } else {
            let length = answer.body.len();
            ("in the middle of a line", answer.body[..draw.random_range(1..length - 6)].to_vec())
        };
        answer.body = body;
        // Behind a whole line it breaks off without `end`.
        return Some((slice, what.to_owned(), None));
    }
    let mut lines = lines(&answer.body);
    let (what, named) = if is_header {
        (damage_header(mark, &mut lines[0], &mut draw), None)
    } else {
        let target = lines.iter_mut().find(|line| line["grain"]["grain_key"] == "target").unwrap();
        damage_grain(mark, &mut target["grain"], &mut draw)
    };
    answer.body = lines.iter().map(|line| format!("{line}\n")).collect::<Vec<_>>().concat().into_bytes();
    Some((slice, what, named))
}

/// So many on each database.
pub(super) fn corruptions() -> u32 {
    number("SANDPIPER_TEST_CORRUPTIONS").unwrap_or_else(|| tests::times(840))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_damaged_on_the_way_is_refused_by_name_and_the_old_version_stays() {
    let wanted = corruptions();
    say(&format!("{wanted} damages on each database with SANDPIPER_TEST_SEED={}", seed()));
    for database in TestDatabase::each("whatever_is_damaged") {
        let world = World::start(database, true).await;
        let done = Done::default();
        let (mut counts, mut turn) = (BTreeMap::new(), 0);
        while counts.values().sum::<u32>() < wanted {
            turn += 1;
            let (marks, noted, earlier) = (Arc::clone(&world.marks), Arc::clone(&done), Mutex::default());
            world.chaos.happen(move |asked, mut answer| {
                if let Some((slice, what, named)) = damage(&marks, &earlier, turn, asked, &mut answer) {
                    noted.lock().unwrap().insert(slice, (what, named));
                }
                answer
            });
            world.turn(&done, &mut counts).await;
        }
        say(&format!("{} damages of {} kinds refused", counts.values().sum::<u32>(), counts.len()));
        world.chaos.heal();
        world.heal().await;
    }
}
