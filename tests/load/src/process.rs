//! What the kernel says about a process: processor time and memory.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Processor time of all its threads, user and system, since its start.
pub fn processor_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("cannot read the processor time")?;
    // The name may hold spaces and brackets; the fields after its last bracket are numbered from 3.
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat has no name")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<u64>().ok());
    let (user, system) = ticks(14).zip(ticks(15)).context("/proc/PID/stat is too short")?;
    Ok(Duration::from_secs_f64((user + system) as f64 / ticks_a_second()))
}

#[allow(unsafe_code, reason = "sysconf reads a constant of the kernel and nothing else")]
fn ticks_a_second() -> f64 {
    // SAFETY: takes and gives integers.
    unsafe { libc::sysconf(libc::_SC_CLK_TCK) as f64 }
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub resident: u64,
    pub resident_peak: u64,
    /// Not backed by a file: what the program itself has asked for.
    pub anonymous: u64,
    pub threads: u64,
}

pub fn memory(pid: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("cannot read the memory")?;
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    Ok(Memory {
        resident: number("VmRSS") << 10,
        resident_peak: number("VmHWM") << 10,
        anonymous: number("RssAnon") << 10,
        threads: number("Threads"),
    })
}

/// Part of the whole machine's processor time that others took, 0 to 1: how far a measurement can be trusted.
pub struct Others {
    busy: u64,
    total: u64,
}

impl Others {
    pub fn now() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("cannot read the machine's processor time")?;
        let fields: Vec<u64> =
            stat.lines().next().unwrap_or("").split_whitespace().skip(1).filter_map(|it| it.parse().ok()).collect();
        let total: u64 = fields.iter().take(8).sum();
        let idle: u64 = fields.iter().skip(3).take(2).sum();
        Ok(Self { busy: total - idle, total })
    }

    /// Since then, without what `ours` took.
    pub fn since(&self, ours: Duration) -> Result<f64> {
        let now = Self::now()?;
        let total = (now.total - self.total).max(1) as f64;
        let busy = (now.busy - self.busy) as f64 - ours.as_secs_f64() * ticks_a_second();
        Ok((busy / total).max(0.0))
    }
}
