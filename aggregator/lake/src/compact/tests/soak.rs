//! Very many commits, with compaction now and then: files, log, memory and the time to commit and to open stay bounded.
//!
//! `RIDEALONG_SOAK_COMMITS` says how many; `tests/run.sh --long` asks for 10,000. Times are shown and not asserted.

use std::time::Instant;

use super::*;
use crate::delta::{DeltaLog, VERSIONS_MAX};

/// Days that the commits are spread over.
const DAYS: i64 = 30;
const COMPACT_EACH: u64 = 50;
/// More files are in a table only between two runs.
const FILES_MAX: usize = 150;

#[test]
fn files_log_and_memory_stay_bounded_over_very_many_commits() {
    #[allow(clippy::disallowed_methods, reason = "how long a test takes is no setting")]
    let commits: u64 = std::env::var("RIDEALONG_SOAK_COMMITS").ok().and_then(|it| it.parse().ok()).unwrap_or(300);
    let sandbox = Sandbox::new();
    let begin = chrono::Utc::now().timestamp_micros() - DAYS * DAY_US;
    let step = DAYS * DAY_US / commits as i64;
    let mut times = Vec::new();
    let mut settled_bytes = None;
    for commit in 0..commits {
        let now = begin + commit as i64 * step;
        // One row in ten commits is late, by anything up to all there was.
        let late = if commit % 10 == 0 { now - (commit * 7_919 % (commit + 1)) as i64 * step } else { now };
        let started = Instant::now();
        sandbox.flush([(commit * 2, now), (commit * 2 + 1, late)]);
        times.push(started.elapsed());
        if commit % COMPACT_EACH == COMPACT_EACH - 1 {
            sandbox.compact();
            let files = sandbox.table(Table::Requests).cold.files.len();
            assert!(files <= FILES_MAX, "{files} files after {commit} commits");
        }
        if [commits / 10, commits / 2, commits].contains(&(commit + 1)) {
            let resident_bytes = show(&sandbox, commit + 1, &mut times);
            let settled_bytes = *settled_bytes.get_or_insert(resident_bytes);
            // Twice, and what an allocator may keep.
            assert!(resident_bytes <= settled_bytes * 2 + (64 << 20), "{settled_bytes} bytes, then {resident_bytes}");
        }
    }
    let table = sandbox.table(Table::Requests);
    assert_eq!(ids(&table), (0..u128::from(commits) * 2).collect::<Vec<_>>());
    sandbox.lake.close();
}

/// Says how things are; resident memory.
fn show(sandbox: &Sandbox, commits: u64, times: &mut Vec<Duration>) -> u64 {
    times.sort_unstable();
    let (median, slow) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    times.clear();
    let place = Place::folder(sandbox.folder.path().join("lake/default/requests"));
    let opened = Instant::now();
    let log = sandbox.runtime.block_on(DeltaLog::open_or_make(&place, Table::Requests, sandbox.wal.log_id()));
    let version = log.expect("opened").cold().expect("read").version.expect("a version") as u64;
    let opened = opened.elapsed();
    let files = sandbox.table(Table::Requests).cold.files.len();
    let (mut log_files, mut log_bytes) = (0, 0);
    for file in std::fs::read_dir(sandbox.folder.path().join("lake/default/requests/_delta_log")).expect("listed") {
        log_files += 1;
        log_bytes += file.and_then(|file| file.metadata()).map_or(0, |file| file.len());
    }
    // Each version, a checkpoint for twenty of them, and what the next checkpoint lets go.
    assert!(log_files <= VERSIONS_MAX.min(version) * 21 / 20 + 50, "{log_files} files of {version} versions");
    let resident_bytes = resident_bytes();
    println!(
        "{commits} commits: flush p50 {median:?} p99 {slow:?}, open {opened:?}, version {version}, {files} files, \
         log {log_files} files {log_bytes} bytes, resident {} MiB, allocated {} MiB",
        resident_bytes >> 20,
        allocated_bytes() >> 20
    );
    resident_bytes
}

fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("resident pages");
    pages * 4_096
}

/// Without what the allocator keeps for later.
fn allocated_bytes() -> usize {
    #[allow(unsafe_code, reason = "no safe wrapper; returns numbers only")]
    let found = unsafe { libc::mallinfo2() };
    found.uordblks + found.hblkhd
}
