//! How a log behaves: its limits, each with the reason for its default.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tells the time by which a segment's age is measured; tests bring their own.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

#[derive(Clone, Debug)]
pub struct WalOptions {
    pub folder: PathBuf,
    /// A segment is the unit of removal and of what a start reads at least.
    pub segment_bytes_max: u64,
    /// A quiet log is cut by age, so that its released part can be removed too.
    pub segment_age_max: Duration,
    /// All segments together: bounds the disk and what a start hands to the lake again. Past it appends are answered
    /// [`LogFull`](crate::AppendError::LogFull) until the lake has taken more. Segments are a quarter of it at most, so
    /// that there is always one to remove. 256 MiB are some five million rows of requests.
    pub log_bytes_max: u64,
    /// Records that a checkpoint is written after: bounds what a start replays, but for what comes while it is written.
    pub checkpoint_bytes: u64,
    /// What may wait for the writer; more is answered [`Busy`](crate::AppendError::Busy). One group is in flight besides.
    pub queue_bytes_max: usize,
    /// What one fsync may carry: bounds the buffer and how long the first of a group waits for the last.
    pub group_bytes_max: usize,
    /// Event ids remembered, at 24 bytes of memory each (rounded up to a power of two) and 16 of disk.
    pub ids_max: usize,
    /// How long an event id is remembered, as long as `ids_max` allows.
    pub ids_window: Duration,
    /// Producers whose numbers are remembered; the one unseen for longest is forgotten first, and counted.
    pub producers_max: usize,
    /// Runs of numbers kept for one producer; past it the oldest gap is given up, and counted.
    pub intervals_max: usize,
}

impl WalOptions {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            segment_bytes_max: 64 << 20,
            segment_age_max: Duration::from_secs(15 * 60),
            log_bytes_max: 256 << 20,
            checkpoint_bytes: 32 << 20,
            queue_bytes_max: 64 << 20,
            group_bytes_max: 8 << 20,
            ids_max: 1 << 22,
            ids_window: Duration::from_secs(7 * 24 * 3600),
            producers_max: 100_000,
            intervals_max: 10_000,
        }
    }

    /// How long a segment may be.
    pub(crate) fn segment_bytes_max(&self) -> u64 {
        self.segment_bytes_max.min(self.log_bytes_max / 4)
    }
}
