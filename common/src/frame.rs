//! The wire frame: what an agent posts to `/v1/batches` as `application/vnd.ridealong.batch`.
//!
//! ```text
//!  0   4  magic "RLFR"
//!  4   1  version, 1
//!  5   1  compression of the body: 1 zstd
//!  6   2  0
//!  8   4  CRC32C of bytes 4..8 and 12..                      little-endian, as all below
//! 12   4  length of the body before compression
//! 16      the body, compressed
//! ```
//!
//! The body is bincode (variable-length integers, little-endian, no trailing bytes) of [`Body`]: the producer, its
//! running total of numbers handed out, the sender's clock, and the chunks, all of that one producer. Chunks travel with
//! their blocks not compressed, so that the frame compresses them together.

use bincode::Options;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::chunk::{Chunk, ChunkError, check_numbers};
use crate::ids::ProducerId;
use crate::limits::{BLOCK_BYTES_MAX, FRAME_BODY_BYTES_MAX, FRAME_BYTES_MAX, FRAME_CHUNKS_MAX};
use crate::table::Table;

pub const MEDIA_TYPE: &str = "application/vnd.ridealong.batch";
const MAGIC: &[u8; 4] = b"RLFR";
const VERSION: u8 = 1;
const ZSTD: u8 = 1;
const ZSTD_LEVEL: i32 = 3;
const HEADER_BYTES: usize = 16;

/// Chunks of one producer on their way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub producer: ProducerId,
    /// How many numbers the producer has handed out so far: what the aggregator should have when all has arrived.
    pub announced: u64,
    /// The sender's clock when it sent, microseconds since 1970.
    pub sent_at_us: i64,
    pub chunks: Vec<Chunk>,
}

#[derive(Debug, Error, PartialEq)]
pub enum FrameError {
    #[error("frame of {0} bytes is larger than {FRAME_BYTES_MAX}")]
    TooLarge(usize),
    #[error("frame ends after {0} bytes")]
    Short(usize),
    #[error("these bytes are no batch: they do not begin with RLFR")]
    Magic,
    #[error("frame of version {0}; this program reads version {VERSION}")]
    Version(u8),
    #[error("frame with the unknown compression {0}")]
    Compression(u8),
    #[error("frame's checksum is {found:08x}, its header says {expected:08x}")]
    Checksum { found: u32, expected: u32 },
    #[error("frame announces a body of {0} bytes, at most {FRAME_BODY_BYTES_MAX} are taken")]
    Body(u32),
    #[error("frame does not expand to the {0} bytes it announces")]
    Expand(u32),
    #[error("frame's body does not decode: {0}")]
    Malformed(String),
    #[error("frame of {0} chunks, 1 to {FRAME_CHUNKS_MAX} are taken")]
    Chunks(usize),
    #[error("chunk {at} of the frame: {source}")]
    Chunk { at: usize, source: ChunkError },
}

#[derive(Serialize, Deserialize)]
struct Body {
    producer: ProducerId,
    announced: u64,
    sent_at_us: i64,
    chunks: Vec<WireChunk>,
}

#[derive(Serialize, Deserialize)]
struct WireChunk {
    table: u8,
    first: u64,
    count: u32,
    crc: u32,
    block: Bytes,
}

fn codec() -> impl Options {
    bincode::DefaultOptions::new().with_limit(FRAME_BODY_BYTES_MAX as u64).with_little_endian().reject_trailing_bytes()
}

impl Frame {
    /// Encodes; an error means that the frame is over a limit and must be split.
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        assert!(self.chunks.iter().all(|chunk| chunk.producer == self.producer), "a frame has one producer");
        let chunks = self.chunks.iter().map(WireChunk::of).collect();
        let body = Body { producer: self.producer, announced: self.announced, sent_at_us: self.sent_at_us, chunks };
        let body = codec().serialize(&body).map_err(|error| FrameError::Malformed(error.to_string()))?;
        let compressed = zstd::bulk::compress(&body, ZSTD_LEVEL).map_err(|_| FrameError::Expand(body.len() as u32))?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + compressed.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[VERSION, ZSTD, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&compressed);
        let crc = checksum(&bytes);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(FrameError::TooLarge(bytes.len()));
        }
        Ok(bytes)
    }

    /// Reads what may come from anywhere. Every chunk's checksum holds afterwards; their blocks are not decoded yet.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let body =
            codec().deserialize::<Body>(&expand(bytes)?).map_err(|error| FrameError::Malformed(error.to_string()))?;
        if body.chunks.is_empty() || body.chunks.len() > FRAME_CHUNKS_MAX {
            return Err(FrameError::Chunks(body.chunks.len()));
        }
        let chunks = body.chunks.into_iter().enumerate();
        let chunks = chunks
            .map(|(at, chunk)| chunk.into_chunk(body.producer).map_err(|source| FrameError::Chunk { at, source }));
        Ok(Self {
            producer: body.producer,
            announced: body.announced.min(i64::MAX as u64),
            sent_at_us: body.sent_at_us,
            chunks: chunks.collect::<Result<_, _>>()?,
        })
    }
}

impl WireChunk {
    fn of(chunk: &Chunk) -> Self {
        let Chunk { table, first, count, crc, ref block, .. } = *chunk;
        Self { table: table as u8, first, count, crc, block: block.clone() }
    }

    fn into_chunk(self, producer: ProducerId) -> Result<Chunk, ChunkError> {
        let Self { first, count, crc, block, .. } = self;
        let table = Table::from_number(self.table)
            .filter(|table| table.comes_from_agents())
            .ok_or(ChunkError::Table(self.table))?;
        check_numbers(first, count)?;
        if block.len() > BLOCK_BYTES_MAX {
            return Err(ChunkError::Limit("a block's bytes"));
        }
        Chunk { producer, table, first, count, crc, block }.verified()
    }
}

/// Checks the header and expands the body, bounded by what the header announces.
fn expand(bytes: &[u8]) -> Result<Vec<u8>, FrameError> {
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(FrameError::TooLarge(bytes.len()));
    }
    let header = bytes.first_chunk::<HEADER_BYTES>().ok_or(FrameError::Short(bytes.len()))?;
    if &header[..4] != MAGIC {
        return Err(FrameError::Magic);
    }
    if header[4] != VERSION {
        return Err(FrameError::Version(header[4]));
    }
    if header[5] != ZSTD {
        return Err(FrameError::Compression(header[5]));
    }
    let expected = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
    let found = checksum(bytes);
    if found != expected {
        return Err(FrameError::Checksum { found, expected });
    }
    let length = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
    if length as usize > FRAME_BODY_BYTES_MAX {
        return Err(FrameError::Body(length));
    }
    let body =
        zstd::bulk::decompress(&bytes[HEADER_BYTES..], length as usize).map_err(|_| FrameError::Expand(length))?;
    if body.len() == length as usize { Ok(body) } else { Err(FrameError::Expand(length)) }
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[4..8]), &bytes[12..])
}

#[cfg(test)]
mod tests;
