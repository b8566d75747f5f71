//! One of the two programs as a child process: started, listened to, asked to stop, never left behind.
//!
//! Its standard error is its log file. It has a process group of its own, so that a Ctrl-C at the terminal reaches only us
//! and the order of stopping is ours. Dropping a [`Program`] kills it.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use sysinfo::{Pid, ProcessesToUpdate, Signal, System};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::announcement::addresses;

/// From the start to the line that says where it listens.
const START_MAX: Duration = Duration::from_secs(30);
/// A stop drains within 5 s; past this it is killed.
const STOP_MAX: Duration = Duration::from_secs(10);
/// Of a log, shown when its program ended early.
const LOG_LINES: usize = 12;

#[derive(Debug, Error)]
pub enum ProgramError {
    #[error("cannot write the log of {name} at {log}")]
    Log { name: &'static str, log: PathBuf, source: io::Error },
    #[error("cannot start {program}")]
    Start { program: PathBuf, source: io::Error },
    #[error("{name} did not say where it listens: {said:?}; its log at {log} ends with:\n{tail}")]
    Silent { name: &'static str, said: String, log: PathBuf, tail: String },
    #[error("{name} ended early ({status}); its log at {log} ends with:\n{tail}")]
    Ended { name: &'static str, status: ExitStatus, log: PathBuf, tail: String },
    #[error("{name} was asked to stop and ended with {status}; its log at {log} ends with:\n{tail}")]
    Stopped { name: &'static str, status: ExitStatus, log: PathBuf, tail: String },
    #[error("{name} did not stop within {} s and was killed", STOP_MAX.as_secs())]
    Killed { name: &'static str },
    #[error("cannot look after {name}")]
    Process { name: &'static str, source: io::Error },
}

pub struct Program {
    name: &'static str,
    child: Child,
    /// Held open, so that a later line of the program does not break it; there is none today.
    stdout: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Program {
    /// Returns once the program has said where it listens, with these addresses. Cancelled, the program is killed.
    pub async fn start(
        name: &'static str,
        program: &Path,
        arguments: Vec<String>,
        log: PathBuf,
    ) -> Result<(Self, Vec<SocketAddr>), ProgramError> {
        let file = File::create(&log).map_err(|source| ProgramError::Log { name, log: log.clone(), source })?;
        let failed = |source| ProgramError::Start { program: program.to_owned(), source };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let stdout = child.stdout.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        let mut program = Self { name, child, stdout: BufReader::new(stdout), log };
        let mut line = String::new();
        match timeout(START_MAX, program.stdout.read_line(&mut line)).await {
            Ok(Ok(0)) => Err(program.ended().await),
            Ok(Ok(_)) if !addresses(&line).is_empty() => Ok((program, addresses(&line))),
            _ => {
                let (log, tail) = program.log_tail();
                Err(ProgramError::Silent { name, said: line.trim_end().to_owned(), log, tail })
            }
        }
    }

    /// Returns when the program ends without having been asked to. Cancelling it changes nothing.
    pub async fn ended(&mut self) -> ProgramError {
        let name = self.name;
        match self.child.wait().await {
            Ok(status) => {
                let (log, tail) = self.log_tail();
                ProgramError::Ended { name, status, log, tail }
            }
            Err(source) => ProgramError::Process { name, source },
        }
    }

    /// SIGTERM, and waits for the end. Cancelled, the program is killed.
    pub async fn stop(mut self) -> Result<(), ProgramError> {
        let name = self.name;
        self.terminate();
        match timeout(STOP_MAX, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => {
                let (log, tail) = self.log_tail();
                Err(ProgramError::Stopped { name, status, log, tail })
            }
            Ok(Err(source)) => Err(ProgramError::Process { name, source }),
            Err(_) => match self.child.kill().await {
                Ok(()) => Err(ProgramError::Killed { name }),
                Err(source) => Err(ProgramError::Process { name, source }),
            },
        }
    }

    /// The standard library knows SIGKILL only. A child that ended has no id any more, so no stranger is hit. A signal that
    /// was not sent shows in the wait that follows.
    fn terminate(&self) {
        let Some(id) = self.child.id().map(Pid::from_u32) else { return };
        let Ok(mut system) = System::new() else { return };
        system.refresh_processes(ProcessesToUpdate::Some(&[id]), false);
        if let Some(process) = system.process(id) {
            let _ = process.kill_with(Signal::Term);
        }
    }

    fn log_tail(&self) -> (PathBuf, String) {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_LINES)..].iter().map(|line| format!("  {line}"));
        (self.log.clone(), tail.collect::<Vec<_>>().join("\n"))
    }
}
