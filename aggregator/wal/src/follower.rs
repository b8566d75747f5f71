//! Reads what is durable, in order, from the files: the same code path for a follower that keeps up, one that is slow and
//! one that was restarted. Each record is verified. Blocking: for a thread of its own.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ridealong_common::table::Table;
use thiserror::Error;

use crate::entry::{Entry, Position};
use crate::record::{Kind, Seed};
use crate::segment::{self, ScanError, Scanned, Scanner, Segment};
use crate::shared::Shared;

pub use crate::shared::Wake;

/// What an entry occupies besides its payload, roughly: bounds a batch of small ones.
const ENTRY_OVERHEAD_BYTES: usize = 128;

pub struct Follower {
    shared: Arc<Shared>,
    position: Position,
    reading: Option<Reading>,
    /// The tenant of the last entry: runs of one tenant share one name.
    tenant: Arc<str>,
}

struct Reading {
    first: Position,
    scanner: Scanner,
}

/// Why nothing could be read. The follower stays where it is.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The follower was too slow: rebuild it from the lake.
    #[error("the log begins at {oldest}, what comes before it is in the lake only")]
    Released { oldest: Position },
    /// Damage to acknowledged records while the log was open.
    #[error("{file:?} of the log is damaged at offset {offset}: {what}")]
    Damaged { file: String, offset: u64, what: &'static str },
    #[error("could not read {file:?} of the log")]
    Io { file: String, source: io::Error },
}

impl Follower {
    pub(crate) fn new(shared: Arc<Shared>, after: Position) -> Self {
        Self { shared, position: after, reading: None, tenant: Table::Events.name().into() }
    }

    /// Everything up to here was returned or needs no return (records of duplicates). To be saved with the follower's
    /// state, and to be compared with [`Wal::durable`](crate::Wal::durable).
    pub fn position(&self) -> Position {
        self.position
    }

    /// Bytes read of the segment that is being read.
    pub fn offset(&self) -> u64 {
        self.reading.as_ref().map_or(0, |reading| reading.scanner.offset())
    }

    /// The next entries, in order, until their payloads reach `bytes_max`; at least one if there is any. Empty when
    /// everything durable was read. Entries read before an error are returned first, the error by the next call.
    pub fn next_batch(&mut self, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while (batch.is_empty() || bytes < bytes_max) && self.position < self.shared.durable() {
            match self.next() {
                Ok(Some(entry)) => {
                    bytes += entry.payload.len() + ENTRY_OVERHEAD_BYTES;
                    batch.push(entry);
                }
                Ok(None) => {}
                Err(error) if batch.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(batch)
    }

    /// Blocks until there is something after this follower's position, or the log is closed, or the time is over.
    pub fn wait(&self, timeout: Duration) -> Wake {
        self.shared.wait(self.position, Instant::now() + timeout)
    }

    /// Moves on by one record, which is durable; None for a duplicate or a gap.
    fn next(&mut self) -> Result<Option<Entry>, ReadError> {
        let wanted = self.position.next();
        let segment = self.shared.segment_of(wanted).map_err(|oldest| ReadError::Released { oldest })?;
        let reading = match &mut self.reading {
            Some(reading) if reading.first == segment.first => reading,
            _ => self.reading.insert(open(&self.shared, segment)?),
        };
        loop {
            let offset = reading.scanner.offset();
            let damaged = |what| ReadError::Damaged { file: segment::file_name(segment.first), offset, what };
            let scanned = match reading.scanner.next(segment.bytes) {
                Ok(Some(scanned)) => scanned,
                Ok(None) => return Err(damaged("ends before what is durable")),
                Err(ScanError::Damaged(what)) => return Err(damaged(what)),
                Err(ScanError::Io(source)) => {
                    return Err(ReadError::Io { file: segment::file_name(segment.first), source });
                }
            };
            if scanned.record.first() > wanted {
                return Err(damaged("the record is not the one that comes next"));
            }
            if scanned.record.position >= wanted {
                self.position = scanned.record.position;
                return Ok(entry(&scanned, &mut self.tenant));
            }
        }
    }
}

fn open(shared: &Shared, segment: Segment) -> Result<Reading, ReadError> {
    let name = segment::file_name(segment.first);
    let file = shared.disk.open(&name).map_err(|source| match shared.segment_of(segment.first) {
        // Removed since it was looked up.
        Err(oldest) => ReadError::Released { oldest },
        Ok(_) => ReadError::Io { file: name, source },
    })?;
    Ok(Reading { first: segment.first, scanner: Scanner::new(file, Seed::of(shared.log)) })
}

fn entry(scanned: &Scanned<'_>, tenant: &mut Arc<str>) -> Option<Entry> {
    let record = &scanned.record;
    if record.kind != Kind::Entry {
        return None;
    }
    if **tenant != *record.tenant {
        *tenant = record.tenant.into();
    }
    Some(Entry {
        position: record.position,
        tenant: tenant.clone(),
        table: record.table,
        received_at_us: record.received_at_us,
        numbers: record.numbers,
        announced: record.announced,
        rows: record.rows,
        skipped_rows: record.skipped.to_vec(),
        payload: scanned.chunk.slice_ref(record.payload),
    })
}

#[cfg(test)]
mod tests;
