//! One program of ours as a child process: started, killed, stopped, looked at. What it writes goes to files beside its
//! data, and is shown when a test fails.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

/// Until the line that says where a program listens. The machine may be busy with other tests.
const START: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);
/// Bytes shown of what a program wrote.
const TAIL: usize = 4_000;

pub struct Process {
    child: Child,
    folder: PathBuf,
    name: &'static str,
}

/// How a program ended that was expected to end by itself.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Process {
    /// Starts a program in `folder`, and does not wait for anything.
    pub fn spawn(
        name: &'static str,
        folder: &Path,
        arguments: &[String],
        environment: &[(String, String)],
    ) -> Result<Self> {
        let path = folder.join(format!("{name}.stdout"));
        let stdout = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let stderr = File::options().append(true).create(true).open(folder.join(format!("{name}.stderr")));
        let child = Command::new(program(name)?)
            .args(arguments)
            .envs(environment.iter().cloned())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr.context("cannot make the file for stderr")?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, folder: folder.to_owned(), name })
    }

    /// Starts a program in `folder`; returns with the first line that it prints.
    pub async fn start(
        name: &'static str,
        folder: &Path,
        arguments: &[String],
        environment: &[(String, String)],
    ) -> Result<(Self, String)> {
        let mut process = Self::spawn(name, folder, arguments, environment)?;
        let path = folder.join(format!("{name}.stdout"));
        let started = Instant::now();
        loop {
            let printed = std::fs::read_to_string(&path).unwrap_or_default();
            if let Some((line, _)) = printed.split_once('\n') {
                return Ok((process, line.to_owned()));
            }
            if let Some(status) = process.child.try_wait().context("cannot look at the child")? {
                bail!("{name} ended with {status}: {}", process.stderr());
            }
            if started.elapsed() > START {
                bail!("{name} did not say within {START:?} where it listens: {}", process.stderr());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// SIGKILL, and waits until the process is gone.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await.context("cannot kill the child")
    }

    /// SIGTERM; how it ended, and after how long.
    pub async fn terminate(mut self, patience: Duration) -> Result<(ExitStatus, Duration)> {
        let started = Instant::now();
        let status = Command::new("kill").args(["-TERM", &self.id().to_string()]).status().await;
        anyhow::ensure!(status.context("cannot run kill")?.success(), "kill -TERM failed");
        match tokio::time::timeout(patience, self.child.wait()).await {
            Ok(ended) => Ok((ended.context("cannot wait for the child")?, started.elapsed())),
            Err(_) => bail!("{} was not gone {patience:?} after SIGTERM: {}", self.name, self.stderr()),
        }
    }

    /// Whether it still runs.
    pub fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Whether it ends by itself within `patience`.
    pub async fn ends(&mut self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.child.wait()).await.is_ok()
    }

    /// Resident memory, MiB.
    pub fn resident_mib(&self) -> f64 {
        self.status_kib("VmRSS:") / 1_024.0
    }

    /// The most it ever had, MiB.
    pub fn resident_peak_mib(&self) -> f64 {
        self.status_kib("VmHWM:") / 1_024.0
    }

    fn status_kib(&self, field: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0.0)
    }

    /// Everything that it wrote to standard error, over all its starts.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.folder.join(format!("{}.stderr", self.name))).unwrap_or_default()
    }
}

impl Drop for Process {
    #[allow(clippy::print_stderr, reason = "a failing test shows what the programs said")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = self.stderr();
            let tail = &text[text.floor_char_boundary(text.len().saturating_sub(TAIL))..];
            eprintln!("--- {} wrote:\n{tail}", self.name);
        }
    }
}

/// Runs a program to its end, which is expected to come soon.
pub async fn run(name: &'static str, folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Ended> {
    let mut command = Command::new(program(name)?);
    command.args(arguments).envs(environment.iter().copied()).current_dir(folder).stdin(Stdio::null());
    let output = tokio::time::timeout(START, command.kill_on_drop(true).output()).await;
    let output = output.with_context(|| format!("{name} {arguments:?} did not end"))?.context("cannot start it")?;
    Ok(Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// The program, built beforehand into the folder above the one of the test.
fn program(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe().context("cannot tell where this test lies")?;
    let found = test.ancestors().skip(1).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| {
        format!("{name} is not built: run `cargo build -p ridealong-agent -p ridealong-aggregator` (tests/run.sh does)")
    })
}

/// The bytes of the files below a folder.
pub fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
