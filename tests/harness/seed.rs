//! One number that draws a whole run of a test, so that a run that failed can be had again.

use std::io::Write as _;
use std::sync::OnceLock;

use rand::SeedableRng as _;
use rand::rngs::Xoshiro256PlusPlus;

/// The generator of a round; named, so that a seed means the same with a later version of the crate.
pub type Draw = Xoshiro256PlusPlus;

/// Tells something even if the test passes: `eprintln!` would be swallowed then.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A number from the environment.
///
/// # Panics
/// When it is there and no number.
pub fn number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse().ok();
    assert!(number.is_some(), "{variable} is {text:?}, not a number");
    number
}

/// One for the whole process: `SANDPIPER_TEST_SEED`, or a fresh one.
pub fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    let fresh = || u64::from_le_bytes(shared::clock::Random::System.bytes());
    *SEED.get_or_init(|| number("SANDPIPER_TEST_SEED").unwrap_or_else(fresh))
}

/// Draws everything that one round of a test does.
pub fn draw_of(test: &str, round: u32) -> Draw {
    let seed = test.bytes().fold(seed(), |seed, byte| scramble(seed ^ u64::from(byte)));
    Draw::seed_from_u64(scramble(seed ^ u64::from(round)))
}

/// `SplitMix64`'s mixing step.
fn scramble(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}
