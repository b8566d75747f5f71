//! What is known of each job's runs, in the file `jobs.json`: one line of JSON, put in place whole after each run.
//!
//! ```text
//! {"format": "ridealong-jobs", "version": 1, "crc32c": checksum of the text of jobs,
//!  "jobs": {"compact": {"runs", "failures", "durationMs", "last": null or
//!      {"startedUs", "finishedUs", "result": {"Ok": {"tables", "filesRemoved", …}} or {"Err": "why"}}}, …}}
//! ```
//!
//! It only informs: one that does not hold together is set aside, and counting begins anew. A job that is not known here
//! (of a later program) is left out.

use std::collections::BTreeMap;
use std::io;

use ridealong_model::jobs::{Job, JobFailure, LastRun};
use ridealong_wal::disk::{Disk, replace};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

const NAME: &str = "jobs.json";
const ASIDE: &str = "jobs.json.damaged";
const FORMAT: &str = "ridealong-jobs";
const VERSION: u32 = 1;
/// A file that is longer was not written here.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Of why a job failed; the log has all of it.
const FAILURE_CHARS_MAX: usize = 1_000;

/// Of one job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    pub runs: u64,
    pub failures: u64,
    pub duration_ms: u64,
    pub last: Option<LastRun>,
}

#[derive(Serialize, Deserialize)]
struct File {
    format: String,
    version: u32,
    crc32c: u32,
    jobs: Box<RawValue>,
}

impl Counts {
    pub fn add(&mut self, run: &LastRun) {
        self.runs += 1;
        self.failures += u64::from(run.result.is_err());
        self.duration_ms += run.duration_ms();
        let mut run = run.clone();
        if let Err(JobFailure(why)) = &mut run.result
            && let Some((at, _)) = why.char_indices().nth(FAILURE_CHARS_MAX)
        {
            why.truncate(at);
        }
        self.last = Some(run);
    }
}

/// What was kept; nothing when there is no file, or it is damaged.
pub(crate) fn read(disk: &dyn Disk) -> BTreeMap<Job, Counts> {
    match try_read(disk) {
        Ok(counts) => counts,
        Err(error) => {
            tracing::warn!(%error, "jobs.json does not hold together: set aside as {ASIDE}, counting begins anew");
            if let Err(error) = disk.rename(NAME, ASIDE).and_then(|()| disk.sync_folder()) {
                tracing::warn!(%error, "jobs.json could not be set aside");
            }
            BTreeMap::new()
        }
    }
}

fn try_read(disk: &dyn Disk) -> io::Result<BTreeMap<Job, Counts>> {
    if !disk.list()?.iter().any(|name| name == NAME) {
        return Ok(BTreeMap::new());
    }
    let file = disk.open(NAME)?;
    let length = file.length()?;
    if length > FILE_BYTES_MAX {
        return Err(damaged("it is too long"));
    }
    let mut bytes = vec![0; length as usize];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    decoded(&bytes)
}

fn decoded(bytes: &[u8]) -> io::Result<BTreeMap<Job, Counts>> {
    let File { format, version, crc32c, jobs } = serde_json::from_slice(bytes)?;
    if format != FORMAT || version != VERSION {
        return Err(damaged("it is of another format or version"));
    }
    if crc32c::crc32c(jobs.get().as_bytes()) != crc32c {
        return Err(damaged("its checksum is wrong"));
    }
    let named: BTreeMap<String, Counts> = serde_json::from_str(jobs.get())?;
    Ok(named.into_iter().filter_map(|(name, counts)| Some((Job::from_name(&name)?, counts))).collect())
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Durable when it returns.
pub(crate) fn write(disk: &dyn Disk, counts: &BTreeMap<Job, Counts>) -> io::Result<()> {
    replace(disk, NAME, &encoded(counts)?)?;
    disk.sync_folder()
}

fn encoded(counts: &BTreeMap<Job, Counts>) -> io::Result<Vec<u8>> {
    let named: BTreeMap<&str, &Counts> = counts.iter().map(|(job, counts)| (job.name(), counts)).collect();
    let jobs = serde_json::value::to_raw_value(&named)?;
    let crc32c = crc32c::crc32c(jobs.get().as_bytes());
    Ok(serde_json::to_vec(&File { format: FORMAT.into(), version: VERSION, crc32c, jobs })?)
}

#[cfg(test)]
mod tests;
