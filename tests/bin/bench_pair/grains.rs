//! The grains that travel: text like that of product data, the same in every run.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use shared::crypto::set_hash::grain_digest;
use shared::store::grain::NewGrain;
use shared::wire::{Id, Timestamp};

/// A slice to be filled.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    /// Grains.
    pub count: usize,
    /// Bytes of each payload.
    pub bytes: usize,
}

impl Sample {
    /// The numbers of all grains, in the order of their ids.
    pub fn by_id(&self, slice_id: Id) -> Vec<usize> {
        let mut numbers: Vec<(Id, usize)> =
            (0..self.count).map(|number| (Self::draw(slice_id, number, 0).0, number)).collect();
        numbers.sort_unstable();
        numbers.into_iter().map(|(_id, number)| number).collect()
    }

    fn draw(slice_id: Id, number: usize, revision: usize) -> (Id, Xoshiro256PlusPlus) {
        let seed = (number as u64) << 20 | revision as u64;
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed ^ slice_id.0.as_u64_pair().0);
        (Id(uuid::Builder::from_random_bytes(random.random()).into_uuid()), random)
    }

    /// The grain of this number.
    pub fn grain(&self, slice_id: Id, number: usize, revision: usize, now: Timestamp) -> NewGrain {
        let (id, mut random) = Self::draw(slice_id, number, revision);
        let grain_key = key(number);
        let payload = text(&mut random, self.bytes);
        NewGrain {
            slice_id,
            id,
            digest: grain_digest(id, &grain_key, "raw", "bench", &payload).to_vec(),
            grain_key,
            source: "bench".to_owned(),
            encoding: "raw".to_owned(),
            payload,
            added_in: 1,
            created_at: now,
        }
    }
}

/// What the grain of this number is about.
pub(super) fn key(number: usize) -> String {
    format!("zzzy||bp-{number:07}")
}

/// An item of product data, cut off at `bytes`.
pub(super) fn text(random: &mut Xoshiro256PlusPlus, bytes: usize) -> String {
    const WORDS: [&str; 16] = [
        "ceramic",
        "semi-metallic",
        "front",
        "rear",
        "disc",
        "brake",
        "pad",
        "set",
        "shim",
        "chamfered",
        "slotted",
        "wear",
        "sensor",
        "hardware",
        "kit",
        "OE",
    ];
    let mut text = format!(
        "<Item MaintenanceType=\"A\"><PartNumber>BP-{:07}</PartNumber>",
        random.random_range(0..9_999_999)
    );
    while text.len() < bytes {
        let word = |random: &mut Xoshiro256PlusPlus| WORDS[random.random_range(0..WORDS.len())];
        let (first, second, third) = (word(random), word(random), word(random));
        let (code, number) = (random.random_range(100..999), random.random_range(1_000_000..9_999_999));
        let description = format!(
            "<Description MaintenanceType=\"A\" DescriptionCode=\"{code}\">{first} {second} {third} {number}</Description>"
        );
        text.push_str(&description);
    }
    text.truncate(bytes);
    text
}
