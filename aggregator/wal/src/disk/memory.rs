//! A disk in memory that forgets, for tests of whoever stores something through [`Disk`]. What was not synced is lost when
//! the power goes: contents whole or torn by sectors, names in any order (a rename may be there without the creation
//! before it, a removal may be undone). Calls fail on demand, or all of them from one call on; the disk can be full; a
//! sync can be held, so that a test decides what happens meanwhile.
//!
//! No feature hides it: Cargo would build everything above this package twice, and a program that does not name it does
//! not contain it.

mod file;
mod gate;
mod names;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, DiskFile};
use file::{File, MemoryFile};
use gate::Gate;
use names::Names;

/// Clones are the same disk.
#[derive(Clone)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
    gate: Arc<Gate>,
}

/// How many of the next calls of each kind fail, and with what.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub writes: u32,
    /// Bytes that a failing write leaves behind.
    pub write_keeps: usize,
    /// A failing sync leaves some sectors durable, and the others never will be.
    pub syncs: u32,
    pub truncates: u32,
    pub creates: u32,
    pub renames: u32,
    /// A failing sync of the folder leaves some names durable.
    pub folder_syncs: u32,
    pub removes: u32,
    /// They fail as a full disk does.
    pub is_full: bool,
}

struct State {
    files: Vec<File>,
    names: Names,
    faults: Faults,
    syncs: u64,
    /// Calls that change something or make it durable.
    calls: u64,
    /// From this many calls on nothing happens any more.
    calls_max: u64,
    /// All files together.
    bytes_max: u64,
    random: fastrand::Rng,
}

impl State {
    fn new(random: fastrand::Rng) -> Self {
        Self {
            files: Vec::new(),
            names: Names::default(),
            faults: Faults::default(),
            syncs: 0,
            calls: 0,
            calls_max: u64::MAX,
            bytes_max: u64::MAX,
            random,
        }
    }
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::with(State::new(fastrand::Rng::with_seed(0)))
    }
}

impl MemoryDisk {
    fn with(state: State) -> Self {
        Self { state: Arc::new(Mutex::new(state)), gate: Arc::default() }
    }

    pub fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// Room for all files together; what does not fit is answered as by a full disk. [`u64::MAX`] lifts it.
    pub fn set_room(&self, bytes: u64) {
        self.state.lock().bytes_max = bytes;
    }

    /// Bytes that the files occupy now.
    pub fn bytes(&self) -> u64 {
        self.state.lock().bytes()
    }

    /// Calls so far that change something or make it durable.
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// After this many more such calls the machine is dead: every later one fails and does nothing.
    /// [`MemoryDisk::after_power_loss`] is what is found then.
    pub fn die_after(&self, calls: u64) {
        let mut state = self.state.lock();
        state.calls_max = state.calls.saturating_add(calls);
    }

    /// From where failed syncs take their chances.
    pub fn reseed(&self, seed: u64) {
        self.state.lock().random.seed(seed);
    }

    /// Successful syncs of contents so far.
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// From now on every sync of contents waits.
    pub fn hold_syncs(&self) {
        self.gate.close();
    }

    /// Returns once a sync is waiting.
    pub fn until_held(&self) {
        self.gate.until_held();
    }

    /// Lets one waiting sync go on; those after it wait.
    pub fn pass_one(&self) {
        self.gate.pass_one();
    }

    pub fn release_syncs(&self) {
        self.gate.open();
    }

    /// The disk as it is found after the power went now: of what was not synced, any sectors and any names may be there.
    pub fn after_power_loss(&self, seed: u64) -> MemoryDisk {
        let state = self.state.lock();
        let mut random = fastrand::Rng::with_seed(seed);
        let kept_of_four = random.u8(..=4);
        let mut names = state.names.clone();
        names.lose(&mut random, kept_of_four);
        let kept_of_four = random.u8(..=4);
        let files = state.files.iter().map(|file| file.after_power_loss(&mut random, kept_of_four)).collect();
        Self::with(State { files, names, ..State::new(random) })
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
        state.names.live.iter().map(|(name, inode)| (name.clone(), state.files[*inode].bytes().to_vec())).collect()
    }

    /// Puts a file in place durably.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state.lock();
        let inode = state.files.len();
        state.files.push(File::durable(bytes));
        state.names.put(name, inode);
    }
}

impl State {
    /// Counts a call; fails it when the machine is dead or the call was told to fail.
    fn call(&mut self, counter: impl FnOnce(&mut Faults) -> &mut u32) -> io::Result<()> {
        if self.calls >= self.calls_max {
            return Err(io::Error::other("the power is out"));
        }
        self.calls += 1;
        let kind = if self.faults.is_full { ErrorKind::StorageFull } else { ErrorKind::Other };
        let counter = counter(&mut self.faults);
        if *counter == 0 {
            return Ok(());
        }
        *counter -= 1;
        Err(io::Error::new(kind, "the disk was told to fail"))
    }

    fn is_dead(&self) -> bool {
        self.calls >= self.calls_max
    }

    fn bytes(&self) -> u64 {
        self.names.live.values().map(|inode| self.files[*inode].bytes().len() as u64).sum()
    }
}

impl Disk for MemoryDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.call(|faults| &mut faults.creates)?;
        let inode = state.files.len();
        state.files.push(File::default());
        state.names.link(name, inode);
        Ok(Arc::new(MemoryFile { disk: self.clone(), inode }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state.lock();
        let inode = *state.names.live.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(Arc::new(MemoryFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.call(|faults| &mut faults.renames)?;
        state.names.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.call(|faults| &mut faults.removes)?;
        state.names.unlink(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state.lock().names.live.keys().cloned().collect())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let state = &mut *self.state.lock();
        if let Err(error) = state.call(|faults| &mut faults.folder_syncs) {
            if !state.is_dead() {
                state.names.keep_some(&mut state.random, 2);
            }
            return Err(error);
        }
        state.names.sync();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
