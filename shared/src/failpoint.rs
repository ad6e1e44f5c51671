//! Where tests kill a server: every durable step of minting, publishing, syncing, migrating and importing, in one
//! list.
//!
//! Only builds with debug assertions look at `SANDPIPER_FAILPOINT`; in a release build [`reach`] is empty. The value is
//! the name of a point, or `name@n` for the n-th time that the process comes by. There the process ends as by `kill -9`:
//! nothing is flushed, no destructor runs, nobody is told.

/// A step after (or before) which a crash is interesting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failpoint {
    /// Primary: the new key is written, the transaction is open.
    MintWritten,
    /// Both: what a transaction ends is in the data folder, the transaction is open.
    DeathsWritten,
    /// Primary: the transaction that minted is committed, nobody was told.
    MintCommitted,
    /// Primary: the first login of a key ended the one before, nobody was told.
    FirstUseCommitted,
    /// Primary: the draft is measured, the transaction is open.
    PublishMeasured,
    /// Primary: a piece of a file that is being published is written.
    PublishPieceWritten,
    /// Primary: the new version is committed, nobody was told.
    PublishCommitted,
    /// Primary: a slice is out of sight, what it holds is there.
    SliceRetired,
    /// Primary: some of what a retired slice held is gone.
    SlicePurging,
    /// Both: versions that are not kept are out of sight, what only they had is there.
    VersionsForgotten,
    /// Both: some of that is gone.
    VersionsCollecting,
    /// Primary: a feed is answered up to its header.
    FeedHeaderSent,
    /// Secondary: the intent to rotate is stored, the primary was not asked.
    RotateIntended,
    /// Secondary: the primary answered with a new key, which is not stored.
    RotateAnswered,
    /// Secondary: the new key is stored as a candidate, but never logged in.
    RotateStored,
    /// Secondary: a key logged in, which is not noted.
    LoginAnswered,
    /// Secondary: the run holds its lock and its fence.
    RunStarted,
    /// Secondary: subscriptions are taken over.
    SubscriptionsTaken,
    /// Secondary: the slice is marked as updating, nothing is staged.
    StageBegun,
    /// Secondary: a batch of removals is staged.
    RemovalsStaged,
    /// Secondary: a batch of grains is staged.
    GrainsStaged,
    /// Secondary: a piece of a long payload is staged.
    PieceStaged,
    /// Secondary: metadata is staged.
    MetadataStaged,
    /// Secondary: the staged version is verified.
    StageVerified,
    /// Secondary: the switch is written, the transaction is open.
    SwitchWritten,
    /// Secondary: the new version is current, its run is not recorded.
    SwitchCommitted,
    /// Secondary: the run is recorded, the primary was not told.
    RunRecorded,
    /// Secondary: the primary took a report of a run, which still waits to be sent.
    ReportDelivered,
    /// Both: migrations are about to run, under their lock.
    MigrationStarted,
    /// Both: migrations are applied, the lock is held.
    MigrationApplied,
    /// Import: the node is founded, its slices are empty.
    ImportFounded,
    /// Import: a batch of grains is written.
    ImportGrainsWritten,
    /// Import: a slice is whole and published.
    ImportSlicePublished,
    /// Import: a batch of the sync log is written.
    ImportActivityWritten,
}

impl Failpoint {
    /// All of them.
    pub const ALL: [Self; 34] = [
        Self::MintWritten,
        Self::DeathsWritten,
        Self::MintCommitted,
        Self::FirstUseCommitted,
        Self::PublishMeasured,
        Self::PublishPieceWritten,
        Self::PublishCommitted,
        Self::SliceRetired,
        Self::SlicePurging,
        Self::VersionsForgotten,
        Self::VersionsCollecting,
        Self::FeedHeaderSent,
        Self::RotateIntended,
        Self::RotateAnswered,
        Self::RotateStored,
        Self::LoginAnswered,
        Self::RunStarted,
        Self::SubscriptionsTaken,
        Self::StageBegun,
        Self::RemovalsStaged,
        Self::GrainsStaged,
        Self::PieceStaged,
        Self::MetadataStaged,
        Self::StageVerified,
        Self::SwitchWritten,
        Self::SwitchCommitted,
        Self::RunRecorded,
        Self::ReportDelivered,
        Self::MigrationStarted,
        Self::MigrationApplied,
        Self::ImportFounded,
        Self::ImportGrainsWritten,
        Self::ImportSlicePublished,
        Self::ImportActivityWritten,
    ];

    /// As `SANDPIPER_FAILPOINT` names it: the variant's name.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// The process came by `point`; it ends here if that is what was asked for.
#[cfg(debug_assertions)]
pub fn reach(point: Failpoint) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WISH: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);

    let wish = WISH.get_or_init(|| {
        let text = std::env::var("SANDPIPER_FAILPOINT").ok()?;
        let (name, nth) = text.split_once('@').unwrap_or((&text, "1"));
        Some((name.to_owned(), nth.parse().ok()?))
    });
    let Some((name, nth)) = wish else { return };
    if *name == point.name() && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *nth {
        // Cannot fail: the process may always signal itself, and SIGKILL cannot be caught.
        let _done = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}

/// Release builds have no points.
#[cfg(not(debug_assertions))]
#[inline]
pub fn reach(_point: Failpoint) {}
