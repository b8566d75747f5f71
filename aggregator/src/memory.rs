//! Measures the memory of this process for the budget, and asks the allocator for what it keeps when that is much.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ridealong_model::budget::Budget;

/// Memory that grows by a gigabyte a second is off by 50 MB at most.
const EVERY: Duration = Duration::from_millis(50);
/// Giving memory back takes milliseconds.
const TRIM_EVERY: Duration = Duration::from_secs(1);

/// Runs as long as the process.
pub fn watch(budget: Arc<Budget>) -> Result<()> {
    let page_bytes = page_bytes();
    let watching = move || {
        let mut trimmed = Instant::now();
        loop {
            thread::sleep(EVERY);
            let Some(resident) = resident_pages().map(|pages| pages * page_bytes) else { continue };
            budget.measured(resident);
            let status = budget.status();
            let counted = status.ingest + status.hot_rows + status.queries + status.rollups;
            // What is freed stays with the allocator: it would be counted for ever, and refuse everything.
            if resident > status.bytes_max / 2 && resident / 2 > counted && trimmed.elapsed() > TRIM_EVERY {
                trim();
                trimmed = Instant::now();
            }
        }
    };
    thread::Builder::new().name("memory".to_owned()).spawn(watching).context("cannot start a thread")?;
    Ok(())
}

fn resident_pages() -> Option<u64> {
    fs::read_to_string("/proc/self/statm").ok()?.split_whitespace().nth(1)?.parse().ok()
}

#[allow(unsafe_code, reason = "sysconf reads a constant of the kernel and nothing else")]
fn page_bytes() -> u64 {
    // SAFETY: takes and gives integers.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4_096)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the C library gives memory back only when asked")]
fn trim() {
    // SAFETY: takes and gives integers; safe to call at any time from any thread.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}
