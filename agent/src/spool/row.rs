//! A row of databases: the newest is written, the oldest read, a drained one deleted.

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use ridealong_common::chunk::{Chunk, Header};

use super::database::{Database, DatabaseError, folder_bytes};
use super::{OpenError, Progress};

/// Which row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// What may go when space runs out: ordinary requests, host samples.
    Bulk,
    /// What goes last: tracked events, errors, summaries.
    Kept,
}

impl Class {
    pub const ALL: [Class; 2] = [Class::Bulk, Class::Kept];

    fn name(self) -> &'static str {
        match self {
            Class::Bulk => "bulk",
            Class::Kept => "kept",
        }
    }
}

/// Where a chunk lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkKey {
    pub(super) class: Class,
    pub(super) number: u64,
}

pub(super) struct Row {
    class: Class,
    folder: PathBuf,
    damaged: PathBuf,
    /// Bytes of values after which a database is full.
    database_bytes: u64,
    slots: VecDeque<Slot>,
    next_number: u64,
    delivered_to: u64,
    /// Rows that this start has made durable.
    durable_rows: u64,
}

/// A database, open or not, and what is left in it.
struct Slot {
    /// The number of its first value, and its folder's name.
    first: u64,
    open: Option<Database>,
    chunks: u64,
    rows: u64,
    written_bytes: u64,
    disk_bytes: u64,
    sealed: bool,
    /// Values from this number on are not fsynced, and so not handed out.
    durable_to: u64,
    unflushed_chunks: u64,
    unflushed_rows: u64,
    /// sled reported a failure: never dropped, only leaked.
    failed: bool,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.failed {
            std::mem::forget(self.open.take());
        }
    }
}

/// What was lost with a database.
pub(super) struct Lost {
    pub rows: u64,
}

impl Row {
    pub fn new(root: &Path, class: Class, database_bytes: u64) -> Self {
        Self {
            class,
            folder: root.join(class.name()),
            damaged: root.join("damaged"),
            database_bytes,
            slots: VecDeque::new(),
            next_number: 0,
            delivered_to: 0,
            durable_rows: 0,
        }
    }

    /// Takes in the databases that an earlier start left; returns their rows, and how many databases were damaged.
    pub fn recover(&mut self) -> std::io::Result<(u64, u64)> {
        fs::create_dir_all(&self.folder)?;
        let entries = fs::read_dir(&self.folder)?.flatten();
        let mut firsts: Vec<u64> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        firsts.sort_unstable();
        let mut damaged = 0;
        for first in firsts {
            let folder = self.folder_of(first);
            match Slot::recover(first, &folder) {
                Ok((slot, next)) if slot.chunks > 0 => {
                    self.next_number = self.next_number.max(next);
                    self.slots.push_back(slot);
                }
                Ok((slot, _)) => {
                    drop(slot);
                    remove_folder(&folder);
                }
                Err(error) => {
                    damaged += 1;
                    tracing::error!(database = %folder.display(), error = &error as &dyn std::error::Error, "spool database put aside");
                    self.put_aside(first);
                }
            }
            self.next_number = self.next_number.max(first + 1);
        }
        Ok((self.slots.iter().map(|slot| slot.rows).sum(), damaged))
    }

    /// Writes a chunk, encoded, into the newest database. Not durable before [`Self::flush`].
    pub fn insert(&mut self, chunk: &Chunk, bytes: &[u8]) -> Result<ChunkKey, DatabaseError> {
        let number = self.next_number;
        self.next_number += 1;
        let database_bytes = self.database_bytes;
        let slot = self.newest()?;
        let Some(database) = &slot.open else { unreachable!("the newest database is open") };
        database.insert(number, bytes)?;
        slot.chunks += 1;
        slot.rows += u64::from(chunk.count);
        slot.unflushed_chunks += 1;
        slot.unflushed_rows += u64::from(chunk.count);
        slot.written_bytes += bytes.len() as u64;
        slot.sealed = slot.written_bytes >= database_bytes;
        Ok(ChunkKey { class: self.class, number })
    }

    /// Returns once everything inserted is fsynced; then a full database makes way for the next.
    pub fn flush(&mut self) -> Result<(), DatabaseError> {
        for slot in self.slots.iter_mut().filter(|slot| !slot.failed) {
            if let Some(database) = &slot.open {
                database.flush()?;
                self.durable_rows += slot.unflushed_rows;
                (slot.unflushed_chunks, slot.unflushed_rows) = (0, 0);
                slot.durable_to = slot.durable_to.max(self.next_number);
                slot.disk_bytes = database.disk_bytes();
            }
        }
        self.close_middle();
        Ok(())
    }

    /// After a failure: what was not fsynced counts as never written, and databases that hold such are written no more.
    /// They stay open, since sled waits for ever when a database that failed is dropped.
    pub fn seal(&mut self) {
        let last = self.slots.len().saturating_sub(1);
        for (at, slot) in self.slots.iter_mut().enumerate() {
            if slot.open.is_some() && (at == last || slot.unflushed_chunks > 0) {
                slot.chunks -= slot.unflushed_chunks;
                slot.rows -= slot.unflushed_rows;
                (slot.unflushed_chunks, slot.unflushed_rows) = (0, 0);
                slot.sealed = true;
                slot.failed = true;
            }
        }
    }

    pub fn durable_rows(&self) -> u64 {
        self.durable_rows
    }

    /// The oldest chunks of one producer, about `bytes_max` as stored. A chunk that cannot be read is given to `unreadable`.
    pub fn peek(
        &mut self,
        bytes_max: usize,
        mut unreadable: impl FnMut(ChunkKey, Option<Header>),
    ) -> Result<Vec<(ChunkKey, Chunk)>, DatabaseError> {
        let class = self.class;
        let folder = self.slots.front().map(|slot| self.folder_of(slot.first));
        let (Some(slot), Some(folder)) = (self.slots.front_mut(), folder) else { return Ok(Vec::new()) };
        let mut found: Vec<(ChunkKey, Chunk)> = Vec::new();
        let mut bytes = 0;
        let (oldest, durable_to) = (slot.first, slot.durable_to);
        slot.opened(&folder)?.scan(oldest, |number, value| {
            if number >= durable_to {
                return false;
            }
            let key = ChunkKey { class, number };
            match Chunk::decode(value) {
                Ok(chunk) => {
                    let other = found.first().is_some_and(|(_, first)| first.producer != chunk.producer);
                    bytes += value.len();
                    if other || (bytes > bytes_max && !found.is_empty()) {
                        return false;
                    }
                    found.push((key, chunk));
                }
                Err(error) => {
                    tracing::error!(number, error = &error as &dyn std::error::Error, "spooled chunk cannot be read");
                    unreadable(key, Header::read(value).ok());
                }
            }
            true
        })?;
        if found.is_empty() && slot.sealed {
            // Nothing readable is left, whatever was counted.
            slot.chunks = 0;
        }
        Ok(found)
    }

    /// Takes chunks out; a database that is drained and sealed is deleted.
    pub fn remove(&mut self, numbers: &[(u64, u64)]) -> Result<(), DatabaseError> {
        for (number, rows) in numbers {
            self.delivered_to = self.delivered_to.max(number + 1);
            let at = self.slots.partition_point(|slot| slot.first <= *number).checked_sub(1);
            let Some(at) = at else { continue };
            let folder = self.folder_of(self.slots[at].first);
            let slot = &mut self.slots[at];
            slot.opened(&folder)?.remove(*number)?;
            slot.chunks = slot.chunks.saturating_sub(1);
            slot.rows = slot.rows.saturating_sub(*rows);
        }
        self.delete_drained();
        Ok(())
    }

    fn delete_drained(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.chunks == 0 && slot.sealed) {
            self.delete_oldest();
        }
    }

    /// Gives up the oldest database, whole. The newest is sealed first when it is the only one.
    pub fn evict(&mut self) -> Option<Lost> {
        let slot = self.slots.front()?;
        if slot.chunks == 0 && !slot.sealed && self.slots.len() == 1 {
            return None;
        }
        let lost = Lost { rows: slot.rows };
        self.delete_oldest();
        self.delivered_to = self.delivered_to.max(self.slots.front().map_or(self.next_number, |next| next.first));
        Some(lost)
    }

    /// The database that cannot be read is put aside; its rows are lost.
    pub fn put_aside_oldest(&mut self) -> Option<Lost> {
        let slot = self.slots.pop_front()?;
        let (first, lost) = (slot.first, Lost { rows: slot.rows });
        drop(slot);
        self.put_aside(first);
        Some(lost)
    }

    /// The number of the oldest database, while there is one.
    pub fn oldest(&self) -> Option<u64> {
        self.slots.front().map(|slot| slot.first)
    }

    pub fn progress(&self) -> Progress {
        let delivered_to = if self.chunks() == 0 { self.next_number } else { self.delivered_to };
        Progress { written_to: self.next_number, delivered_to }
    }

    pub fn disk_bytes(&self) -> u64 {
        self.slots.iter().map(|slot| slot.disk_bytes).sum()
    }

    pub fn databases(&self) -> u64 {
        self.slots.len() as u64
    }

    pub fn chunks(&self) -> u64 {
        self.slots.iter().map(|slot| slot.chunks).sum()
    }

    fn newest(&mut self) -> Result<&mut Slot, DatabaseError> {
        if self.slots.back().is_none_or(|slot| slot.sealed || slot.open.is_none()) {
            if let Some(full) = self.slots.back_mut() {
                full.sealed = true;
            }
            let first = self.next_number - 1;
            let database = Database::open(&self.folder_of(first))?;
            let slot = Slot {
                first,
                open: Some(database),
                chunks: 0,
                rows: 0,
                written_bytes: 0,
                disk_bytes: 0,
                sealed: false,
                durable_to: first,
                unflushed_chunks: 0,
                unflushed_rows: 0,
                failed: false,
            };
            self.slots.push_back(slot);
        }
        let Some(newest) = self.slots.back_mut() else { unreachable!("pushed above") };
        Ok(newest)
    }

    /// Only the oldest and the newest stay open.
    fn close_middle(&mut self) {
        let last = self.slots.len().saturating_sub(1);
        for slot in self.slots.iter_mut().take(last).skip(1).filter(|slot| !slot.failed) {
            slot.open = None;
        }
    }

    fn delete_oldest(&mut self) {
        if let Some(slot) = self.slots.pop_front() {
            let folder = self.folder_of(slot.first);
            // On a full disk sled waits for ever when it is dropped: it has something to write. So first its space.
            empty_files(&folder);
            drop(slot);
            remove_folder(&folder);
        }
    }

    fn put_aside(&self, first: u64) {
        let from = self.folder_of(first);
        let to = self.damaged.join(format!("{}-{first:020}", self.class.name()));
        // One set aside is enough to look at; the older goes.
        let _ = fs::remove_dir_all(&self.damaged);
        let moved = fs::create_dir_all(&self.damaged).and_then(|()| fs::rename(&from, &to));
        if let Err(error) = moved {
            tracing::error!(database = %from.display(), %error, "damaged spool database cannot be put aside, deleted");
            remove_folder(&from);
        }
    }

    fn folder_of(&self, first: u64) -> PathBuf {
        self.folder.join(format!("{first:020}"))
    }
}

impl Slot {
    /// Counts what an earlier start left; also the number after the last value's.
    fn recover(first: u64, folder: &Path) -> Result<(Self, u64), DatabaseError> {
        let database = Database::open(folder)?;
        let (mut chunks, mut rows, mut bytes, mut next) = (0, 0, 0, first);
        database.scan(0, |number, value| {
            chunks += 1;
            rows += Header::read(value).map_or(0, |header| u64::from(header.count));
            bytes += value.len() as u64;
            next = number.saturating_add(1);
            true
        })?;
        drop(database);
        let disk_bytes = folder_bytes(folder);
        Ok((
            Self {
                first,
                open: None,
                chunks,
                rows,
                written_bytes: bytes,
                disk_bytes,
                sealed: true,
                durable_to: u64::MAX,
                unflushed_chunks: 0,
                unflushed_rows: 0,
                failed: false,
            },
            next,
        ))
    }

    fn opened(&mut self, folder: &Path) -> Result<&Database, DatabaseError> {
        if self.open.is_none() {
            self.open = Some(Database::open(folder)?);
        }
        let Some(database) = &self.open else { unreachable!("opened above") };
        Ok(database)
    }
}

/// Gives back the space of a database that is not needed any more, while sled still has its files open.
fn empty_files(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()) {
        if let Err(error) = File::options().write(true).truncate(true).open(&path) {
            tracing::warn!(file = %path.display(), %error, "file of a drained spool database cannot be emptied");
        }
    }
}

fn remove_folder(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::warn!(database = %folder.display(), %error, "drained spool database cannot be deleted");
    }
}

/// Makes the folder and locks it.
pub(super) fn lock(folder: &Path) -> Result<File, OpenError> {
    let fail = |source| OpenError::Folder { folder: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(fail)?;
    let file = File::options().create(true).truncate(false).write(true).open(folder.join("lock")).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(fail(source)),
    }
}
