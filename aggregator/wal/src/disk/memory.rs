//! A disk in memory that forgets: what was not synced is lost, whole or torn by sectors, when the power goes; calls fail
//! on demand; a sync can be held, so that a test decides what is in a group.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{Disk, DiskFile};

const SECTOR_BYTES: u64 = 512;

#[derive(Clone)]
pub(crate) struct MemoryDisk {
    state: Arc<Mutex<State>>,
    gate: Arc<Gate>,
}

/// How many of the next calls of each kind fail, and with what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub writes: u32,
    /// Bytes that a failing write leaves behind.
    pub write_keeps: usize,
    pub syncs: u32,
    pub truncates: u32,
    pub creates: u32,
    pub renames: u32,
    pub folder_syncs: u32,
    pub removes: u32,
    pub is_full: bool,
}

#[derive(Default)]
struct State {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    names_durable: BTreeMap<String, usize>,
    /// The names after each change that is not durable yet.
    names_pending: Vec<BTreeMap<String, usize>>,
    faults: Faults,
    syncs: u64,
    random: fastrand::Rng,
}

#[derive(Clone, Default)]
struct File {
    live: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    is_closed: bool,
    passes: u32,
    held: u32,
}

impl Default for MemoryDisk {
    fn default() -> Self {
        let state = State { random: fastrand::Rng::with_seed(0), ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), gate: Arc::default() }
    }
}

impl MemoryDisk {
    pub fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    pub fn reseed(&self, seed: u64) {
        self.state.lock().random.seed(seed);
    }

    /// Successful syncs of contents so far.
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// From now on every sync of contents waits.
    pub fn hold_syncs(&self) {
        self.gate.state.lock().is_closed = true;
    }

    /// Returns once a sync is waiting.
    pub fn until_held(&self) {
        let mut gate = self.gate.state.lock();
        while gate.held == 0 {
            self.gate.changed.wait(&mut gate);
        }
    }

    /// Lets one waiting sync go on; those after it wait.
    pub fn pass_one(&self) {
        let mut gate = self.gate.state.lock();
        gate.passes += 1;
        gate.held -= 1;
        self.gate.changed.notify_all();
    }

    pub fn release_syncs(&self) {
        let mut gate = self.gate.state.lock();
        (gate.is_closed, gate.held, gate.passes) = (false, 0, 0);
        self.gate.changed.notify_all();
    }

    /// The disk as it is found after the power went now: of what was not synced, any sectors may be there.
    pub fn after_power_loss(&self, seed: u64) -> MemoryDisk {
        let state = self.state.lock();
        let mut random = fastrand::Rng::with_seed(seed);
        let names = state.names_pending.get(random.usize(..=state.names_pending.len()).wrapping_sub(1));
        let names = names.unwrap_or(&state.names_durable).clone();
        let kept_of_four = random.u8(..=4);
        let files = state
            .files
            .iter()
            .map(|file| {
                let mut file = file.clone();
                file.keep_some(&mut random, kept_of_four);
                File { live: file.durable.clone(), durable: file.durable, pending: Vec::new() }
            })
            .collect();
        let state = State { files, names_durable: names.clone(), names, random, ..State::default() };
        MemoryDisk { state: Arc::new(Mutex::new(state)), gate: Arc::default() }
    }

    /// A disk with the same files, all of them durable.
    pub fn copy(&self) -> MemoryDisk {
        let copy = MemoryDisk::default();
        for (name, bytes) in self.contents() {
            copy.put(&name, bytes);
        }
        copy
    }

    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state.lock();
        state.names.iter().map(|(name, inode)| (name.clone(), state.files[*inode].live.clone())).collect()
    }

    /// Puts a file in place durably.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state.lock();
        let inode = state.files.len();
        state.files.push(File { live: bytes.clone(), durable: bytes, pending: Vec::new() });
        state.names.insert(name.to_owned(), inode);
        state.names_durable.insert(name.to_owned(), inode);
    }
}

impl File {
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

impl State {
    fn fail(&mut self, counter: impl FnOnce(&mut Faults) -> &mut u32) -> io::Result<()> {
        let kind = if self.faults.is_full { ErrorKind::StorageFull } else { ErrorKind::Other };
        let counter = counter(&mut self.faults);
        if *counter == 0 {
            return Ok(());
        }
        *counter -= 1;
        Err(io::Error::new(kind, "the disk was told to fail"))
    }

    fn renamed(&mut self) {
        self.names_pending.push(self.names.clone());
    }
}

impl Disk for MemoryDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.fail(|faults| &mut faults.creates)?;
        let inode = state.files.len();
        state.files.push(File::default());
        state.names.insert(name.to_owned(), inode);
        state.renamed();
        Ok(Arc::new(MemoryFile { disk: self.clone(), inode }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state.lock();
        let inode = *state.names.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(Arc::new(MemoryFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.fail(|faults| &mut faults.renames)?;
        let inode = state.names.remove(from).ok_or(ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        state.renamed();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.fail(|faults| &mut faults.removes)?;
        state.names.remove(name).ok_or(ErrorKind::NotFound)?;
        state.renamed();
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state.lock().names.keys().cloned().collect())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.fail(|faults| &mut faults.folder_syncs)?;
        state.names_durable = state.names.clone();
        state.names_pending.clear();
        Ok(())
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    inode: usize,
}

impl MemoryFile {
    fn state(&self) -> MutexGuard<'_, State> {
        self.disk.state.lock()
    }
}

impl DiskFile for MemoryFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let outcome = state.fail(|faults| &mut faults.writes);
        let kept = if outcome.is_ok() { bytes.len() } else { state.faults.write_keeps.min(bytes.len()) };
        let file = &mut state.files[self.inode];
        write(&mut file.live, offset, &bytes[..kept]);
        file.pending.push(Change::Write(offset, bytes[..kept].to_vec()));
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
        let mut gate = self.disk.gate.state.lock();
        if gate.is_closed {
            gate.held += 1;
            self.disk.gate.changed.notify_all();
            while gate.is_closed && gate.passes == 0 {
                self.disk.gate.changed.wait(&mut gate);
            }
            gate.passes = gate.passes.saturating_sub(1);
        }
        drop(gate);
        let state = &mut *self.state();
        if let Err(error) = state.fail(|faults| &mut faults.syncs) {
            // As Linux has it: some pages made it, the others are marked clean and will never be written.
            state.files[self.inode].keep_some(&mut state.random, 2);
            return Err(error);
        }
        state.syncs += 1;
        let file = &mut state.files[self.inode];
        let changes = std::mem::take(&mut file.pending);
        for change in changes {
            match change {
                Change::Truncate(length) => file.durable.truncate(length as usize),
                Change::Write(offset, bytes) => write(&mut file.durable, offset, &bytes),
            }
        }
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut state = self.state();
        state.fail(|faults| &mut faults.truncates)?;
        let file = &mut state.files[self.inode];
        file.live.truncate(length as usize);
        file.pending.push(Change::Truncate(length));
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.state().files[self.inode].live.len() as u64)
    }
}
