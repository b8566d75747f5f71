use proptest::prelude::*;

use super::*;
use crate::table::host_metrics;

fn chunk() -> Chunk {
    let producer = ProducerId::from_bytes(*b"producer of test");
    let block =
        Block::of_rows(3).growing(host_metrics::TIMESTAMP, [1_000_000, 2_000_000, 3_000_000].into_iter()).constant(
            host_metrics::HOST,
            Some("host-with-a-name-that-is-long-enough-to-be-compressed-compressed-compressed"),
        );
    Chunk::new(producer, Table::HostMetrics, 42, &block).expect("encodes")
}

#[test]
fn the_bytes_of_version_1_do_not_change() {
    let golden = include_bytes!("golden/host_metrics_v1.bin");
    assert_eq!(Chunk::decode(golden).expect("decodes"), chunk());
}

#[test]
fn what_is_encoded_is_decoded() {
    let chunk = chunk();
    assert_eq!(Chunk::decode(&chunk.encode()), Ok(chunk.clone()));
    let header = Header::read(&chunk.encode()).expect("a header");
    assert_eq!((header.first, header.end(), header.crc), (42, 45, chunk.crc));
}

#[test]
fn no_damaged_byte_changes_what_is_read() {
    let bytes = chunk().encode();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        match Chunk::decode(&damaged) {
            // The reserved byte of the header, and a bit that zstd itself does not use.
            Ok(read) => assert_eq!(read, chunk(), "byte {at}"),
            Err(error) => assert_ne!(at, 7, "{error}"),
        }
    }
}

#[test]
fn each_truncation_is_noticed() {
    let bytes = chunk().encode();
    for length in 0..bytes.len() {
        assert!(Chunk::decode(&bytes[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn forged_sizes_are_refused_before_allocation() {
    let mut bytes = chunk().encode();
    bytes[36..40].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(Chunk::decode(&bytes), Err(ChunkError::Limit("a block's bytes")));
    let mut bytes = chunk().encode();
    bytes[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(Chunk::decode(&bytes), Err(ChunkError::Limit("a count of events")));
    let mut bytes = chunk().encode();
    bytes[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(Chunk::decode(&bytes), Err(ChunkError::Limit("a number of an event")));
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Chunk::decode(&bytes);
    }
}
