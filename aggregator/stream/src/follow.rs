//! The reader: one thread that follows the log for all viewers, while there are any. It begins a minute before the end of
//! the log, as far as the log has it, so that neither a restart nor a pause empties the numbers; from there on, normal
//! running is the same loop.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ridealong_common::block::{Block, BlockError, CheckedBlock};
use ridealong_common::table::Table;
use ridealong_wal::{Entry, Follower, Position, ReadError, Wake};

use crate::live::Shared;
use crate::window::{SAMPLE_AGE_MAX_US, SECOND_US, TenantWindow, WINDOW_SECONDS};

/// Payload read at once.
const READ_BYTES: usize = 256 << 10;
/// How long the reader sleeps at most before it looks whether it should stop.
const PAUSE: Duration = Duration::from_millis(250);
/// How often what is over is dropped.
const FORGET_EVERY: Duration = Duration::from_secs(1);
/// What a start reads of the log at most, in whole segments: a tenth of a second's work.
const REBUILD_BYTES_MAX: u64 = 128 << 20;

pub(crate) fn follow(shared: &Shared) {
    let mut reader = Reader { shared, follower: shared.wal.follow(Position::NONE), may_lack: false };
    let mut is_awake = false;
    let mut forgotten = Instant::now();
    while !shared.closing.is_cancelled() {
        if forgotten.elapsed() >= FORGET_EVERY {
            shared.forget();
            forgotten = Instant::now();
        }
        if shared.interest.doze(shared.now_us(), shared.has_viewers(), FORGET_EVERY) {
            is_awake = false;
            continue;
        }
        if !std::mem::replace(&mut is_awake, true) {
            reader.begin();
        }
        if reader.step() == Wake::Closed {
            return;
        }
    }
}

struct Reader<'a> {
    shared: &'a Shared,
    follower: Follower,
    /// Nothing was read yet, and the log may have lost something of the last minute.
    may_lack: bool,
}

impl Reader<'_> {
    /// Goes to where the last minute begins, unless that was read already.
    fn begin(&mut self) {
        let start = start(self.shared);
        // Nobody may miss what came while the reader woke.
        let position = self.shared.channels.oldest_tail().map_or(start.position, |tail| tail.min(start.position));
        if position > self.follower.position() {
            self.follower = self.shared.wal.follow(position);
            self.may_lack = start.may_lack;
            self.shared.position.send_replace(position);
        }
    }

    fn step(&mut self) -> Wake {
        match self.follower.next_batch(READ_BYTES) {
            Ok(entries) => {
                self.shared.log_error.lock().take();
                entries.iter().for_each(|entry| self.take(entry));
                self.shared.channels.tell();
                self.shared.position.send_replace(self.follower.position());
                if !entries.is_empty() {
                    return Wake::New;
                }
                if std::mem::take(&mut self.may_lack) {
                    // The log is at its end, and nobody knows what came before it began.
                    self.shared.covered_from_us.store(self.shared.now_us(), Ordering::Relaxed);
                }
                self.follower.wait(PAUSE)
            }
            Err(ReadError::Released { oldest }) => {
                tracing::warn!(oldest = oldest.0, "the log was let go before it was read, live numbers lack some");
                self.follower = self.shared.wal.follow(oldest.before());
                self.shared.channels.lose(oldest.before());
                self.shared.channels.tell();
                self.may_lack = true;
                Wake::New
            }
            Err(error) => {
                let text = error.to_string();
                let before = self.shared.log_error.lock().replace(text.clone());
                if before != Some(text) {
                    tracing::error!(error = &error as &dyn std::error::Error, "live numbers stand still");
                }
                std::thread::sleep(PAUSE);
                Wake::TimedOut
            }
        }
    }

    fn take(&mut self, entry: &Entry) {
        let shared = self.shared;
        let now_us = shared.now_us();
        if std::mem::take(&mut self.may_lack) && entry.received_at_us > now_us - WINDOW_SECONDS * SECOND_US {
            shared.covered_from_us.store(entry.received_at_us, Ordering::Relaxed);
        }
        let age_max_us = if entry.table == Table::HostMetrics { SAMPLE_AGE_MAX_US } else { WINDOW_SECONDS * SECOND_US };
        let is_recent = entry.received_at_us > now_us - age_max_us;
        let is_counted = is_recent && TenantWindow::wants(entry.table);
        let is_listened = entry.table == Table::Events && shared.channels.has_listeners(&entry.tenant);
        if !is_counted && !is_listened {
            return;
        }
        match checked(entry) {
            Ok(block) => {
                if is_counted {
                    count(shared, entry, &block);
                }
                if is_listened {
                    shared.channels.take(shared.wal.log_id(), entry, &block);
                }
            }
            Err(error) => {
                tracing::error!(
                    position = entry.position.0,
                    error = &error as &dyn std::error::Error,
                    "entry left out"
                );
                shared.counts.unreadable.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn checked(entry: &Entry) -> Result<CheckedBlock, BlockError> {
    Block::decode(&entry.payload)?.check(entry.table)
}

fn count(shared: &Shared, entry: &Entry, block: &CheckedBlock) {
    let mut windows = shared.windows.lock();
    if !windows.contains_key(&entry.tenant) {
        windows.insert(entry.tenant.clone(), TenantWindow::new(shared.hasher.clone()));
    }
    let Some(window) = windows.get_mut(&entry.tenant) else { return };
    window.take(entry, block);
    let late = std::mem::take(&mut window.late_requests);
    shared.counts.late_requests.fetch_add(late, Ordering::Relaxed);
    let unknown = window.take_unknown_hosts();
    shared.counts.unknown_hosts.fetch_add(unknown, Ordering::Relaxed);
}

/// Where the last minute begins.
struct Start {
    position: Position,
    /// Whether some of the minute may lie before it.
    may_lack: bool,
}

/// Before what came in the last minute, as far as it is known without reading, and not too much to read.
fn start(shared: &Shared) -> Start {
    let (wal, cutoff_us) = (&shared.wal, shared.now_us() - WINDOW_SECONDS * SECOND_US);
    let (oldest, durable) = (wal.oldest().before(), wal.durable());
    let is_short = |position| wal.bytes_after(position) <= REBUILD_BYTES_MAX;
    let is_recent = |position| wal.oldest_stored_after(position).is_none_or(|received_us| received_us >= cutoff_us);
    // The first position that is both; what follows it is younger still.
    let (mut before, mut behind) = (oldest, durable);
    if is_short(before) && is_recent(before) {
        return Start { position: before, may_lack: before > Position::NONE };
    }
    while behind.0 - before.0 > 1 {
        let middle = Position(before.0 + (behind.0 - before.0) / 2);
        if is_short(middle) && is_recent(middle) { behind = middle } else { before = middle }
    }
    Start { position: behind, may_lack: is_recent(before) }
}

#[cfg(test)]
mod tests;
