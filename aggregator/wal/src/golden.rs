//! The formats as they were written once, for ever: version 1 of a segment and a run of ids, versions 1 to 4 of a
//! checkpoint.
//!
//! A new version gets new files beside these; `rewrite` is for the day on which it is made.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use ridealong_common::ids::EventId;

use crate::disk::memory::MemoryDisk;
use crate::entry::LogId;
use crate::record::{Kind, Record, Seed};
use crate::testing::{append, duplicate, entries, identified, numbered, open, open_with, options, producer};
use crate::wal::model::assert_balanced;
use crate::{Numbers, Position, WalOptions, segment};

const SEGMENT: &[u8] = include_bytes!("golden/segment-1.log");
const QUARANTINED: &[u8] = include_bytes!("golden/segment-1-quarantined.log");
const CHECKPOINT_1: &[u8] = include_bytes!("golden/checkpoint-1");
const CHECKPOINT_2: &[u8] = include_bytes!("golden/checkpoint-2");
const CHECKPOINT_3: &[u8] = include_bytes!("golden/checkpoint-3");
const CHECKPOINT: &[u8] = include_bytes!("golden/checkpoint-4");
const RUN: &[u8] = include_bytes!("golden/ids-1.run");

const SEGMENT_NAME: &str = "00000000000000000001.log";
const RUN_NAME: &str = "ids-00000000000000000000-0000000002.run";

fn segment_now() -> Vec<u8> {
    let log = LogId::from_bytes(*b"log of the gold!");
    let ids = vec![EventId::from_u128(1), EventId::from_u128(2)];
    let (numbered, identified) = (numbered(3, 2), identified(&[1, 7, 2]));
    let entry = Record {
        kind: Kind::Entry,
        table: numbered.table,
        conflict: false,
        tenant: &numbered.tenant,
        position: Position(1),
        durable: Position(0),
        received_at_us: numbered.received_at_us,
        announced: 9,
        rows: 2,
        numbers: Some(Numbers { producer: producer(1), first: 3, crc: 3 }),
        skipped: vec![].into(),
        quarantined: 0,
        in_place_of_events: false,
        ids: None,
        payload: &numbered.payload,
    };
    let with_ids = Record {
        table: identified.table,
        position: Position(2),
        rows: 3,
        announced: 0,
        numbers: None,
        skipped: vec![1].into(),
        ids: Some(ids.into()),
        payload: &identified.payload,
        ..entry.clone()
    };
    let duplicate = Record {
        kind: Kind::Duplicate,
        conflict: true,
        position: Position(3),
        durable: Position(2),
        payload: b"",
        ..entry.clone()
    };
    let mut bytes = segment::header(log, Position(1));
    for record in [entry, with_ids, duplicate] {
        record.encode(Seed::of(log), &mut bytes);
    }
    bytes
}

/// A segment with a record of which rows were set aside.
fn quarantined_now() -> Vec<u8> {
    let log = LogId::from_bytes(*b"log of the gold!");
    let entry = numbered(3, 4);
    let record = Record {
        kind: Kind::Entry,
        table: entry.table,
        conflict: false,
        tenant: &entry.tenant,
        position: Position(1),
        durable: Position(0),
        received_at_us: entry.received_at_us,
        announced: 9,
        rows: 4,
        numbers: entry.numbers,
        skipped: vec![0, 2, 3].into(),
        quarantined: 2,
        in_place_of_events: false,
        ids: None,
        payload: &entry.payload,
    };
    let mut bytes = segment::header(log, Position(1));
    record.encode(Seed::of(log), &mut bytes);
    bytes
}

fn files_now() -> BTreeMap<String, Vec<u8>> {
    let disk = MemoryDisk::default();
    disk.put(SEGMENT_NAME, segment_now());
    let (wal, _) = open_with(WalOptions { segment_bytes_max: 400, ..options() }, &disk).unwrap();
    // A quarter of a segment makes a checkpoint due.
    wal.release(wal.durable()).unwrap();
    disk.contents()
}

#[test]
fn today_writes_what_was_written_then() {
    let files = files_now();
    assert_eq!(files[SEGMENT_NAME], SEGMENT);
    assert_eq!(files["checkpoint"], CHECKPOINT);
    assert_eq!(files[RUN_NAME], RUN);
    assert_eq!(quarantined_now(), QUARANTINED);
}

#[test]
fn today_reads_what_was_written_then() {
    for (checkpoint, unsplit) in [(CHECKPOINT_1, 2), (CHECKPOINT_2, 2), (CHECKPOINT_3, 2), (CHECKPOINT, 0)] {
        reads(checkpoint, unsplit);
    }
}

#[test]
fn today_reads_which_rows_were_set_aside() {
    let disk = MemoryDisk::default();
    disk.put(SEGMENT_NAME, QUARANTINED.to_vec());
    let (wal, _) = open(&disk);
    let tables = wal.books().tables;
    assert_eq!((tables[0].rows_stored, tables[0].rows_duplicate, tables[0].rows_quarantined), (1, 1, 2));
    assert_eq!(entries(&wal)[0].skipped_rows, [0, 2, 3]);
}

/// `unsplit`: the numbers whose rows an old checkpoint does not tell apart.
fn reads(checkpoint: &[u8], unsplit: u64) {
    let disk = MemoryDisk::default();
    for (name, bytes) in [(SEGMENT_NAME, SEGMENT), ("checkpoint", checkpoint), (RUN_NAME, RUN)] {
        disk.put(name, bytes.to_vec());
    }
    let (wal, report) = open(&disk);
    assert_eq!((report.durable, report.records, report.cut_bytes), (Position(3), 3, 0));
    assert_eq!(wal.log_id(), LogId::from_bytes(*b"log of the gold!"));
    let entries = entries(&wal);
    assert_eq!(entries.iter().map(|entry| entry.position.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(entries[1].skipped_rows, [1]);
    assert_eq!(entries[1].payload, identified(&[1, 7, 2]).payload);
    let books = wal.books();
    assert_eq!((books.conflicts, books.producers[0].received, books.producers[0].unsplit), (1, 2, unsplit));
    assert_balanced(&books);
    assert_eq!(append(&wal, numbered(3, 2)), Ok(duplicate(2)));
    assert_eq!(append(&wal, identified(&[2, 1])), Ok(duplicate(2)));
}

#[test]
#[ignore = "writes the golden files of a new version"]
fn rewrite() {
    let folder = std::path::Path::new("src/golden");
    let files = files_now();
    for (name, golden) in [(SEGMENT_NAME, "segment-1.log"), ("checkpoint", "checkpoint-4"), (RUN_NAME, "ids-1.run")] {
        std::fs::write(folder.join(golden), files.get(name).unwrap()).unwrap();
    }
    std::fs::write(folder.join("segment-1-quarantined.log"), quarantined_now()).unwrap();
}
