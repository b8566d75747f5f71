//! A chunk: one block with its place in its producer's numbering. A spool value is one chunk; a frame carries several.
//!
//! ```text
//!  0   4  magic "RLCH"
//!  4   1  version, 1
//!  5   1  table, the number of `Table`
//!  6   1  compression of the block as stored: 0 none, 1 zstd
//!  7   1  0
//!  8  16  producer
//! 24   8  number of the first event                         little-endian, as all below
//! 32   4  count of events
//! 36   4  length of the block before compression
//! 40   4  CRC32C of bytes 4..6, 8..40 and the block before compression: the chunk's identity
//! 44      the block
//! ```
//!
//! The numbers and the CRC stay with the events through salvage, splitting and resending, whatever compression a chunk
//! is stored with on the way; the same numbers with another CRC are an alarm at the aggregator.

use std::io;

use bytes::Bytes;
use thiserror::Error;

use crate::block::{Block, BlockError};
use crate::ids::ProducerId;
use crate::limits::{BLOCK_BYTES_MAX, BLOCK_ROWS_MAX};
use crate::table::Table;

const MAGIC: &[u8; 4] = b"RLCH";
const VERSION: u8 = 1;
pub const HEADER_BYTES: usize = 44;
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
/// Fast enough for the sidecar: about 300 MB/s on one core.
const ZSTD_LEVEL: i32 = 1;

/// Numbered events of one table, not compressed in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub producer: ProducerId,
    pub table: Table,
    pub first: u64,
    pub count: u32,
    pub crc: u32,
    /// An encoded [`Block`] of `count` rows.
    pub block: Bytes,
}

#[derive(Debug, Error, PartialEq)]
pub enum ChunkError {
    #[error("chunk ends after {0} bytes")]
    Short(usize),
    #[error("these bytes are no chunk: they do not begin with RLCH")]
    Magic,
    #[error("chunk of version {0}; this program reads version {VERSION}")]
    Version(u8),
    #[error("chunk of the unknown table {0}")]
    Table(u8),
    #[error("chunk with the unknown compression {0}")]
    Compression(u8),
    #[error("chunk announces {0}, which is over the limit")]
    Limit(&'static str),
    #[error("chunk does not expand to the {0} bytes it announces")]
    Expand(u32),
    #[error("chunk's checksum is {found:08x}, its header says {expected:08x}")]
    Checksum { found: u32, expected: u32 },
    #[error("chunk's block: {0}")]
    Block(#[from] BlockError),
}

impl Chunk {
    /// Numbers the rows of a block.
    pub fn new(producer: ProducerId, table: Table, first: u64, block: &Block) -> Result<Self, ChunkError> {
        Self::of_encoded(producer, table, first, block.rows(), block.encode()?)
    }

    /// Numbers the rows of a block that is encoded already.
    pub fn of_encoded(
        producer: ProducerId,
        table: Table,
        first: u64,
        count: u32,
        block: Vec<u8>,
    ) -> Result<Self, ChunkError> {
        let block = Bytes::from(block);
        if block.len() > BLOCK_BYTES_MAX {
            return Err(ChunkError::Limit("a block's bytes"));
        }
        let crc = checksum(producer, table, first, count, &block);
        Ok(Self { producer, table, first, count, crc, block })
    }

    /// The number after the last event's.
    pub fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    /// As stored: compressed when that makes it smaller.
    pub fn encode(&self) -> Vec<u8> {
        self.stored(zstd::bulk::compress(&self.block, ZSTD_LEVEL))
    }

    /// The same, for one chunk after the other.
    pub fn encode_with(&self, compressor: &mut ChunkCompressor) -> Vec<u8> {
        self.stored(compressor.0.compress(&self.block))
    }

    fn stored(&self, compressed: io::Result<Vec<u8>>) -> Vec<u8> {
        let compressed = compressed.ok().filter(|it| it.len() < self.block.len());
        let (compression, stored) = match &compressed {
            Some(bytes) => (ZSTD, bytes.as_slice()),
            None => (PLAIN, self.block.as_ref()),
        };
        let mut bytes = Vec::with_capacity(HEADER_BYTES + stored.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[VERSION, self.table as u8, compression, 0]);
        bytes.extend_from_slice(&self.producer.to_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&(self.block.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.crc.to_le_bytes());
        debug_assert_eq!(bytes.len(), HEADER_BYTES);
        bytes.extend_from_slice(stored);
        bytes
    }

    /// Reads what may come from anywhere: every field is bounded before anything is allocated, and the checksum holds.
    pub fn decode(bytes: &[u8]) -> Result<Self, ChunkError> {
        let header = Header::read(bytes)?;
        let stored = &bytes[HEADER_BYTES..];
        let length = header.block_bytes as usize;
        let block = match header.compression {
            PLAIN => Bytes::copy_from_slice(stored),
            ZSTD => {
                Bytes::from(zstd::bulk::decompress(stored, length).map_err(|_| ChunkError::Expand(header.block_bytes))?)
            }
            other => return Err(ChunkError::Compression(other)),
        };
        if block.len() != length {
            return Err(ChunkError::Expand(header.block_bytes));
        }
        let Header { producer, table, first, count, crc, .. } = header;
        Self { producer, table, first, count, crc, block }.verified()
    }

    /// Itself, when the checksum holds.
    pub fn verified(self) -> Result<Self, ChunkError> {
        let found = checksum(self.producer, self.table, self.first, self.count, &self.block);
        if found == self.crc { Ok(self) } else { Err(ChunkError::Checksum { found, expected: self.crc }) }
    }
}

/// Compresses chunks without setting up anew for each.
pub struct ChunkCompressor(zstd::bulk::Compressor<'static>);

impl ChunkCompressor {
    /// An error means that there is no memory.
    pub fn new() -> io::Result<Self> {
        zstd::bulk::Compressor::new(ZSTD_LEVEL).map(Self)
    }
}

/// What a stored chunk says about itself, read without expanding it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub producer: ProducerId,
    pub table: Table,
    pub first: u64,
    pub count: u32,
    pub crc: u32,
    block_bytes: u32,
    compression: u8,
}

impl Header {
    /// Bounds are checked, the checksum is not: it needs the block.
    pub fn read(bytes: &[u8]) -> Result<Self, ChunkError> {
        let header = bytes.first_chunk::<HEADER_BYTES>().ok_or(ChunkError::Short(bytes.len()))?;
        if &header[..4] != MAGIC {
            return Err(ChunkError::Magic);
        }
        if header[4] != VERSION {
            return Err(ChunkError::Version(header[4]));
        }
        let table = Table::from_number(header[5])
            .filter(|table| table.comes_from_agents())
            .ok_or(ChunkError::Table(header[5]))?;
        let read = Self {
            producer: ProducerId::from_bytes(array(header, 8)),
            table,
            first: u64::from_le_bytes(array(header, 24)),
            count: u32::from_le_bytes(array(header, 32)),
            block_bytes: u32::from_le_bytes(array(header, 36)),
            crc: u32::from_le_bytes(array(header, 40)),
            compression: header[6],
        };
        check_numbers(read.first, read.count)?;
        if read.block_bytes as usize > BLOCK_BYTES_MAX {
            return Err(ChunkError::Limit("a block's bytes"));
        }
        Ok(read)
    }

    pub fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }
}

/// Numbers stay below 2^63, so that they fit the signed integers of SQL and adding to them never overflows.
pub(crate) fn check_numbers(first: u64, count: u32) -> Result<(), ChunkError> {
    if count == 0 || count > BLOCK_ROWS_MAX {
        return Err(ChunkError::Limit("a count of events"));
    }
    if first > i64::MAX as u64 - u64::from(count) {
        return Err(ChunkError::Limit("a number of an event"));
    }
    Ok(())
}

fn checksum(producer: ProducerId, table: Table, first: u64, count: u32, block: &[u8]) -> u32 {
    let mut crc = crc32c::crc32c(&[VERSION, table as u8]);
    crc = crc32c::crc32c_append(crc, &producer.to_bytes());
    crc = crc32c::crc32c_append(crc, &first.to_le_bytes());
    crc = crc32c::crc32c_append(crc, &count.to_le_bytes());
    crc = crc32c::crc32c_append(crc, &(block.len() as u32).to_le_bytes());
    crc32c::crc32c_append(crc, block)
}

fn array<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|offset| bytes[at + offset])
}

#[cfg(test)]
mod tests;
