//! Event ids on disk: `ids-{number of the first:020}-{count:010}.run`, written once, each id in exactly one run that the
//! checkpoint names. A checkpoint writes the ids that came since the last one; only a small last run is written again
//! with them, so that there are few files and each id is written a few times at most.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `RLWALIDS` |
//! | 8..12 | version, 1 |
//! | 12..16 | count of ids |
//! | 16..32 | UUID of the log |
//! | 32..40 | number of the first id |
//! | 40..44 | CRC32C of the ids |
//! | 44..48 | CRC32C of bytes 0..44 |
//! | 48.. | ids, 16 bytes each, mixed with their tenant's salt, little-endian |

use std::io;

use super::read_whole;
use crate::disk::{self, Disk};
use crate::entry::LogId;
use crate::fields::{Fields, PutFields};
use crate::ledger::{Ledger, Restoring};
use crate::recovery::OpenError;

const MAGIC: [u8; 8] = *b"RLWALIDS";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 48;
/// A last run with fewer ids is written again with those that follow it.
const SMALL_IDS: u32 = 1 << 14;
/// A run is removed when all its ids are forgotten, so it must not hold too large a share of them.
const RUN_IDS_MAX: usize = 1 << 18;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    first: u64,
    count: u32,
    crc: u32,
}

impl Run {
    /// In the checkpoint.
    pub const BYTES: usize = 16;

    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.first);
        out.put_u32(self.count);
        out.put_u32(self.crc);
    }

    pub fn take(fields: &mut Fields<'_>) -> Option<Self> {
        let run = Self { first: fields.u64()?, count: fields.u32()?, crc: fields.u32()? };
        run.first.checked_add(u64::from(run.count)).map(|_| run)
    }

    /// The number after its last id.
    pub fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    pub fn file_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.count) * 16
    }

    fn file_name(&self) -> String {
        format!("ids-{:020}-{:010}.run", self.first, self.count)
    }

    fn header(&self, log: LogId) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.put(&MAGIC);
        header.put_u32(VERSION);
        header.put_u32(self.count);
        header.put(&log.to_bytes());
        header.put_u64(self.first);
        header.put_u32(self.crc);
        let crc = crc32c::crc32c(&header);
        header.put_u32(crc);
        header
    }
}

/// The runs that stay as they are, and the number from which on ids are to be written.
pub(super) fn kept(runs: &[Run]) -> (&[Run], u64) {
    match runs {
        [kept @ .., last] if last.count < SMALL_IDS => (kept, last.first),
        _ => (runs, runs.last().map_or(0, Run::end)),
    }
}

/// Puts ids in place, the first of them with number `first`; the caller syncs the folder.
pub(super) fn write(disk: &dyn Disk, log: LogId, first: u64, ids: &[u128]) -> io::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for (place, ids) in ids.chunks(RUN_IDS_MAX).enumerate() {
        let body: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        let first = first + (place * RUN_IDS_MAX) as u64;
        let run = Run { first, count: ids.len() as u32, crc: crc32c::crc32c(&body) };
        let mut file = run.header(log);
        file.put(&body);
        disk::replace(disk, &run.file_name(), &file)?;
        runs.push(run);
    }
    Ok(runs)
}

/// Fills in the ids of a ledger, in order.
pub(super) fn read(disk: &dyn Disk, log: LogId, runs: &[Run], mut ledger: Restoring) -> Result<Ledger, OpenError> {
    for run in runs {
        let name = run.file_name();
        let bytes = read_whole(disk, &name)?.ok_or_else(|| OpenError::Missing { file: name.clone() })?;
        let ids = verify(&bytes, &name, log, run)?;
        for (number, id) in (run.first..).zip(ids) {
            let wanted = ledger.wanted();
            if wanted.is_none_or(|wanted| number < wanted) {
                continue;
            }
            if wanted != Some(number) || !ledger.id(u128::from_le_bytes(*id)) {
                return Err(OpenError::damaged(&name, HEADER_BYTES as u64, "not the ids that come next"));
            }
        }
    }
    ledger.finish().ok_or(OpenError::Missing { file: "the last run of event ids".to_owned() })
}

fn verify<'a>(bytes: &'a [u8], name: &str, log: LogId, run: &Run) -> Result<&'a [[u8; 16]], OpenError> {
    let (header, body) = bytes
        .split_at_checked(HEADER_BYTES)
        .ok_or_else(|| OpenError::damaged(name, bytes.len() as u64, "ends within the header"))?;
    if header != run.header(log) {
        return Err(OpenError::damaged(name, 0, "not the run that the checkpoint names"));
    }
    if body.len() != run.count as usize * 16 || crc32c::crc32c(body) != run.crc {
        return Err(OpenError::damaged(name, HEADER_BYTES as u64, "wrong length or checksum"));
    }
    Ok(body.as_chunks::<16>().0)
}

/// Removes the runs that the checkpoint does not name.
pub(super) fn remove_others(disk: &dyn Disk, runs: &[Run]) -> io::Result<()> {
    let named: Vec<String> = runs.iter().map(Run::file_name).collect();
    let others = disk.list()?.into_iter().filter(|name| name.ends_with(".run") && !named.contains(name));
    for name in others {
        disk.remove(&name)?;
    }
    Ok(())
}
