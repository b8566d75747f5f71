//! Reads the records of a segment one after the other, each verified, up to a given length of the file.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::HEADER_BYTES;
use crate::disk::DiskFile;
use crate::record::{self, NotARecord, PREFIX_BYTES, Record, Seed};

/// What is read at once; a record that is longer is read whole.
const READ_BYTES: u64 = 1 << 20;

pub(crate) struct Scanner {
    file: Arc<dyn DiskFile>,
    seed: Seed,
    offset: u64,
    /// Bytes of the file from `chunk_offset`, all of them below the limit that was given when they were read.
    chunk: Bytes,
    chunk_offset: u64,
}

pub(crate) struct Scanned<'a> {
    pub record: Record<'a>,
    /// What the record borrows from, so that its payload can be kept without a copy.
    pub chunk: &'a Bytes,
}

#[derive(Debug)]
pub(crate) enum ScanError {
    Io(io::Error),
    /// What begins at [`Scanner::offset`] is not a whole, sound record.
    Damaged(&'static str),
}

impl From<NotARecord> for ScanError {
    fn from(NotARecord(what): NotARecord) -> Self {
        ScanError::Damaged(what)
    }
}

impl Scanner {
    pub fn new(file: Arc<dyn DiskFile>, seed: Seed) -> Self {
        Self { file, seed, offset: HEADER_BYTES, chunk: Bytes::new(), chunk_offset: 0 }
    }

    /// Where the next record begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record that ends at or before `limit`; None when the last one ends exactly there. After an error the
    /// offset has not moved.
    pub fn next(&mut self, limit: u64) -> Result<Option<Scanned<'_>>, ScanError> {
        if self.offset == limit {
            return Ok(None);
        }
        let length = record::length(self.load(PREFIX_BYTES, limit)?)?;
        self.load(length, limit)?;
        let from = (self.offset - self.chunk_offset) as usize;
        let record = Record::decode(&self.chunk[from..from + length], self.seed)?;
        self.offset += length as u64;
        Ok(Some(Scanned { record, chunk: &self.chunk }))
    }

    /// The next `count` bytes.
    fn load(&mut self, count: usize, limit: u64) -> Result<&[u8], ScanError> {
        let left = limit.saturating_sub(self.offset);
        if left < count as u64 {
            return Err(ScanError::Damaged("ends within a record"));
        }
        let held = self.chunk_offset..self.chunk_offset + self.chunk.len() as u64;
        if self.offset < held.start || self.offset + count as u64 > held.end {
            let mut chunk = vec![0; left.min(READ_BYTES.max(count as u64)) as usize];
            let read = self.file.read_at(self.offset, &mut chunk).map_err(ScanError::Io)?;
            chunk.truncate(read);
            self.chunk = Bytes::from(chunk);
            self.chunk_offset = self.offset;
            if read < count {
                return Err(ScanError::Damaged("ends within a record"));
            }
        }
        let from = (self.offset - self.chunk_offset) as usize;
        Ok(&self.chunk[from..from + count])
    }
}
