//! One file of the log: `{first position:020}.log`, a header and then records without gaps.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `RLWALSEG` |
//! | 8..12 | version, 1 |
//! | 12..16 | zero |
//! | 16..32 | UUID of the log |
//! | 32..40 | position of the first record |
//! | 40..44 | CRC32C of bytes 0..40 |
//! | 44.. | records, see `record` |
//!
//! A segment takes its name only when its header is durable (written as `*.new`, synced, renamed, folder synced), so a
//! segment without a sound header is damage and never a crash. It is created only when everything before its first
//! position is durable, so whatever an older segment holds from that position on was never acknowledged.

mod scanner;
mod search;

use std::io;
use std::sync::Arc;

use crate::disk::{self, Disk, DiskFile};
use crate::entry::{LogId, Position};
use crate::fields::{Fields, PutFields};

pub(crate) use scanner::{ScanError, Scanned, Scanner};
pub(crate) use search::Search;

pub(crate) const HEADER_BYTES: u64 = 44;

const MAGIC: [u8; 8] = *b"RLWALSEG";
const VERSION: u32 = 1;

/// A segment and how much of it is durable: what a follower may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub first: Position,
    pub bytes: u64,
}

pub(crate) fn file_name(first: Position) -> String {
    format!("{:020}.log", first.0)
}

pub(crate) fn parse_file_name(name: &str) -> Option<Position> {
    let digits = name.strip_suffix(".log")?;
    let canonical = digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit());
    canonical.then(|| digits.parse().ok().map(Position))?
}

/// Puts a segment without records in place, durably; one of the same name, which has none either, is replaced.
pub(crate) fn create(disk: &dyn Disk, log: LogId, first: Position) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk::replace(disk, &file_name(first), &header(log, first))?;
    disk.sync_folder()?;
    Ok(file)
}

pub(crate) fn header(log: LogId, first: Position) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_BYTES as usize);
    header.put(&MAGIC);
    header.put_u32(VERSION);
    header.put_u32(0);
    header.put(&log.to_bytes());
    header.put_u64(first.0);
    let crc = crc32c::crc32c(&header);
    header.put_u32(crc);
    header
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    Damaged(&'static str),
    UnknownVersion(u32),
}

/// Reads a header: whose log it is and the position that the first record will have.
pub(crate) fn read_header(bytes: &[u8]) -> Result<(LogId, Position), HeaderFault> {
    let short = HeaderFault::Damaged("ends within the segment header");
    let bytes: &[u8; HEADER_BYTES as usize] = bytes.first_chunk().ok_or(short)?;
    if bytes[..8] != MAGIC {
        return Err(HeaderFault::Damaged("not a segment"));
    }
    if bytes[40..] != crc32c::crc32c(&bytes[..40]).to_le_bytes() {
        return Err(HeaderFault::Damaged("wrong checksum of the segment header"));
    }
    let mut fields = Fields::new(&bytes[8..40]);
    let version = fields.u32().ok_or(short)?;
    if version != VERSION {
        return Err(HeaderFault::UnknownVersion(version));
    }
    fields.u32().ok_or(short)?;
    let log = LogId::from_bytes(fields.array().ok_or(short)?);
    Ok((log, Position(fields.u64().ok_or(short)?)))
}

#[cfg(test)]
mod tests;
