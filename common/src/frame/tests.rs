use proptest::prelude::*;

use super::*;
use crate::block::Block;
use crate::table::host_metrics;

fn frame() -> Frame {
    let producer = ProducerId::from_bytes(*b"producer of test");
    let block = |rows: usize| Block::of_rows(rows).constant(host_metrics::HOST, Some("db-1"));
    let chunk = |first, rows| Chunk::new(producer, Table::HostMetrics, first, &block(rows)).expect("encodes");
    Frame { producer, announced: 9, sent_at_us: 1_700_000_000_000_000, chunks: vec![chunk(0, 3), chunk(3, 5)] }
}

/// A frame around any body, with a checksum that holds.
fn framed(body: &[u8], announced: u32) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&[VERSION, ZSTD, 0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&announced.to_le_bytes());
    bytes.extend_from_slice(&zstd::bulk::compress(body, 3).expect("compresses"));
    let crc = checksum(&bytes);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn the_bytes_of_version_1_do_not_change() {
    assert_eq!(Frame::decode(include_bytes!("golden/frame_v1.bin")).expect("decodes"), frame());
}

#[test]
fn what_is_encoded_is_decoded() {
    assert_eq!(Frame::decode(&frame().encode().expect("encodes")), Ok(frame()));
}

#[test]
fn each_damaged_byte_and_each_truncation_is_noticed() {
    let bytes = frame().encode().expect("encodes");
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(Frame::decode(&damaged).is_err(), "byte {at}");
        assert!(Frame::decode(&bytes[..at]).is_err(), "{at} bytes");
    }
}

#[test]
fn a_bomb_is_refused_by_what_it_announces_or_by_what_it_expands_to() {
    let bomb = vec![0u8; FRAME_BODY_BYTES_MAX + 1];
    assert_eq!(Frame::decode(&framed(&bomb, bomb.len() as u32)), Err(FrameError::Body(bomb.len() as u32)));
    assert_eq!(Frame::decode(&framed(&bomb, 1_000)), Err(FrameError::Expand(1_000)));
}

#[test]
fn a_forged_count_of_chunks_is_refused() {
    let mut body = ProducerId::from_bytes([0; 16]).to_bytes().to_vec();
    body.splice(0..16, [0]);
    body.extend_from_slice(&[0, 0, 253, 255, 255, 255, 255, 255, 255, 255, 15]);
    assert!(matches!(Frame::decode(&framed(&body, body.len() as u32)), Err(FrameError::Malformed(_))));
}

#[test]
fn an_unknown_version_is_named() {
    let mut bytes = frame().encode().expect("encodes");
    bytes[4] = 9;
    assert_eq!(
        Frame::decode(&bytes).expect_err("version 9").to_string(),
        "frame of version 9; this program reads version 1"
    );
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Frame::decode(&bytes);
        let _ = Frame::decode(&framed(&bytes, bytes.len() as u32));
    }
}
