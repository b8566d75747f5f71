//! The port to what keeps the lake in order, run now and then or when somebody asks for it.

use std::fmt;

use async_trait::async_trait;
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct JobFailure(pub String);

/// Who does the work.
#[async_trait]
pub trait Worker: Send + Sync {
    /// Runs to its end. Runs of any kind do not overlap: the second waits. A failure in one table does not keep the
    /// others from being worked on; the failure tells of the first.
    async fn run(&self, job: Job) -> Result<Outcome, JobFailure>;
}
