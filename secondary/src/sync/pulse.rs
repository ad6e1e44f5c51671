//! A run's signs of life: about once a second its row is told how far it is, and asked whether it is to stop. So whoever watches
//! or cancels it may be in another process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shared::store;
use shared::store::sync_run::RunProgress;
use shared::wire::Id;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::{Event, Progress};
use crate::Secondary;

/// Between two beats.
const BEAT: Duration = Duration::from_secs(1);
/// The row is written at each beat that has news, and at every so many that have none.
const QUIET_BEATS: u32 = 4;

/// Beats while it lives.
pub(super) struct Pulse {
    /// For the run.
    pub progress: Progress,
    counted: Arc<Mutex<Counted>>,
    task: JoinHandle<()>,
}

impl Pulse {
    /// Counts what the run tells, passes it on to `listener`, and writes it into the row.
    pub fn start(secondary: &Arc<Secondary>, run_id: Id, listener: Progress) -> Self {
        let counted: Arc<Mutex<Counted>> = Arc::default();
        let counts = Arc::clone(&counted);
        let progress = Progress::to(move |event| {
            counts.lock().unwrap_or_else(PoisonError::into_inner).note(&event);
            listener.tell(event);
        });
        let (seen, shown) = (Arc::clone(&counted), progress.clone());
        let task = tokio::spawn(beat(Arc::clone(secondary), run_id, seen, shown));
        Self { progress, counted, task }
    }

    /// How far the run is.
    pub fn counted(&self) -> RunProgress {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).sum()
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn beat(secondary: Arc<Secondary>, run_id: Id, counted: Arc<Mutex<Counted>>, progress: Progress) {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats.tick().await;
    let (mut written, mut quiet) = (RunProgress::default(), 0);
    let mut speed = Speed::new();
    loop {
        beats.tick().await;
        let mut news = counted.lock().unwrap_or_else(PoisonError::into_inner).sum();
        news.bytes_per_second = speed.at(news.bytes_done);
        let store = &secondary.node.store;
        let asked = if news == written && quiet < QUIET_BEATS {
            quiet += 1;
            store.read(move |conn| store::sync_run::is_cancel_asked(conn, run_id)).await
        } else {
            (written, quiet) = (news.clone(), 0);
            let now = secondary.node.clock.now();
            store.write(move |conn| store::sync_run::touch(conn, run_id, &news, now)).await
        };
        match asked {
            Ok(true) => progress.stop(),
            Ok(false) => {}
            Err(error) => {
                // The run itself meets it where it matters.
                written = RunProgress::default();
                tracing::debug!(%error, "a run could not say how far it is");
            }
        }
    }
}

/// How fast it goes: the newest seconds count most.
struct Speed {
    at: Instant,
    bytes: i64,
    per_second: i64,
}

impl Speed {
    fn new() -> Self {
        Self { at: Instant::now(), bytes: 0, per_second: 0 }
    }

    fn at(&mut self, bytes: i64) -> i64 {
        let passed = i64::try_from(self.at.elapsed().as_millis()).unwrap_or(i64::MAX).max(1);
        let newest = bytes.saturating_sub(self.bytes).max(0).saturating_mul(1_000) / passed;
        self.per_second =
            if self.bytes == 0 { newest } else { (self.per_second.saturating_mul(7) + newest * 3) / 10 };
        (self.at, self.bytes) = (Instant::now(), bytes);
        self.per_second
    }
}

#[derive(Default)]
struct Counted {
    slices_total: i64,
    /// Slices that travel now, in the order in which they began.
    names: Vec<(Id, String)>,
    slices_done: i64,
    /// Of slices that are done.
    done: Amount,
    /// Those that travel now.
    travelling: HashMap<Id, Travelling>,
}

#[derive(Clone, Copy, Default)]
struct Amount {
    grains: i64,
    bytes: i64,
}

#[derive(Clone, Copy, Default)]
struct Travelling {
    total: Amount,
    done: Amount,
}

impl Counted {
    fn note(&mut self, event: &Event<'_>) {
        match *event {
            Event::SlicesFound(count) => self.slices_total = count,
            Event::SliceStarted { id, name, grains } => {
                self.names.push((id, name.to_owned()));
                self.travelling.entry(id).or_default().total.grains = grains;
            }
            Event::SliceSized { id, grains, bytes } => {
                let slice = self.travelling.entry(id).or_default();
                // One that goes on with what was left may be followed by the way to a newer version.
                slice.total = Amount { grains: slice.done.grains + grains, bytes: slice.done.bytes + bytes };
            }
            Event::Staged { id, grains, bytes } => {
                let slice = self.travelling.entry(id).or_default();
                slice.done.grains += grains;
                slice.done.bytes += bytes;
            }
            Event::SliceEnded(id) => {
                self.slices_done += 1;
                self.names.retain(|(other, _name)| *other != id);
                if let Some(slice) = self.travelling.remove(&id) {
                    self.done.grains += slice.done.grains;
                    self.done.bytes += slice.done.bytes;
                }
            }
        }
    }

    fn sum(&self) -> RunProgress {
        let mut sum = RunProgress {
            slices_total: self.slices_total,
            slice: self.names.last().map(|(_id, name)| name.clone()).unwrap_or_default(),
            // A slice that was closed is tried once more.
            slices_done: self.slices_done.min(self.slices_total),
            grains_done: self.done.grains,
            grains_total: self.done.grains,
            bytes_done: self.done.bytes,
            bytes_total: self.done.bytes,
            bytes_per_second: 0,
        };
        for slice in self.travelling.values() {
            sum.grains_done += slice.done.grains;
            sum.grains_total += slice.total.grains.max(slice.done.grains);
            sum.bytes_done += slice.done.bytes;
            sum.bytes_total += slice.total.bytes.max(slice.done.bytes);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::Random;

    use super::{Counted, Event};

    #[test]
    fn what_is_done_counts_as_it_was_and_what_travels_as_it_was_announced() {
        let (one, two) = (Random::System.id(), Random::System.id());
        let mut counted = Counted::default();
        for event in [
            Event::SlicesFound(3),
            Event::SliceStarted { id: one, name: "one", grains: 10 },
            Event::SliceSized { id: one, grains: 10, bytes: 1_000 },
            Event::Staged { id: one, grains: 4, bytes: 300 },
            Event::SliceStarted { id: two, name: "two", grains: 5 },
        ] {
            counted.note(&event);
        }
        let sum = counted.sum();
        assert_eq!((sum.slice.as_str(), sum.slices_total, sum.slices_done), ("two", 3, 0));
        assert_eq!((sum.grains_done, sum.grains_total), (4, 15));
        assert_eq!((sum.bytes_done, sum.bytes_total), (300, 1_000));
        counted.note(&Event::SliceEnded(one));
        let sum = counted.sum();
        assert_eq!((sum.slices_done, sum.grains_done, sum.grains_total), (1, 4, 9));
        assert_eq!((sum.bytes_done, sum.bytes_total), (300, 300));
        counted.note(&Event::SliceEnded(two));
        assert_eq!(counted.sum().slice, "");
    }
}
