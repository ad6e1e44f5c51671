//! Telling a person how far a run is.

use std::sync::Arc;

/// What happens in a run.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A slice that differs starts to travel.
    SliceStarted {
        /// Its name.
        name: &'a str,
        /// Grains in the new version.
        grains: i64,
    },
    /// This many more grains have been staged.
    GrainsStaged(i64),
}

/// Where the events of a run go.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(Event<'_>) + Send + Sync>);

impl Progress {
    /// To `listener`.
    pub fn to(listener: impl Fn(Event<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    /// To nobody.
    pub fn silent() -> Self {
        Self::to(|_event| ())
    }

    /// Tells the listener.
    pub fn tell(&self, event: Event<'_>) {
        (self.0)(event);
    }
}
