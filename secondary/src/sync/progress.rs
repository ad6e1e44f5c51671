//! Telling a person how far a run is, and a run that it is to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shared::node::Error;
use shared::wire::Id;

/// What happens in a run.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// So many slices are to be looked at.
    SlicesFound(i64),
    /// A slice that differs starts to travel.
    SliceStarted {
        /// Which.
        id: Id,
        /// Its name.
        name: &'a str,
        /// Grains in the new version.
        grains: i64,
    },
    /// What is to arrive of it, as far as it is known.
    SliceSized {
        /// Which.
        id: Id,
        /// Grains.
        grains: i64,
        /// Bytes of payload text.
        bytes: i64,
    },
    /// So much more of it has been staged.
    Staged {
        /// Which.
        id: Id,
        /// Grains.
        grains: i64,
        /// Bytes of payload text.
        bytes: i64,
    },
    /// A slice is done, however.
    SliceEnded(Id),
}

/// Where the events of a run go, and whether it is to stop.
#[derive(Clone)]
pub struct Progress {
    listener: Arc<dyn Fn(Event<'_>) + Send + Sync>,
    is_to_stop: Arc<AtomicBool>,
}

impl Progress {
    /// To `listener`.
    pub fn to(listener: impl Fn(Event<'_>) + Send + Sync + 'static) -> Self {
        Self { listener: Arc::new(listener), is_to_stop: Arc::default() }
    }

    /// To nobody.
    pub fn silent() -> Self {
        Self::to(|_event| ())
    }

    /// Tells the listener.
    pub fn tell(&self, event: Event<'_>) {
        (self.listener)(event);
    }

    /// Has the run stop where it next looks.
    pub(super) fn stop(&self) {
        self.is_to_stop.store(true, Ordering::Relaxed);
    }

    /// Whether the run may go on: asked wherever stopping leaves nothing half done.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub(super) fn go_on(&self) -> Result<(), Error> {
        if self.is_to_stop.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}
