#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn seed() -> Seed {
    Seed::of(LogId::from_bytes([7; 16]))
}

fn sample() -> Record<'static> {
    Record {
        kind: Kind::Entry,
        table: Table::Events,
        conflict: false,
        tenant: "acme",
        position: Position(9),
        durable: Position(8),
        received_at_us: -5,
        announced: 40,
        rows: 4,
        numbers: Some(Numbers { producer: ProducerId::from_bytes([3; 16]), first: 30, crc: 77 }),
        skipped: vec![1, 3].into(),
        quarantined: 0,
        in_place_of_events: false,
        ids: Some(vec![EventId::from_u128(1), EventId::from_u128(2)].into()),
        payload: b"payload",
    }
}

fn encoded(record: &Record<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode(seed(), &mut out);
    out
}

#[test]
fn reads_what_it_wrote() {
    let duplicate =
        Record { kind: Kind::Duplicate, conflict: true, skipped: vec![].into(), ids: None, payload: b"", ..sample() };
    let partly = Record { quarantined: 1, in_place_of_events: true, ..sample() };
    let nothing = Record { quarantined: 4, ..duplicate.clone() };
    for record in [sample(), duplicate, partly, nothing] {
        let bytes = encoded(&record);
        assert_eq!(length(&bytes).unwrap(), bytes.len());
        assert_eq!(Record::decode(&bytes, seed()).unwrap(), record);
    }
}

#[test]
fn is_of_one_log_only() {
    let other = Seed::of(LogId::from_bytes([8; 16]));
    assert_eq!(Record::decode(&encoded(&sample()), other), Err(NotARecord("wrong checksum")));
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = encoded(&sample());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Record::decode(&flipped, seed()).is_err(), "bit {bit}");
    }
}

#[test]
#[should_panic(expected = "impossible rows")]
fn an_unsound_record_is_never_written() {
    encoded(&Record { rows: 1, ..sample() });
}

proptest! {
    /// A valid checksum over nonsense is refused, not believed.
    #[test]
    fn forged_fields_never_panic(at in 12_usize..92, value: u8, second in 12_usize..92, other: u8) {
        let mut bytes = encoded(&sample());
        bytes[at] = value;
        bytes[second] = other;
        let crc = seed().crc(&bytes);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        if let Ok(record) = Record::decode(&bytes, seed()) {
            prop_assert_eq!(encoded(&record).len(), bytes.len());
        }
    }
}
