#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use super::*;

fn written(disk: &MemoryDisk, name: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = disk.create(name).unwrap();
    file.write_at(0, bytes).unwrap();
    file
}

fn found(disk: &MemoryDisk) -> BTreeSet<String> {
    (0..200).map(|seed| format!("{:?}", disk.after_power_loss(seed).list().unwrap())).collect()
}

#[test]
fn names_that_were_not_synced_may_be_there_in_any_order() {
    let disk = MemoryDisk::default();
    written(&disk, "old", b"1");
    disk.sync_folder().unwrap();
    written(&disk, "a.new", b"2");
    disk.rename("a.new", "a").unwrap();
    disk.remove("old").unwrap();
    let found = found(&disk);
    for expected in [r#"["old"]"#, r#"["a", "old"]"#, r#"["a"]"#, r#"[]"#, r#"["a.new", "old"]"#, r#"["a.new"]"#] {
        assert!(found.contains(expected), "{expected} of {found:?}");
    }
    disk.sync_folder().unwrap();
    assert_eq!(self::found(&disk).into_iter().collect::<Vec<_>>(), [r#"["a"]"#]);
}

#[test]
fn contents_are_lost_torn_or_kept_until_they_are_synced() {
    let disk = MemoryDisk::default();
    let file = written(&disk, "a", &[1; 2_000]);
    file.sync_data().unwrap();
    disk.sync_folder().unwrap();
    file.write_at(0, &[2; 2_000]).unwrap();
    let sectors = (0..100).map(|seed| {
        let bytes = disk.after_power_loss(seed).contents().remove("a").unwrap();
        assert_eq!(bytes.len(), 2_000);
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        bytes.chunks(512).map(|sector| sector[0]).collect::<Vec<_>>()
    });
    let sectors: BTreeSet<Vec<u8>> = sectors.collect();
    assert!(sectors.contains(&vec![1; 4]) && sectors.contains(&vec![2; 4]) && sectors.len() > 8, "{sectors:?}");
    file.sync_data().unwrap();
    assert!((0..50).all(|seed| disk.after_power_loss(seed).contents()["a"] == [2; 2_000]));
}

#[test]
fn a_full_disk_keeps_what_fits_and_takes_more_when_there_is_room() {
    let disk = MemoryDisk::default();
    let file = written(&disk, "a", &[1; 100]);
    disk.set_room(150);
    assert_eq!(file.write_at(100, &[2; 100]).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(disk.bytes(), 150);
    file.write_at(0, &[3; 150]).unwrap();
    assert!(written(&disk, "b", b"").write_at(0, b"x").is_err());
    file.truncate(10).unwrap();
    file.write_at(10, &[4; 140]).unwrap();
    disk.set_room(u64::MAX);
    file.write_at(150, &[5; 100]).unwrap();
}

#[test]
fn a_dead_machine_does_nothing_any_more() {
    let disk = MemoryDisk::default();
    let file = written(&disk, "a", b"1");
    let calls = disk.calls();
    disk.die_after(1);
    file.sync_data().unwrap();
    assert!(file.write_at(0, b"2").is_err() && file.sync_data().is_err() && disk.sync_folder().is_err());
    assert!(disk.create("b").is_err() && disk.remove("a").is_err() && disk.rename("a", "b").is_err());
    assert_eq!((disk.calls(), disk.contents()["a"].as_slice()), (calls + 1, &b"1"[..]));
}
