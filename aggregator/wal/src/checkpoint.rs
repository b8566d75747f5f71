//! The ledger on disk as of a position, so that segments before it can go and a start need not read them.
//!
//! `checkpoint`, replaced as a whole each time:
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `RLWALCKP` |
//! | 8..12 | version, 4; 1 to 3 are read too |
//! | 12..16 | CRC32C of bytes 16.. |
//! | 16..32 | UUID of the log |
//! | 32..40 | position: everything up to it is accounted for |
//! | 40..44 | runs of event ids, then each: number of its first id 8, count 4, CRC32C of its ids 4 |
//! | then | the ledger, see `ledger/snapshot` |
//!
//! Ids are many and never change, so they are in runs of their own that are written once (see `runs`).

mod runs;

use std::io;

use parking_lot::Mutex;

use crate::disk::{self, Disk};
use crate::entry::{LogId, Position};
use crate::fields::{Fields, PutFields};
use crate::ledger::{Ledger, Limits};
use crate::recovery::OpenError;

use runs::Run;

const FILE_NAME: &str = "checkpoint";
const MAGIC: [u8; 8] = *b"RLWALCKP";
const VERSION: u32 = 4;
const HEADER_BYTES: usize = 44;

/// What is on disk.
pub(crate) struct Checkpoint {
    log: LogId,
    position: Position,
    runs: Vec<Run>,
    bytes: u64,
}

impl Checkpoint {
    /// Before the first.
    pub fn none(log: LogId) -> Self {
        Self { log, position: Position::NONE, runs: Vec::new(), bytes: 0 }
    }

    pub fn position(&self) -> Position {
        self.position
    }

    pub fn log(&self) -> LogId {
        self.log
    }

    pub fn bytes(&self) -> u64 {
        self.bytes + self.runs.iter().map(Run::file_bytes).sum::<u64>()
    }

    /// Writes the ledger as it is now. After an error the checkpoint before it or this one is on disk, whole, and so are
    /// the runs of either.
    pub fn write(&mut self, disk: &dyn Disk, ledger: &Mutex<Ledger>) -> io::Result<()> {
        let (kept, ids_from) = runs::kept(&self.runs);
        let snapshot = ledger.lock().snapshot(ids_from);
        let mut runs: Vec<Run> = kept.iter().filter(|run| run.end() > snapshot.ids_head).copied().collect();
        runs.extend(runs::write(disk, self.log, snapshot.ids_from, &snapshot.ids)?);
        // The runs' names must be durable before anything refers to them.
        disk.sync_folder()?;
        let bytes = encode(self.log, snapshot.position, &runs, &snapshot.body());
        disk::replace(disk, FILE_NAME, &bytes)?;
        disk.sync_folder()?;
        (self.position, self.runs, self.bytes) = (snapshot.position, runs, bytes.len() as u64);
        runs::remove_others(disk, &self.runs)
    }

    /// Reads the checkpoint and the ledger in it, if there is one.
    pub fn read(disk: &dyn Disk, limits: Limits) -> Result<Option<(Self, Ledger)>, OpenError> {
        let Some(bytes) = read_whole(disk, FILE_NAME)? else { return Ok(None) };
        let header = decode(&bytes)?;
        let body = &bytes[header.body..];
        let damaged = || OpenError::damaged(FILE_NAME, header.body as u64, "impossible field of the ledger");
        let restoring =
            Ledger::restore(header.log, limits, header.position, header.version, body).ok_or_else(damaged)?;
        let ledger = runs::read(disk, header.log, &header.runs, restoring)?;
        let checkpoint =
            Self { log: header.log, position: header.position, runs: header.runs, bytes: bytes.len() as u64 };
        Ok(Some((checkpoint, ledger)))
    }

    /// Deletes what a crash left behind.
    pub fn remove_leftovers(&self, disk: &dyn Disk) -> io::Result<()> {
        runs::remove_others(disk, &self.runs)
    }
}

struct Header {
    version: u32,
    log: LogId,
    position: Position,
    runs: Vec<Run>,
    /// Where the ledger begins.
    body: usize,
}

fn encode(log: LogId, position: Position, runs: &[Run], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + runs.len() * Run::BYTES + body.len());
    out.put(&MAGIC);
    out.put_u32(VERSION);
    out.put_u32(0);
    out.put(&log.to_bytes());
    out.put_u64(position.0);
    out.put_count(runs.len());
    for run in runs {
        run.put(&mut out);
    }
    out.put(body);
    let crc = crc32c::crc32c(&out[16..]);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    out
}

fn decode(bytes: &[u8]) -> Result<Header, OpenError> {
    let damaged = |offset, what| OpenError::damaged(FILE_NAME, offset, what);
    if bytes.len() < HEADER_BYTES {
        return Err(damaged(bytes.len() as u64, "ends within the header"));
    }
    if bytes[..8] != MAGIC {
        return Err(damaged(0, "not a checkpoint"));
    }
    let version = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    if !(1..=VERSION).contains(&version) {
        return Err(OpenError::UnknownVersion { file: FILE_NAME.to_owned(), version });
    }
    if bytes[12..16] != crc32c::crc32c(&bytes[16..]).to_le_bytes() {
        return Err(damaged(12, "wrong checksum"));
    }
    let mut fields = Fields::new(&bytes[16..]);
    let mut read = || {
        let log = LogId::from_bytes(fields.array()?);
        let position = Position(fields.u64()?);
        let runs = (0..fields.count(Run::BYTES)?).map(|_| Run::take(&mut fields)).collect::<Option<Vec<_>>>()?;
        Some(Header { version, log, position, runs, body: bytes.len() - fields.left() })
    };
    read().ok_or_else(|| damaged(16, "impossible field"))
}

/// A whole small file; None when there is none.
pub(crate) fn read_whole(disk: &dyn Disk, name: &str) -> Result<Option<Vec<u8>>, OpenError> {
    let failed = |source| OpenError::io("read", name, source);
    let file = match disk.open(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = vec![0; file.length().map_err(failed)? as usize];
    let read = file.read_at(0, &mut bytes).map_err(failed)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests;
