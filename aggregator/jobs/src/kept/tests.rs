use ridealong_model::jobs::Outcome;
use ridealong_wal::disk::RealDisk;

use super::*;

/// Written by version 1: read for ever.
const GOLDEN: &str = concat!(
    r#"{"format":"ridealong-jobs","version":1,"crc32c":1509377551,"jobs":{"compact":{"runs":3,"failures":1,"durationMs":12,"#,
    r#""last":{"startedUs":5,"finishedUs":12005,"result":{"Ok":{"tables":1,"filesRemoved":4,"filesAdded":1,"rows":9,"#,
    r#""bytes":100}}}},"vacuum":{"runs":1,"failures":1,"durationMs":0,"last":{"startedUs":7,"finishedUs":8,"#,
    r#""result":{"Err":"no"}}}}}"#
);

fn some() -> BTreeMap<Job, Counts> {
    let outcome = Outcome { tables: 1, files_removed: 4, files_added: 1, rows: 9, bytes: 100 };
    let compact = LastRun { started_us: 5, finished_us: 12_005, result: Ok(outcome) };
    let vacuum = LastRun { started_us: 7, finished_us: 8, result: Err(JobFailure("no".into())) };
    [
        (Job::Compact, Counts { runs: 3, failures: 1, duration_ms: 12, last: Some(compact) }),
        (Job::Vacuum, Counts { runs: 1, failures: 1, duration_ms: 0, last: Some(vacuum) }),
    ]
    .into()
}

#[test]
fn the_golden_file_is_read_and_written() {
    assert_eq!(String::from_utf8(encoded(&some()).expect("encoded")).expect("text"), GOLDEN);
    assert_eq!(decoded(GOLDEN.as_bytes()).expect("read"), some());
}

#[test]
fn any_damage_sets_it_aside_and_counting_begins_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = RealDisk::new(folder.path()).expect("a disk");
    assert_eq!(read(&disk), BTreeMap::new(), "no file is no damage");
    let (path, aside) = (folder.path().join(NAME), folder.path().join(ASIDE));
    assert!(!aside.exists());
    for at in 0..GOLDEN.len() {
        for cut in [true, false] {
            let mut bytes = GOLDEN.as_bytes().to_vec();
            if cut {
                bytes.truncate(at)
            } else {
                bytes[at] ^= 4
            }
            assert!(decoded(&bytes).is_err(), "cut {cut} at {at}");
            if at % 100 == 0 {
                std::fs::write(&path, &bytes).expect("written");
                assert_eq!(read(&disk), BTreeMap::new());
                assert_eq!(std::fs::read(&aside).expect("aside"), bytes);
            }
        }
    }
    write(&disk, &some()).expect("written");
    assert_eq!(read(&disk), some());
}

#[test]
fn a_job_of_a_later_program_is_left_out() {
    let jobs = r#"{"defragment":{"runs":1,"failures":0,"durationMs":1,"last":null}}"#;
    let crc = crc32c::crc32c(jobs.as_bytes());
    let file = format!(r#"{{"format":"ridealong-jobs","version":1,"crc32c":{crc},"jobs":{jobs}}}"#);
    assert_eq!(decoded(file.as_bytes()).expect("read"), BTreeMap::new());
}

#[test]
fn a_long_failure_is_cut_between_letters() {
    let mut counts = Counts::default();
    let why = "ü".repeat(FAILURE_CHARS_MAX + 5);
    counts.add(&LastRun { started_us: 0, finished_us: 0, result: Err(JobFailure(why)) });
    let Some(Err(JobFailure(why))) = counts.last.map(|last| last.result) else { panic!("it failed") };
    assert_eq!(why, "ü".repeat(FAILURE_CHARS_MAX));
}
