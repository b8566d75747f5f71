//! One small sled database. Every call is made by the spool's thread; a panic inside sled is an error like any other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// sled's page cache: measured to keep a database of 8 MiB at some 7 MiB resident.
const CACHE_BYTES: u64 = 2 << 20;
const SEGMENT_BYTES: usize = 512 << 10;

#[derive(Debug, Error)]
pub(super) enum DatabaseError {
    #[error("sled failed to {doing}")]
    Sled { doing: &'static str, source: sled::Error },
    #[error("sled panicked while it was to {doing}")]
    Panic { doing: &'static str },
}

pub(super) struct Database {
    folder: PathBuf,
    sled: sled::Db,
}

impl Database {
    pub fn open(folder: &Path) -> Result<Self, DatabaseError> {
        let sled = guarded("open", || {
            sled::Config::new()
                .path(folder)
                .mode(sled::Mode::LowSpace)
                .cache_capacity(CACHE_BYTES)
                .segment_size(SEGMENT_BYTES)
                .flush_every_ms(None)
                .open()
        })?;
        Ok(Self { folder: folder.to_owned(), sled })
    }

    pub fn insert(&self, key: u64, value: &[u8]) -> Result<(), DatabaseError> {
        guarded("insert", || self.sled.insert(key.to_be_bytes(), value).map(drop))
    }

    /// Returns once everything inserted is fsynced.
    pub fn flush(&self) -> Result<(), DatabaseError> {
        guarded("flush", || self.sled.flush().map(drop))
    }

    pub fn remove(&self, key: u64) -> Result<(), DatabaseError> {
        guarded("remove", || self.sled.remove(key.to_be_bytes()).map(drop))
    }

    /// Values from `key` on, in order, until `take` says no.
    pub fn scan(&self, key: u64, mut take: impl FnMut(u64, &[u8]) -> bool) -> Result<(), DatabaseError> {
        guarded("read", || {
            for entry in self.sled.range(key.to_be_bytes()..) {
                let (key, value) = entry?;
                let key = key.as_ref().try_into().map_or(u64::MAX, u64::from_be_bytes);
                if !take(key, &value) {
                    break;
                }
            }
            Ok(())
        })
    }

    pub fn disk_bytes(&self) -> u64 {
        folder_bytes(&self.folder)
    }
}

/// The bytes of the files below a folder; what cannot be read counts nothing.
pub(super) fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

fn guarded<T>(doing: &'static str, call: impl FnOnce() -> sled::Result<T>) -> Result<T, DatabaseError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(done) => done.map_err(|source| DatabaseError::Sled { doing, source }),
        Err(_) => Err(DatabaseError::Panic { doing }),
    }
}
