//! The contents of one file, now and on the disk.

use std::io::{self, ErrorKind};

use parking_lot::MutexGuard;

use super::{MemoryDisk, State};
use crate::disk::DiskFile;

const SECTOR_BYTES: u64 = 512;

#[derive(Clone, Default)]
pub(super) struct File {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Since the last sync, in order.
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

impl File {
    pub fn durable(bytes: Vec<u8>) -> Self {
        Self { live: bytes.clone(), durable: bytes, pending: Vec::new() }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.live
    }

    pub fn after_power_loss(&self, random: &mut fastrand::Rng, kept_of_four: u8) -> File {
        let mut file = self.clone();
        file.keep_some(random, kept_of_four);
        File::durable(file.durable)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        write(&mut self.live, offset, bytes);
        self.pending.push(Change::Write(offset, bytes.to_vec()));
    }

    fn truncate(&mut self, length: u64) {
        self.live.truncate(length as usize);
        self.pending.push(Change::Truncate(length));
    }

    fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Truncate(length) => self.durable.truncate(length as usize),
                Change::Write(offset, bytes) => write(&mut self.durable, offset, &bytes),
            }
        }
    }

    /// Of every pending change each sector reaches the disk with the given chance; the rest never will.
    fn keep_some(&mut self, random: &mut fastrand::Rng, kept_of_four: u8) {
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Truncate(length) if random.u8(..4) < kept_of_four => self.durable.truncate(length as usize),
                Change::Truncate(_) => {}
                Change::Write(offset, bytes) => {
                    let mut at = offset;
                    while at < offset + bytes.len() as u64 {
                        let end = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(offset + bytes.len() as u64);
                        if random.u8(..4) < kept_of_four {
                            write(&mut self.durable, at, &bytes[(at - offset) as usize..(end - offset) as usize]);
                        }
                        at = end;
                    }
                }
            }
        }
    }
}

fn write(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let end = offset as usize + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset as usize..end].copy_from_slice(bytes);
}

/// An open file.
pub(super) struct MemoryFile {
    pub disk: MemoryDisk,
    pub inode: usize,
}

impl MemoryFile {
    fn state(&self) -> MutexGuard<'_, State> {
        self.disk.state.lock()
    }
}

impl DiskFile for MemoryFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let mut outcome = state.call(|faults| &mut faults.writes);
        if state.is_dead() && outcome.is_err() {
            return outcome;
        }
        let mut kept = if outcome.is_ok() { bytes.len() } else { state.faults.write_keeps.min(bytes.len()) };
        let growth = (offset + kept as u64).saturating_sub(state.files[self.inode].live.len() as u64);
        let excess = (state.bytes() + growth).saturating_sub(state.bytes_max).min(growth);
        if excess > 0 {
            kept = kept.saturating_sub(excess as usize);
            outcome = outcome.and(Err(ErrorKind::StorageFull.into()));
        }
        state.files[self.inode].write(offset, &bytes[..kept]);
        outcome
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let state = self.state();
        let bytes = state.files[self.inode].live.get(offset as usize..).unwrap_or_default();
        let count = bytes.len().min(into.len());
        into[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.gate.pass();
        let state = &mut *self.state();
        if let Err(error) = state.call(|faults| &mut faults.syncs) {
            if !state.is_dead() {
                // As Linux has it: some pages made it, the others are marked clean and will never be written.
                state.files[self.inode].keep_some(&mut state.random, 2);
            }
            return Err(error);
        }
        state.syncs += 1;
        state.files[self.inode].sync();
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut state = self.state();
        state.call(|faults| &mut faults.truncates)?;
        state.files[self.inode].truncate(length);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.state().files[self.inode].live.len() as u64)
    }
}
