//! The ports to what keeps the lake in order, run now and then or when somebody asks for it: who does it, and who knows
//! how it went.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One kind of work over all tables. Each may be run at any time, any number of times, and be killed at any point: run
/// again, it completes what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Job {
    /// Small files become larger ones, sorted by time.
    Compact,
    /// Deletions and corrections, so far applied whenever a file is read, are written into the files.
    Rewrite,
    /// Days older than a table keeps them go to the archive.
    Archive,
    /// Days older than a table keeps them go.
    Retain,
    /// Files that no table names any more are deleted.
    Vacuum,
}

impl Job {
    pub const ALL: [Job; 5] = [Job::Compact, Job::Rewrite, Job::Archive, Job::Retain, Job::Vacuum];

    pub fn name(self) -> &'static str {
        match self {
            Job::Compact => "compact",
            Job::Rewrite => "rewrite",
            Job::Archive => "archive",
            Job::Retain => "retain",
            Job::Vacuum => "vacuum",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|job| job.name() == name)
    }
}

impl fmt::Display for Job {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// What a run has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Outcome {
    /// Tables that are other than before.
    pub tables: u64,
    /// Files that are gone from them.
    pub files_removed: u64,
    pub files_added: u64,
    pub rows: u64,
    pub bytes: u64,
}

impl Outcome {
    pub fn add(&mut self, other: &Outcome) {
        self.tables += other.tables;
        self.files_removed += other.files_removed;
        self.files_added += other.files_added;
        self.rows += other.rows;
        self.bytes += other.bytes;
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tables, files_removed, files_added, rows, bytes } = self;
        write!(out, "{tables} tables, {files_removed} files removed, {files_added} added, {rows} rows, {bytes} bytes")
    }
}

#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
#[error("{0}")]
pub struct JobFailure(pub String);

/// How a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStatus {
    pub job: Job,
    pub state: JobState,
    /// None: only when somebody asks.
    pub every: Option<Duration>,
    /// Runs that have ended, failures among them. They last longer than the process, as far as its file of them does.
    pub runs: u64,
    pub failures: u64,
    /// Of all runs together.
    pub duration_ms: u64,
    pub last: Option<LastRun>,
    pub next_us: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    Idle,
    /// Due, and another one runs.
    Waiting,
    Running {
        since_us: i64,
    },
}

impl JobState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Running { .. } => "running",
        }
    }
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastRun {
    pub started_us: i64,
    pub finished_us: i64,
    pub result: Result<Outcome, JobFailure>,
}

impl LastRun {
    pub fn duration_ms(&self) -> u64 {
        u64::try_from((self.finished_us - self.started_us) / 1_000).unwrap_or(0)
    }
}

/// Who knows how the jobs went.
pub trait JobsSource: Send + Sync {
    fn jobs(&self) -> Vec<JobStatus>;
}

/// No jobs.
pub struct NoJobs;

impl JobsSource for NoJobs {
    fn jobs(&self) -> Vec<JobStatus> {
        Vec::new()
    }
}

/// Who does the work.
#[async_trait]
pub trait Worker: Send + Sync {
    /// Runs to its end. Runs of any kind do not overlap: the second waits. A failure in one table does not keep the
    /// others from being worked on; the failure tells of the first.
    async fn run(&self, job: Job) -> Result<Outcome, JobFailure>;
}
