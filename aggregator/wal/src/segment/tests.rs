#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn names_sort_like_positions_and_are_the_only_ones_accepted() {
    assert_eq!(file_name(Position(42)), "00000000000000000042.log");
    assert_eq!(parse_file_name(&file_name(Position(42))), Some(Position(42)));
    for name in
        ["42.log", "00000000000000000042.log.new", "0000000000000000004x.log", "99999999999999999999.log", "checkpoint"]
    {
        assert_eq!(parse_file_name(name), None, "{name}");
    }
}

#[test]
fn header_is_read_back_and_every_flipped_bit_is_noticed() {
    let log = LogId::from_bytes([5; 16]);
    let bytes = header(log, Position(9));
    assert_eq!(bytes.len() as u64, HEADER_BYTES);
    assert_eq!(read_header(&bytes), Ok((log, Position(9))));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(read_header(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn a_newer_version_is_named() {
    let mut bytes = header(LogId::from_bytes([5; 16]), Position(9));
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..40]);
    bytes[40..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(read_header(&bytes), Err(HeaderFault::UnknownVersion(2)));
}
