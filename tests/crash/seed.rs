//! One number that draws a whole run, and a number of its own for each round.

use tests::seed::{draw_of, number, seed};

pub use tests::seed::{Draw, say};

/// The rounds of one test.
pub struct Rounds {
    test: &'static str,
    seed: u64,
    count: u32,
}

impl Rounds {
    /// `count` of them, if the environment does not say otherwise.
    pub fn of(test: &'static str, count: u32) -> Self {
        let seed = seed();
        let count = number("SANDPIPER_TEST_KILLS").unwrap_or_else(|| tests::times(count));
        say(&format!("{test}: {count} rounds with SANDPIPER_TEST_SEED={seed}"));
        Self { test, seed, count }
    }

    /// For a test that does not draw its moments.
    pub fn none(test: &'static str) -> Self {
        say(&format!("{test}: SANDPIPER_TEST_SEED={}", seed()));
        Self { test, seed: seed(), count: 0 }
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Before the first round: the state that all rounds start from.
    pub fn set_up(&self) -> Round {
        self.round(0)
    }

    /// One after the other.
    pub fn each(&self) -> impl Iterator<Item = Round> + '_ {
        let only: Option<u32> = number("SANDPIPER_TEST_ROUND");
        (1..=self.count).map(move |turn| self.round(only.unwrap_or(turn)))
    }

    fn round(&self, number: u32) -> Round {
        Round {
            test: self.test,
            seed: self.seed,
            number,
            draw: draw_of(self.test, number),
            note: String::new(),
        }
    }
}

/// One kill, and what comes before and after. Says how to repeat it when the test fails in it.
pub struct Round {
    test: &'static str,
    seed: u64,
    /// From 1; 0 is the set-up.
    pub number: u32,
    /// Draws everything that this round does.
    pub draw: Draw,
    /// What the round was about to do: told when it fails.
    pub note: String,
}

impl Drop for Round {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { test, seed, number, note, .. } = self;
            let (which, again) = match number {
                0 => (String::new(), format!("SANDPIPER_TEST_SEED={seed}")),
                _ => (
                    format!(" in round {number}"),
                    format!(
                        "SANDPIPER_TEST_SEED={seed} SANDPIPER_TEST_ROUND={number} SANDPIPER_TEST_KILLS=50"
                    ),
                ),
            };
            say(&format!(
                "{test} failed{which} ({note}); again: {again} cargo test -p tests --test crash -- {test}"
            ));
        }
    }
}
