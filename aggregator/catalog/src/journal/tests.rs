use ridealong_wal::disk::RealDisk;

use super::*;
use crate::settings::{Corrections, Segment};

/// Written by version 1 and never changed: what later versions must read.
const GOLDEN: &[u8] = include_bytes!("golden/catalog_v1.bin");

fn op(at_us: i64, name: &str) -> Op {
    let corrections = Corrections { casing: true, ..Corrections::default() };
    let segments = vec![Segment { name: name.into(), condition: "country = 'NL'".into() }];
    Op { at_us, tenant: "acme".into(), settings: TenantSettings { corrections, segments, ..TenantSettings::default() } }
}

fn file(ops: &[Op]) -> Vec<u8> {
    let mut bytes = FORMAT.header.to_vec();
    let record = |op| FORMAT.record(&serde_json::to_vec(op).expect("encodes")).expect("fits");
    ops.iter().for_each(|op| bytes.extend(record(op)));
    bytes
}

fn replay(bytes: &[u8]) -> Result<(State, usize), OpenError> {
    let (changes, end) = FORMAT.changes(bytes)?;
    Ok((state(&changes)?, end))
}

fn acme() -> TenantId {
    TenantId::parse("acme").expect("a tenant")
}

#[test]
fn the_golden_file_reads_and_is_what_is_written() {
    let written = file(&[op(1, "dutch"), op(2, "netherlands")]);
    assert_eq!(written, GOLDEN);
    let (state, end) = replay(GOLDEN).expect("reads");
    assert_eq!((state[&acme()].clone(), end), (op(2, "netherlands").settings, GOLDEN.len()));
}

#[test]
fn wherever_the_last_record_is_torn_the_ones_before_it_hold() {
    let whole = file(&[op(1, "a"), op(2, "b")]);
    let first = file(&[op(1, "a")]).len();
    for length in first..whole.len() {
        let (state, end) = replay(&whole[..length]).expect("the torn record was never in force");
        assert_eq!((end, state[&acme()].clone()), (first, op(1, "a").settings));
        let mut zeroed = whole.clone();
        zeroed[length..].fill(0);
        assert_eq!(replay(&zeroed).expect("a torn tail").1, first);
    }
}

#[test]
fn damage_before_a_record_that_holds_stops_the_start() {
    let whole = file(&[op(1, "a"), op(2, "b")]);
    let first = file(&[op(1, "a")]).len();
    for at in 0..first {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x41;
        let error = replay(&damaged).expect_err("damage");
        let expected = if at < FORMAT.header.len() { "was not written by this program" } else { "damaged at offset 8" };
        assert!(error.to_string().contains(expected), "byte {at}: {error}");
    }
}

#[test]
fn a_long_file_is_written_anew_with_what_is_in_force() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder.path()).expect("a folder"));
    let (mut journal, _) = Journal::open(disk.clone()).expect("opens");
    let settings = |number: usize| {
        let condition = format!("{number:0>2000}");
        let segments = (0..90).map(|at| Segment { name: format!("s{at}"), condition: condition.clone() });
        TenantSettings { segments: segments.collect(), ..TenantSettings::default() }
    };
    let length = || std::fs::metadata(folder.path().join("catalog")).expect("the file").len();
    let mut longest = 0;
    for number in 0..60 {
        let settings = settings(number);
        let op = Op { at_us: 0, tenant: "acme".into(), settings: settings.clone() };
        journal.append(&op, [(&acme(), &settings)].into_iter()).expect("appends");
        longest = longest.max(length());
    }
    assert!(longest < FORMAT.file_bytes_max + FORMAT.change_bytes_max as u64 && length() < longest);
    let (_, state) = Journal::open(disk).expect("opens again");
    assert_eq!(state[&acme()], settings(59));
}

#[test]
fn after_failures_and_lost_power_what_was_acknowledged_is_there() {
    use ridealong_wal::disk::memory::{Faults, MemoryDisk};
    for seed in 0..200 {
        let disk = MemoryDisk::default();
        disk.reseed(seed);
        let (mut journal, _) = Journal::open(Arc::new(disk.clone())).expect("opens");
        let (mut acknowledged, mut tried) = (None, Vec::new());
        for number in 0..6 {
            let failing = (seed >> number) & 1 == 1;
            let faults = match (failing, (seed + number) % 3) {
                (false, _) => Faults::default(),
                (true, 0) => Faults { writes: 1, write_keeps: 7, ..Faults::default() },
                (true, 1) => Faults { syncs: 1, ..Faults::default() },
                (true, _) => Faults { writes: 1, renames: 1, ..Faults::default() },
            };
            disk.set_faults(faults);
            let op = op(0, &format!("s{number}"));
            let appended = journal.append(&op, [(&acme(), &op.settings)].into_iter());
            disk.set_faults(Faults::default());
            match appended {
                Ok(()) => (acknowledged, tried) = (Some(op.settings), Vec::new()),
                Err(_) => tried.push(op.settings),
            }
        }
        let (_, state) = Journal::open(Arc::new(disk.after_power_loss(seed))).expect("opens after the power was lost");
        let found = state.get(&acme()).cloned();
        let allowed = found == acknowledged || found.is_some_and(|found| tried.contains(&found));
        assert!(allowed, "seed {seed}: neither what was acknowledged nor a later attempt");
    }
}
