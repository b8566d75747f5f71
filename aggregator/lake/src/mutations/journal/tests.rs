use ridealong_wal::disk::RealDisk;
use ridealong_wal::disk::memory::{Faults, MemoryDisk};

use super::*;

/// Written by version 1 and never changed: what later versions must read.
const GOLDEN: &[u8] = include_bytes!("golden/mutations_v1.bin");

fn record(number: u64, deletes: bool) -> Record {
    let mut people = People::default();
    people.add_name("user_id", "ada");
    Record {
        number,
        at_us: 1_700_000_000_000_000,
        tenant: "default".into(),
        table: "events".into(),
        condition: "user_id = 'ada'".into(),
        set: (!deletes).then(|| [("country".to_owned(), "NL".into())].into()),
        log: "00000000-0000-7000-8000-000000000001".into(),
        position: 42,
        rows: 7,
        files: [("date=2026-11-21/a.parquet".to_owned(), 5)].into(),
        people: Some(people),
    }
}

fn entries() -> Vec<Entry> {
    vec![
        Entry::Last { number: 2 },
        Entry::Total { tenant: "default".into(), table: "events".into(), rows_deleted: 100 },
        Entry::Begun(Box::new(record(3, true))),
        Entry::Begun(Box::new(record(4, false))),
        Entry::Begun(Box::new(record(5, true))),
        Entry::Visited { tenant: "default".into(), number: 4 },
        Entry::Done { number: 3 },
    ]
}

fn file() -> Vec<u8> {
    let mut bytes = FORMAT.header.to_vec();
    for entry in entries() {
        bytes.extend(FORMAT.record(&serde_json::to_vec(&entry).expect("encodes")).expect("fits"));
    }
    bytes
}

fn read(bytes: &[u8]) -> Kept {
    kept(&FORMAT.changes(bytes).expect("holds").0).expect("reads")
}

fn check(kept: &Kept) {
    assert_eq!(kept.records.keys().copied().collect::<Vec<_>>(), [4, 5]);
    assert_eq!(kept.last, 5);
    assert_eq!(kept.deleted[&("default".to_owned(), "events".to_owned())], 114);
    let (corrected, deleted) = (&kept.records[&4], &kept.records[&5]);
    assert_eq!(
        (&corrected.people, corrected.set.as_ref().map(|set| set["country"].clone())),
        (&None, Some("NL".into()))
    );
    assert_eq!((&deleted.people, &deleted.files), (&record(5, true).people, &record(5, true).files));
}

#[test]
fn the_golden_file_reads_and_is_what_is_written() {
    assert_eq!(file(), GOLDEN);
    check(&read(GOLDEN));
}

#[test]
#[ignore = "writes the golden file of a new version"]
fn rewrite() {
    std::fs::write("src/mutations/journal/golden/mutations_v1.bin", file()).expect("written");
}

#[test]
fn written_anew_it_says_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder.path()).expect("a folder"));
    let (mut journal, mut state) = Journal::open(Arc::clone(&disk)).expect("opens");
    for entry in entries() {
        state.take(entry.clone());
        journal.append(&entry, &state).expect("appended");
    }
    // So long a name that the next change is of a new file.
    let long = "x".repeat(4 << 20);
    for number in 6..16 {
        let long = Record { condition: long.clone(), ..record(number, true) };
        for entry in [Entry::Begun(Box::new(long)), Entry::Done { number }] {
            state.take(entry.clone());
            journal.append(&entry, &state).expect("appended");
        }
    }
    let (_, found) = Journal::open(disk).expect("opens");
    assert_eq!((found.last, found.deleted), (state.last, state.deleted));
    assert_eq!(found.records.keys().collect::<Vec<_>>(), state.records.keys().collect::<Vec<_>>());
    assert!(std::fs::metadata(folder.path().join("mutations")).expect("a file").len() < 24 << 20);
}

#[test]
fn what_could_not_be_made_durable_is_not_in_force_and_its_number_is_not_given_again() {
    let disk = MemoryDisk::default();
    let (mut journal, mut state) = Journal::open(Arc::new(disk.clone())).expect("opens");
    disk.set_faults(Faults { syncs: 1, ..Faults::default() });
    let entry = Entry::Begun(Box::new(record(1, true)));
    state.take(entry.clone());
    journal.append(&entry, &state).expect_err("not synced");
    state.undo(&record(1, true));
    disk.set_faults(Faults::default());
    assert!(state.records.is_empty() && state.deleted.values().all(|rows| *rows == 0) && state.last == 1);
    // The next one writes the file anew: what is in it is not known.
    let entry = Entry::Begun(Box::new(record(2, true)));
    state.take(entry.clone());
    journal.append(&entry, &state).expect("appended");
    let (_, found) = Journal::open(Arc::new(disk.after_power_loss(1))).expect("opens");
    assert_eq!(found.records.keys().copied().collect::<Vec<_>>(), [2]);
}
