//! Removes the segments that the lake has, once the checkpoint covers them.

use std::io;
use std::sync::atomic::Ordering;

use thiserror::Error;

use crate::checkpoint::Checkpoint;
use crate::entry::Position;
use crate::segment::{self, Segment};
use crate::shared::Shared;

/// Nothing is lost by it: the log stays longer than it must, and the next release tries again.
#[derive(Debug, Error)]
pub enum ReleaseError {
    #[error("could not write the checkpoint of the log")]
    Checkpoint { source: io::Error },
    #[error("could not remove the segment {file:?} of the log")]
    Remove { file: String, source: io::Error },
}

/// Removes whole segments up to `position`, never the last one. A checkpoint is written when that lets a segment go or
/// when a start would have much to replay.
pub(crate) fn release(shared: &Shared, position: Position) -> Result<(), ReleaseError> {
    let mut checkpoint = shared.checkpoint.lock();
    let position = shared.followers.lock().hold(position, shared);
    let since = shared.bytes_since_checkpoint.load(Ordering::Relaxed);
    let behind = shared.durable() > checkpoint.position();
    let much = since > shared.options.segment_bytes_max() / 4;
    if !(behind && (much || removable(shared, position).is_some())) {
        return remove(shared, position.min(checkpoint.position())).map(|_| ());
    }
    let written = write(shared, &mut checkpoint, since);
    let removed = remove(shared, position.min(checkpoint.position()))?;
    match written {
        // A full disk: what the old checkpoint covers has just made room for a new one.
        Err(_) if removed > 0 => {
            write(shared, &mut checkpoint, since)?;
            remove(shared, position.min(checkpoint.position())).map(|_| ())
        }
        written => written,
    }
}

/// Writes a checkpoint of now.
pub(crate) fn checkpoint(shared: &Shared) -> Result<(), ReleaseError> {
    let mut checkpoint = shared.checkpoint.lock();
    let since = shared.bytes_since_checkpoint.load(Ordering::Relaxed);
    write(shared, &mut checkpoint, since)
}

fn write(shared: &Shared, checkpoint: &mut Checkpoint, since: u64) -> Result<(), ReleaseError> {
    checkpoint.write(&*shared.disk, &shared.ledger).map_err(|source| ReleaseError::Checkpoint { source })?;
    shared.checkpoint_bytes.store(checkpoint.bytes(), Ordering::Relaxed);
    shared.bytes_since_checkpoint.fetch_sub(since, Ordering::Relaxed);
    Ok(())
}

/// The oldest segment, if all its records are at or before `position` and it is not the last.
fn removable(shared: &Shared, position: Position) -> Option<Segment> {
    match shared.segments.read().as_slice() {
        [oldest, next, ..] if next.first <= position.next() => Some(*oldest),
        _ => None,
    }
}

/// One at a time, oldest first, each gone for good before the next: a crash never leaves a gap.
fn remove(shared: &Shared, position: Position) -> Result<usize, ReleaseError> {
    let mut removed = 0;
    while let Some(oldest) = removable(shared, position) {
        let file = segment::file_name(oldest.first);
        shared.segments.write().remove(0);
        if let Err(source) = shared.disk.remove(&file) {
            shared.segments.write().insert(0, oldest);
            return Err(ReleaseError::Remove { file, source });
        }
        shared.disk.sync_folder().map_err(|source| ReleaseError::Remove { file, source })?;
        removed += 1;
        let oldest = shared.segments.read().first().map_or(position, |segment| segment.first);
        shared.followers.lock().released(oldest);
    }
    Ok(removed)
}

#[cfg(test)]
mod tests;
