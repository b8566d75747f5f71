//! Starting our two programs for a measurement, on free ports and in a folder of their own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};

const STOP: Duration = Duration::from_secs(10);

/// Where the programs lie: as told, otherwise beside this one.
pub fn folder(told: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(folder) = told {
        return Ok(folder);
    }
    let this = std::env::current_exe().context("cannot find this program")?;
    Ok(this.parent().context("this program lies in no folder")?.to_owned())
}

/// A running program. Stopped when dropped.
pub struct Program {
    child: Child,
    /// What it says it listens on, as `http://HOST:PORT`.
    pub addresses: Vec<String>,
    /// From its start until it said so.
    pub ready_after: Duration,
}

impl Program {
    pub fn start(binary: &Path, arguments: &[&str], log: &Path) -> Result<Self> {
        let log = File::create(log).context("cannot make the log file")?;
        let started = Instant::now();
        let mut child = Command::new(binary)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let mut first = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut first)?;
        }
        let addresses = first.split([' ', ',', '\n']).filter(|word| word.starts_with("http://")).map(str::to_owned);
        let program = Self { child, addresses: addresses.collect(), ready_after: started.elapsed() };
        if program.addresses.is_empty() {
            bail!("{} ended before it listened: {first}", binary.display());
        }
        Ok(program)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    #[allow(unsafe_code, reason = "the standard library can only kill")]
    fn ask_to_stop(&self) {
        // SAFETY: the child has not been waited for, so the number is still its own.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM) };
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.ask_to_stop();
        let asked = Instant::now();
        while asked.elapsed() < STOP {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // It may have ended just now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
