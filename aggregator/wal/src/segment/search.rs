//! Finds sound records behind damage, wherever they begin, in a bounded amount of memory.

use std::io;
use std::sync::Arc;

use crate::disk::DiskFile;
use crate::entry::Position;
use crate::record::{self, MAGIC, NotARecord, PREFIX_BYTES, Record, Seed};

/// What is looked through at once.
const WINDOW_BYTES: u64 = 64 << 10;

pub(crate) struct Search {
    file: Arc<dyn DiskFile>,
    seed: Seed,
    length: u64,
}

/// A sound record that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub offset: u64,
    pub end: u64,
    /// The positions that it stands for.
    pub first: Position,
    pub last: Position,
    pub durable: Position,
}

impl Search {
    pub fn new(file: Arc<dyn DiskFile>, seed: Seed, length: u64) -> Self {
        Self { file, seed, length }
    }

    /// The first sound record that begins at `from` or later.
    pub fn next(&self, mut from: u64) -> io::Result<Option<Found>> {
        // Mostly one record follows the other.
        if let Some(found) = self.at(from)? {
            return Ok(Some(found));
        }
        while from + (PREFIX_BYTES as u64) < self.length {
            let window = self.read(from, WINDOW_BYTES.min(self.length - from))?;
            for place in beginnings(&window) {
                if let Some(found) = self.at(from + place as u64)? {
                    return Ok(Some(found));
                }
            }
            // A beginning may lie across the windows' border.
            from += (window.len() as u64).saturating_sub(MAGIC.len() as u64 - 1).max(1);
        }
        Ok(None)
    }

    /// Why no sound record begins at `offset`; if one does, it is not the one that belongs there.
    pub fn why(&self, offset: u64) -> io::Result<&'static str> {
        if offset >= self.length {
            return Ok("ends before what was durable");
        }
        let prefix = self.read(offset, PREFIX_BYTES as u64)?;
        let length = match record::length(&prefix) {
            Ok(length) => length as u64,
            Err(NotARecord(what)) => return Ok(what),
        };
        let bytes = self.read(offset, length.min(self.length - offset))?;
        Ok(match Record::decode(&bytes, self.seed) {
            Ok(_) => "the record is not the one that comes next",
            Err(NotARecord(what)) => what,
        })
    }

    fn at(&self, offset: u64) -> io::Result<Option<Found>> {
        if offset + PREFIX_BYTES as u64 > self.length {
            return Ok(None);
        }
        let prefix = self.read(offset, PREFIX_BYTES as u64)?;
        let length = match record::length(&prefix) {
            Ok(length) if offset + length as u64 <= self.length => length as u64,
            _ => return Ok(None),
        };
        let bytes = self.read(offset, length)?;
        let record = Record::decode(&bytes, self.seed).ok();
        Ok(record.map(|record| Found {
            offset,
            end: offset + length,
            first: record.first(),
            last: record.position,
            durable: record.durable,
        }))
    }

    fn read(&self, offset: u64, count: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count as usize];
        let read = self.file.read_at(offset, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

fn beginnings(window: &[u8]) -> impl Iterator<Item = usize> + '_ {
    window.windows(MAGIC.len()).enumerate().filter(|(_, four)| **four == MAGIC).map(|(place, _)| place)
}
