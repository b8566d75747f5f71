#![allow(clippy::unwrap_used, reason = "tests")]

use crate::OpenError;
use crate::disk::memory::MemoryDisk;
use crate::testing::{append, identified, numbered, open, try_open};

fn disk() -> MemoryDisk {
    let disk = MemoryDisk::default();
    let (wal, _) = open(&disk);
    append(&wal, numbered(3, 2)).unwrap();
    for number in 0..4 {
        append(&wal, identified(&[number, number + 10, number + 20])).unwrap();
    }
    wal.release(wal.durable()).unwrap();
    wal.close();
    disk
}

/// A checkpoint is in place whole or not at all, so no byte of it may be wrong.
#[test]
fn every_damaged_byte_is_refused_by_name() {
    let disk = disk();
    let files = disk.contents();
    assert_eq!(files.len(), 3);
    for (name, bytes) in files.into_iter().filter(|(name, _)| !name.ends_with(".log")) {
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            let copy = disk.copy();
            copy.put(&name, damaged);
            match try_open(&copy).map(|_| ()) {
                Err(OpenError::Damaged { file, .. } | OpenError::UnknownVersion { file, .. }) => assert_eq!(file, name),
                other => panic!("{name} {at}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_missing_run_is_named() {
    let disk = disk();
    let name = disk.contents().into_keys().find(|name| name.ends_with(".run")).unwrap();
    crate::disk::Disk::remove(&disk, &name).unwrap();
    assert!(matches!(try_open(&disk).map(|_| ()), Err(OpenError::Missing { file }) if file == name));
}

#[test]
fn nonsense_with_a_sound_checksum_never_panics() {
    let disk = disk();
    let bytes = disk.contents().remove("checkpoint").unwrap();
    for at in 16..bytes.len() {
        for value in [0, 1, 0x7F, 0xFF] {
            let mut forged = bytes.clone();
            forged[at] = value;
            let crc = crc32c::crc32c(&forged[16..]);
            forged[12..16].copy_from_slice(&crc.to_le_bytes());
            let copy = disk.copy();
            copy.put("checkpoint", forged);
            let _ = try_open(&copy);
        }
    }
}
