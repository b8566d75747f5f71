//! The file system as the log needs it, so that a test can lose power, tear writes and fill the disk.
//!
//! Names are plain file names within one folder. Nothing is durable until [`DiskFile::sync_data`] (contents and length)
//! or [`Disk::sync_folder`] (names) has returned without error.

pub mod memory;
mod real;

use std::io;
use std::sync::Arc;

pub use real::RealDisk;

/// One folder.
pub trait Disk: Send + Sync {
    /// Creates an empty file, or empties the one of that name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Replaces `to` at once and whole, if it exists.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    fn list(&self) -> io::Result<Vec<String>>;
    fn sync_folder(&self) -> io::Result<()>;
}

/// One open file; stays readable when its name is gone.
pub trait DiskFile: Send + Sync {
    /// Writes all of it or fails; after a failure any part of it may be there.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Fills `into` as far as the file goes, and says how far that was.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Makes contents and length durable. After a failure nothing written since the last success can be relied on.
    fn sync_data(&self) -> io::Result<()>;
    fn truncate(&self, length: u64) -> io::Result<()>;
    fn length(&self) -> io::Result<u64>;
}

/// Puts a whole file in place: it is there with all of `bytes`, or not at all. The name is durable only after the next
/// [`Disk::sync_folder`], which is left to the caller so that several files share one.
pub fn replace(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<Arc<dyn DiskFile>> {
    let unfinished = format!("{name}{UNFINISHED}");
    let file = disk.create(&unfinished)?;
    file.write_at(0, bytes)?;
    file.sync_data()?;
    disk.rename(&unfinished, name)?;
    Ok(file)
}

/// How the name of a file ends that is not yet in place.
pub(crate) const UNFINISHED: &str = ".new";

/// Whether there is no room; anything else is a fault.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
