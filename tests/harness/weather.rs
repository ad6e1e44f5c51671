//! What a bad network does, drawn from the seed: which answers meet something, and what.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt as _;

use crate::chaos::{Answer, Coding, End};
use crate::fake::Asked;
use crate::seed::{Draw, draw_of};

/// Longest delay of one answer, and what all pauses in it may take together, about.
const MOST_DELAY_MS: u64 = 30;
/// Answers of one kind that are kept, to be replayed.
const KEPT: usize = 6;

/// The weather of one round.
#[derive(Clone)]
pub struct Weather(Arc<Inner>);

struct Inner {
    name: String,
    round: u32,
    climate: Climate,
    state: Mutex<State>,
}

/// How bad it may be.
#[derive(Clone, Debug)]
pub struct Climate {
    /// How many answers of a hundred meet something.
    pub chance: u32,
    /// Whether what they say may be changed. (Else they may still be late, cut off or from yesterday.)
    pub may_lie: bool,
    /// Only answers to requests whose path ends so.
    pub only: Vec<&'static str>,
}

#[derive(Default)]
struct State {
    /// Answers so far, by kind.
    counts: HashMap<String, u32>,
    /// Bodies of good answers, by kind.
    earlier: HashMap<String, Vec<Vec<u8>>>,
    told: Vec<String>,
}

/// What may happen to an answer.
const FATES: [&str; 8] = ["cut", "delay", "throttle", "fragment", "flip", "damage", "replay", "busy"];

impl Weather {
    /// Of round `round` of the test `name`.
    pub fn of(name: &str, round: u32, climate: Climate) -> Self {
        Self(Arc::new(Inner { name: name.to_owned(), round, climate, state: Mutex::default() }))
    }

    /// Has an answer meet its fate. What it is depends on the seed, the kind of the question and how often that was asked, not on
    /// connections and times.
    pub fn meet(&self, asked: &Asked, mut answer: Answer) -> Answer {
        let kind = kind(asked);
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let count = state.counts.entry(kind.clone()).or_default();
        *count += 1;
        let mut draw = draw_of(&format!("{} {kind} {count}", self.0.name), self.0.round);
        // A piece's digest is that of its bytes as they travel, and it is packed by zstd or not at all.
        answer.coding = match draw.random_range(0..3) {
            0 => Coding::Plain,
            1 if !asked.path.ends_with("/payload") => Coding::Gzip,
            _ => Coding::Zstd,
        };
        answer.wire.is_chunked = draw.random_bool(0.5);
        let climate = &self.0.climate;
        let is_meant = climate.only.is_empty() || climate.only.iter().any(|end| asked.path.ends_with(end));
        let earlier = state.earlier.entry(kind.clone()).or_default();
        let yesterday = (!earlier.is_empty()).then(|| earlier[draw.random_range(0..earlier.len())].clone());
        if answer.status.is_success() && !earlier.contains(&answer.body) {
            earlier.push(answer.body.clone());
            if earlier.len() > KEPT {
                earlier.remove(0);
            }
        }
        if is_meant && draw.random_ratio(climate.chance, 100) {
            let fate = FATES[draw.random_range(0..FATES.len())];
            let what = strike(&mut answer, fate, yesterday, climate.may_lie, &mut draw);
            state.told.push(format!("{kind}: {what}"));
        }
        answer
    }

    /// What happened.
    pub fn told(&self) -> Vec<String> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).told.clone()
    }
}

/// Method and path, without ids.
fn kind(asked: &Asked) -> String {
    let is_id = |part: &str| part.parse::<shared::wire::Id>().is_ok();
    let parts: Vec<&str> = asked.path.split('/').map(|part| if is_id(part) { "*" } else { part }).collect();
    format!("{} {}", asked.method, parts.join("/"))
}

fn strike(
    answer: &mut Answer,
    fate: &'static str,
    yesterday: Option<Vec<u8>>,
    may_lie: bool,
    draw: &mut Draw,
) -> String {
    match fate {
        "cut" => {
            let end = if draw.random_bool(0.5) { End::Fin } else { End::Rst };
            answer.wire.cut = Some((draw.random_range(0..1_000), end));
        }
        "throttle" => {
            let pause = Duration::from_micros(draw.random_range(100..500));
            answer.wire.pace = Some((draw.random_range(64..16 * 1024), pause));
        }
        "fragment" => answer.wire.pace = Some((draw.random_range(1..64), Duration::ZERO)),
        "flip" if may_lie => {
            for _ in 0..draw.random_range(1..4) {
                answer.wire.flips.push((draw.random_range(0..1_000), draw.random_range(0..8)));
            }
        }
        "damage" if may_lie && !answer.body.is_empty() => {
            let honest = answer.body.clone();
            damage(&mut answer.body, draw);
            return format!("damage of {} bytes, now {}", honest.len(), answer.body.len());
        }
        "replay" => match yesterday {
            Some(body) => answer.body = body,
            None => return "nothing to replay".to_owned(),
        },
        "busy" => {
            answer.status = actix_web::http::StatusCode::SERVICE_UNAVAILABLE;
            answer.body.clear();
        }
        _ => answer.wire.delay = Duration::from_millis(draw.random_range(1..=MOST_DELAY_MS)),
    }
    format!("{fate} {:?}", answer.wire)
}

/// Flips, swaps or cuts off what is in a body.
fn damage(body: &mut Vec<u8>, draw: &mut Draw) {
    let length = body.len();
    match draw.random_range(0..5) {
        0 => body[draw.random_range(0..length)] ^= 1 << draw.random_range(0..8_u8),
        1 => body.swap(draw.random_range(0..length), draw.random_range(0..length)),
        2 => body.truncate(draw.random_range(0..length)),
        // A character for another: most likely to be a text still.
        3 => {
            let at = draw.random_range(0..length);
            if body[at].is_ascii_alphanumeric() {
                body[at] = if body[at] == b'1' { b'2' } else { b'1' };
            }
        }
        // Lines in another order, or one of them twice.
        _ => {
            let mut lines: Vec<Vec<u8>> =
                body.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            let (one, other) = (draw.random_range(0..lines.len()), draw.random_range(0..lines.len()));
            if draw.random_bool(0.5) {
                lines.swap(one, other);
            } else {
                let twice = lines[one].clone();
                lines.insert(other, twice);
            }
            *body = lines.concat();
        }
    }
}
