//! What a start does: reads the checkpoint, replays every record after it, cuts what a crash left half-written, and
//! refuses to go on when something is damaged that was acknowledged.
//!
//! **What is read.** The segments that hold records after the checkpoint, whole, one chunk at a time; of those before them
//! the header only. So a start takes as long as the log since the checkpoint, however long the log is. Records that it
//! has not read are verified when a follower reads them, which names file and offset in its turn.
//!
//! **Which damage may be cut.** Each record carries the position that was durable when it was written. The *mark* is the
//! highest of these, of the checkpoint's position and of the position before the last segment's first, records behind
//! the damage included (they are searched for). Nothing above the mark can be told from a torn write and is cut; anything
//! at or below it was acknowledged, so the start stops and names file and offset. Older segments end where the next
//! begins; what they hold beyond it is left from a failed group and is cut.
//!
//! **What was read may not be on disk.** A process that died after a failed fsync leaves pages that read well and are
//! gone with the power. So everything above the mark is written again and synced before it counts as durable.

mod replay;
mod salvage;

use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::checkpoint::Checkpoint;
use crate::disk::{Disk, DiskFile, UNFINISHED};
use crate::entry::{LogId, Position};
use crate::ledger::{Ledger, Limits};
use crate::segment::{self, HEADER_BYTES, HeaderFault, Segment};

pub(crate) use salvage::salvage;
pub use salvage::{Salvaged, SalvagedPart};

/// What a start found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryReport {
    pub log_id: LogId,
    pub durable: Position,
    /// Records read and their bytes: not those in segments that the checkpoint covers whole.
    pub records: u64,
    pub bytes: u64,
    /// Bytes of torn or abandoned writes that were cut.
    pub cut_bytes: u64,
}

/// Why the log was not opened. Nothing was lost by trying; only what the first two name can be put right by waiting.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("could not {doing} {file:?} of the log")]
    Io { doing: &'static str, file: String, source: io::Error },
    #[error("could not start the thread of the log's writer")]
    Thread { source: io::Error },
    /// Acknowledged records are concerned: restore the file, or the log from a backup.
    #[error("{file:?} of the log is damaged at offset {offset}: {what}")]
    Damaged { file: String, offset: u64, what: &'static str },
    #[error("{file:?} of the log is missing")]
    Missing { file: String },
    /// Written by a newer program.
    #[error("{file:?} of the log has the unknown version {version}")]
    UnknownVersion { file: String, version: u32 },
}

impl OpenError {
    pub(crate) fn io(doing: &'static str, file: &str, source: io::Error) -> Self {
        Self::Io { doing, file: file.to_owned(), source }
    }

    pub(crate) fn damaged(file: &str, offset: u64, what: &'static str) -> Self {
        Self::Damaged { file: file.to_owned(), offset, what }
    }
}

/// A log that is ready to be written.
pub(crate) struct Recovered {
    pub ledger: Ledger,
    pub checkpoint: Checkpoint,
    /// Oldest first; the last is followed by a new one with the first append, or replaced if it has no records.
    pub segments: Vec<Segment>,
    pub tail: Arc<dyn DiskFile>,
    /// Bytes of the records that the checkpoint does not cover.
    pub bytes_replayed: u64,
    pub report: RecoveryReport,
}

pub(crate) fn recover(disk: &dyn Disk, limits: Limits) -> Result<Recovered, OpenError> {
    let folder = |doing| move |source| OpenError::io(doing, ".", source);
    let mut firsts = Vec::new();
    for name in disk.list().map_err(folder("list"))? {
        if name.ends_with(UNFINISHED) {
            disk.remove(&name).map_err(|source| OpenError::io("remove", &name, source))?;
        }
        firsts.extend(segment::parse_file_name(&name));
    }
    firsts.sort_unstable();
    let stored = Checkpoint::read(disk, limits)?;
    let Some(oldest) = firsts.first() else {
        return match stored {
            None => begin(disk, limits),
            Some((checkpoint, _)) => Err(OpenError::Missing { file: segment::file_name(checkpoint.position().next()) }),
        };
    };
    // A name may not be durable yet if the last process died between renaming and syncing.
    disk.sync_folder().map_err(folder("sync"))?;
    let (checkpoint, ledger) = match stored {
        Some(stored) => stored,
        None => {
            let (log, _) = read_header(&open(disk, *oldest)?, *oldest)?;
            (Checkpoint::none(log), Ledger::new(log, limits))
        }
    };
    if *oldest > checkpoint.position().next() {
        return Err(OpenError::Missing { file: segment::file_name(checkpoint.position().next()) });
    }
    checkpoint.remove_leftovers(disk).map_err(folder("tidy"))?;
    replay::replay(disk, &firsts, checkpoint, ledger)
}

/// The first start of all.
fn begin(disk: &dyn Disk, limits: Limits) -> Result<Recovered, OpenError> {
    let log_id = LogId::draw();
    let first = Position::NONE.next();
    let tail = segment::create(disk, log_id, first)
        .map_err(|source| OpenError::io("create", &segment::file_name(first), source))?;
    Ok(Recovered {
        ledger: Ledger::new(log_id, limits),
        checkpoint: Checkpoint::none(log_id),
        segments: vec![Segment { first, bytes: HEADER_BYTES }],
        tail,
        bytes_replayed: 0,
        report: RecoveryReport { log_id, durable: Position::NONE, records: 0, bytes: 0, cut_bytes: 0 },
    })
}

fn open(disk: &dyn Disk, first: Position) -> Result<Arc<dyn DiskFile>, OpenError> {
    let name = segment::file_name(first);
    disk.open(&name).map_err(|source| OpenError::io("open", &name, source))
}

/// Whose log a segment is of and where it says that it begins.
fn read_header(file: &Arc<dyn DiskFile>, first: Position) -> Result<(LogId, Position), OpenError> {
    let name = segment::file_name(first);
    let mut header = [0; HEADER_BYTES as usize];
    let read = file.read_at(0, &mut header).map_err(|source| OpenError::io("read", &name, source))?;
    segment::read_header(&header[..read]).map_err(|fault| match fault {
        HeaderFault::Damaged(what) => OpenError::damaged(&name, 0, what),
        HeaderFault::UnknownVersion(version) => OpenError::UnknownVersion { file: name, version },
    })
}

#[cfg(test)]
mod tests;
