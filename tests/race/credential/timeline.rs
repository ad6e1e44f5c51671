//! When a credential may and may not be good: what was done to it, from the moment somebody asked until he had his answer.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A clock that all clients of one test share; nothing on it happens at the same time.
#[derive(Default)]
pub struct Clock(AtomicU64);

impl Clock {
    pub fn tick(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// One change: begun by a request, and certain once its answer is there.
#[derive(Clone, Copy, Debug)]
struct Change {
    begun: u64,
    /// `u64::MAX` while nobody knows.
    certain: u64,
    is_good: bool,
}

/// Of one credential; it is bad before its first change.
#[derive(Default)]
pub struct Timeline(Mutex<Vec<Change>>);

impl Timeline {
    /// Somebody is about to ask for a change; [`Self::settle`] follows.
    pub fn begin(&self, now: u64, is_good: bool) {
        self.0.lock().unwrap().push(Change { begun: now, certain: u64::MAX, is_good });
    }

    /// The answer is there.
    pub fn settle(&self, now: u64) {
        let mut changes = self.0.lock().unwrap();
        let last = changes.last_mut().expect("a change that was begun");
        last.certain = now;
    }

    /// Whether a credential that was used between two moments may have been good, and may have been bad.
    pub fn could_be(&self, from: u64, to: u64) -> (bool, bool) {
        let changes = self.0.lock().unwrap();
        let settled = changes.iter().rev().find(|change| change.certain <= from);
        let mut states = vec![settled.is_some_and(|change| change.is_good)];
        states.extend(
            changes
                .iter()
                .filter(|change| change.certain > from && change.begun <= to)
                .map(|change| change.is_good),
        );
        (states.contains(&true), states.contains(&false))
    }
}

#[test]
fn what_is_certain_is_told_from_what_may_be() {
    let line = Timeline::default();
    assert_eq!(line.could_be(1, 2), (false, true));
    line.begin(3, true);
    assert_eq!(line.could_be(1, 2), (false, true));
    assert_eq!(line.could_be(2, 4), (true, true));
    line.settle(5);
    assert_eq!(line.could_be(5, 9), (true, false));
    line.begin(10, false);
    assert_eq!(line.could_be(6, 9), (true, false));
    assert_eq!(line.could_be(6, 11), (true, true));
    line.settle(12);
    assert_eq!(line.could_be(11, 13), (true, true));
    assert_eq!(line.could_be(12, 13), (false, true));
}
