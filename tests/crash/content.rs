//! What a slice holds, told apart by everything a reader can see.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex};

use rand::RngExt as _;
use serde_json::{Value, json};
use shared::crypto::set_hash::{SetHash, grain_digest};
use shared::wire::Id;
use shared::wire::sync::PIECE_BYTES;

use crate::seed::Draw;

/// A grain without its id.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Grain {
    pub key: String,
    pub source: String,
    pub encoding: String,
    pub payload: String,
}

impl Grain {
    /// About `key`; one in thirty is too long for its row, so that it is stored in pieces.
    pub fn draw(draw: &mut Draw, key: String) -> Self {
        let length = if draw.random_ratio(1, 30) {
            draw.random_range(66_000..90_000)
        } else {
            draw.random_range(20..400)
        };
        Self::of(draw, key, length)
    }

    /// About `key`, and too long for a line of a feed: in three pieces.
    pub fn draw_long(draw: &mut Draw, key: String) -> Self {
        let length = draw.random_range(2 * PIECE_BYTES + 1..3 * PIECE_BYTES);
        Self::of(draw, key, length)
    }

    fn of(draw: &mut Draw, key: String, length: usize) -> Self {
        let word = format!("<{:016x}>", draw.random::<u64>());
        let payload: String = word.chars().cycle().take(length).collect();
        Self { key, source: "crash test".to_owned(), encoding: "raw".to_owned(), payload }
    }

    /// As `POST /v1/grains` takes it.
    pub fn to_body(&self, slice: Id, id: Id) -> Value {
        json!({
            "id": id, "slice_id": slice, "grain_key": self.key, "source": self.source,
            "encoding": self.encoding, "payload": self.payload,
        })
    }
}

/// Everything in one version of a slice.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Content {
    pub grains: BTreeMap<Id, Grain>,
    pub metadata: BTreeMap<String, String>,
}

/// Stands for a [`Content`] where thousands are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint {
    /// Grains only: all that a list of grains shows.
    pub grains: u64,
    /// Grains and metadata.
    pub all: u64,
}

impl Content {
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hasher = DefaultHasher::new();
        self.grains.hash(&mut hasher);
        let grains = hasher.finish();
        self.metadata.hash(&mut hasher);
        Fingerprint { grains, all: hasher.finish() }
    }

    /// The version's digest, from every byte anew.
    pub fn digest(&self) -> Vec<u8> {
        let mut hash = SetHash::default();
        for (id, grain) in &self.grains {
            let Grain { key, source, encoding, payload } = grain;
            hash.add_grain(&grain_digest(*id, key, encoding, source, payload));
        }
        for (key, value) in &self.metadata {
            hash.add_pair(key, value);
        }
        hash.digest().to_vec()
    }
}

/// What the primary has published of each slice, by version; also what it is about to publish, since a receiver may
/// see it before the publisher hears of it.
#[derive(Clone, Default)]
pub struct History(Arc<Mutex<BTreeMap<Id, BTreeMap<i64, Fingerprint>>>>);

impl History {
    pub fn add(&self, slice: Id, version: i64, content: &Content) {
        self.0.lock().unwrap().entry(slice).or_default().insert(version, content.fingerprint());
    }

    /// It was not published after all.
    pub fn forget(&self, slice: Id, version: i64) {
        self.0.lock().unwrap().entry(slice).or_default().remove(&version);
    }

    /// Whether this is what that version of the primary holds.
    pub fn is(&self, slice: Id, version: i64, content: &Content) -> bool {
        let history = self.0.lock().unwrap();
        history.get(&slice).and_then(|versions| versions.get(&version)) == Some(&content.fingerprint())
    }

    /// Whether some version holds these grains.
    pub fn has_grains(&self, slice: Id, content: &Content) -> bool {
        let grains = content.fingerprint().grains;
        let history = self.0.lock().unwrap();
        content.grains.is_empty()
            || history.get(&slice).is_some_and(|versions| versions.values().any(|one| one.grains == grains))
    }
}
