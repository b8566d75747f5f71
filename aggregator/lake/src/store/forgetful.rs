//! Files that forget, for tests: they lie in a real folder, where the tables read them, and beside that it is known what of
//! them a power cut would leave. Calls fail on demand, or all of them from one call on.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use ridealong_engine::deltalake::logstore::object_store::PutPayload;

use super::files::{Files, RealFiles};

#[derive(Debug)]
pub(crate) struct Forgetful {
    root: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    calls: u64,
    calls_max: u64,
    /// The calls with these numbers fail, and how.
    fails: Option<(Range<u64>, Fault)>,
    /// Names that are durable, with their contents.
    durable: BTreeMap<PathBuf, Content>,
    /// Names that were changed since their folder was synced: the file that has one now, if any.
    pending: Vec<(PathBuf, Option<Content>)>,
    /// What each name holds now.
    live: BTreeMap<PathBuf, Content>,
}

#[derive(Clone, Debug)]
struct Content {
    bytes: Vec<u8>,
    is_durable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing happens.
    Refused,
    /// Half of a write happens.
    Full,
    /// It happens, and is said not to have.
    Unnoticed,
}

impl Forgetful {
    pub fn new(root: &Path) -> Self {
        let (calls, calls_max, fails) = (0, u64::MAX, None);
        let state =
            State { calls, calls_max, fails, durable: BTreeMap::new(), pending: Vec::new(), live: BTreeMap::new() };
        Self { root: root.to_owned(), state: Mutex::new(state) }
    }

    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// After so many more calls nothing happens any more.
    pub fn die_after(&self, calls: u64) {
        let mut state = self.state.lock();
        state.calls_max = state.calls + calls;
    }

    /// After so many more calls one fails.
    pub fn fail_after(&self, calls: u64, fault: Fault) {
        self.fail_times(calls, 1, fault);
    }

    /// After so many more calls some in a row fail.
    pub fn fail_times(&self, calls: u64, times: u64, fault: Fault) {
        let mut state = self.state.lock();
        let from = state.calls + calls;
        state.fails = Some((from..from + times, fault));
    }

    /// Puts what is found after a power cut now into another folder: of what was not synced any part may be there.
    pub fn after_power_loss(&self, into: &Path, seed: u64) -> Self {
        let state = self.state.lock();
        let mut random = Random(seed.wrapping_mul(2).wrapping_add(1));
        let mut names = state.durable.clone();
        for (name, content) in &state.pending {
            if random.next(2) == 0 {
                match content {
                    Some(content) => drop(names.insert(name.clone(), content.clone())),
                    None => drop(names.remove(name)),
                }
            }
        }
        let found = Self::new(into);
        let mut there = found.state.lock();
        for (name, content) in names {
            let mut bytes = content.bytes;
            if !content.is_durable {
                let kept = random.next(bytes.len() as u64 + 1) as usize;
                // Blocks that were given to a file and never written read as zeros.
                if random.next(2) == 0 { bytes.truncate(kept) } else { bytes[kept..].fill(0) }
            }
            let path = into.join(&name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &bytes).unwrap();
            there.durable.insert(name.clone(), Content { bytes: bytes.clone(), is_durable: true });
            there.live.insert(name, Content { bytes, is_durable: true });
        }
        drop(there);
        found
    }

    /// Counts a call; an error when nothing happens, otherwise what is wrong with it.
    fn call(&self) -> io::Result<Option<Fault>> {
        let mut state = self.state.lock();
        if state.calls >= state.calls_max {
            return Err(io::Error::other("the power is out"));
        }
        let fault = state.fails.as_ref().filter(|(at, _)| at.contains(&state.calls)).map(|(_, fault)| *fault);
        state.calls += 1;
        match fault {
            Some(Fault::Refused) => Err(told(Fault::Refused)),
            other => Ok(other),
        }
    }

    fn name(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap().to_owned()
    }

    /// A name is another file's from now on, or nobody's.
    fn changed(&self, path: &Path, content: Option<Content>) {
        let (mut state, name) = (self.state.lock(), self.name(path));
        match &content {
            Some(content) => drop(state.live.insert(name.clone(), content.clone())),
            None => drop(state.live.remove(&name)),
        }
        state.pending.push((name, content));
    }

    fn content(&self, path: &Path) -> Option<Content> {
        self.state.lock().live.get(&self.name(path)).cloned()
    }
}

fn told(fault: Fault) -> io::Error {
    let kind = if fault == Fault::Full { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
    io::Error::new(kind, "it was told to fail")
}

fn unnoticed(fault: Option<Fault>) -> io::Result<()> {
    fault.map_or(Ok(()), |fault| Err(told(fault)))
}

impl Files for Forgetful {
    /// Folders are always durable: that of a table is made before anything is in it, and made again if it is not there.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let fault = self.call()?;
        RealFiles.make_folder(folder)?;
        unnoticed(fault)
    }

    fn write_synced(&self, path: &Path, payload: &PutPayload) -> io::Result<()> {
        let mut bytes: Vec<u8> = payload.iter().flatten().copied().collect();
        let writing = self.call()?;
        if writing == Some(Fault::Full) {
            bytes.truncate(bytes.len() / 2);
        }
        fs::write(path, &bytes)?;
        self.changed(path, Some(Content { bytes: bytes.clone(), is_durable: false }));
        unnoticed(writing)?;
        let syncing = self.call()?;
        self.changed(path, Some(Content { bytes, is_durable: syncing.is_none() }));
        unnoticed(syncing)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let fault = self.call()?;
        RealFiles.link(from, to)?;
        self.changed(to, self.content(from));
        unnoticed(fault)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let fault = self.call()?;
        RealFiles.rename(from, to)?;
        self.changed(to, self.content(from));
        self.changed(from, None);
        unnoticed(fault)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let fault = self.call()?;
        RealFiles.remove(path)?;
        self.changed(path, None);
        unnoticed(fault)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let fault = self.call()?;
        unnoticed(fault)?;
        let mut state = self.state.lock();
        let folder = if folder.starts_with(&self.root) { self.name(folder) } else { return Ok(()) };
        let (done, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.pending).into_iter().partition(|(name, _)| name.parent() == Some(&*folder));
        state.pending = left;
        for (name, content) in done {
            match content {
                Some(content) => drop(state.durable.insert(name, content)),
                None => drop(state.durable.remove(&name)),
            }
        }
        Ok(())
    }
}

/// Good enough to choose by (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}
