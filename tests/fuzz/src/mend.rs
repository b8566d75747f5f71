//! Makes checksums hold. The decoders' errors say which checksum they found, so nothing about it is repeated here.

use bincode::Options;
use bytes::Bytes;
use ridealong_common::chunk::{Chunk, ChunkError};
use ridealong_common::frame::{Frame, FrameError};
use serde::{Deserialize, Serialize};

/// The layout of a frame's body, as `ridealong_common::frame` documents it.
#[derive(Serialize, Deserialize)]
pub struct Body {
    pub producer: u128,
    pub announced: u64,
    pub sent_at_us: i64,
    pub chunks: Vec<WireChunk>,
}

#[derive(Serialize, Deserialize)]
pub struct WireChunk {
    pub table: u8,
    pub first: u64,
    pub count: u32,
    pub crc: u32,
    pub block: Bytes,
}

fn codec() -> impl Options {
    bincode::DefaultOptions::new().with_limit(32 << 20).with_little_endian().reject_trailing_bytes()
}

/// A frame around any body, with a header that holds.
pub fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = b"RLFR\x01\x01\0\0\0\0\0\0".to_vec();
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&zstd::bulk::compress(body, 1).expect("memory for a small input"));
    bytes
}

/// Decodes a frame whose own checksum does not matter.
pub fn frame(mut bytes: Vec<u8>) -> Result<Frame, FrameError> {
    match Frame::decode(&bytes) {
        Err(FrameError::Checksum { found, .. }) => {
            bytes[8..12].copy_from_slice(&found.to_le_bytes());
            Frame::decode(&bytes)
        }
        decoded => decoded,
    }
}

/// The body with the checksums of its chunks mended, if it is a body at all.
pub fn body(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body: Body = codec().deserialize(bytes).ok()?;
    loop {
        let mended = codec().serialize(&body).expect("what was read can be written");
        match frame(framed(&mended)) {
            Err(FrameError::Chunk { at, source: ChunkError::Checksum { found, .. } }) => {
                assert_ne!(body.chunks[at].crc, found, "a mended checksum holds");
                body.chunks[at].crc = found;
            }
            _ => return Some(mended),
        }
    }
}

/// Decodes a stored chunk whose checksum does not matter.
pub fn chunk(bytes: &[u8]) -> Result<Chunk, ChunkError> {
    match Chunk::decode(bytes) {
        Err(ChunkError::Checksum { found, .. }) => {
            let mut mended = bytes.to_vec();
            mended[40..44].copy_from_slice(&found.to_le_bytes());
            Chunk::decode(&mended)
        }
        decoded => decoded,
    }
}
