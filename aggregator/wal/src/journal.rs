//! A small file of changes: a header, then one record for each change. For what is set or asked now and then, not for
//! rows. Numbers are little-endian.
//!
//! ```text
//! header   0  8  the format's own: magic and version
//! record   0  4  the format's magic of records
//!          4  4  length of the change
//!          8  4  CRC32C of the length and the change
//!         12     the change
//! ```
//!
//! A record is synced before the change is in force, so a record that does not hold together at the end of the file was
//! never in force and is cut off; one before a record that holds is damage and stops the start. When the file has grown
//! long it is written anew with what is in force, beside it, and put in its place.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::disk::{Disk, DiskFile, replace};

const RECORD_HEADER_BYTES: usize = 12;
/// A file that is longer was not written here.
const READ_BYTES_MAX: u64 = 256 << 20;

/// What one kind of journal looks like.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Of the file.
    pub name: &'static str,
    pub header: [u8; 8],
    pub record_magic: [u8; 4],
    /// Longest change.
    pub change_bytes_max: usize,
    /// From here on the next change writes the file anew.
    pub file_bytes_max: u64,
}

pub struct Journal {
    format: Format,
    disk: Arc<dyn Disk>,
    file: Arc<dyn DiskFile>,
    /// Where the next record goes; None when what the file holds is not known since a write or sync failed.
    end: Option<u64>,
}

#[derive(Debug, Error)]
pub enum JournalError {
    #[error("could not {doing} the file {name:?}")]
    Io { doing: &'static str, name: &'static str, source: io::Error },
    #[error(
        "the file {name:?} was not written by this program: it does not begin with {begins:?} and version {version}"
    )]
    Header { name: &'static str, begins: String, version: u8 },
    #[error("the file {name:?} is damaged at offset {offset}: {what}; restore it from a backup")]
    Damaged { name: &'static str, offset: usize, what: &'static str },
}

/// A change as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    pub offset: usize,
    pub bytes: &'a [u8],
}

impl Journal {
    /// Opens the file, or begins it. `read` gets the changes, oldest first.
    pub fn open<State, E: From<JournalError>>(
        disk: Arc<dyn Disk>,
        format: Format,
        read: impl FnOnce(&[Change<'_>]) -> Result<State, E>,
    ) -> Result<(Self, State), E> {
        let io = |doing| move |source| JournalError::Io { doing, name: format.name, source };
        if !disk.list().map_err(io("find"))?.iter().any(|name| name == format.name) {
            let file = replaced(&*disk, format.name, &format.header).map_err(io("begin"))?;
            let end = Some(format.header.len() as u64);
            return Ok((Self { format, disk, file, end }, read(&[])?));
        }
        let file = disk.open(format.name).map_err(io("open"))?;
        let length = file.length().map_err(io("read"))?;
        if length > READ_BYTES_MAX {
            return Err(format.damaged(0, "it is far too long").into());
        }
        let mut bytes = vec![0; length as usize];
        let found = file.read_at(0, &mut bytes).map_err(io("read"))?;
        bytes.truncate(found);
        let (changes, end) = format.changes(&bytes)?;
        let state = read(&changes)?;
        if end < bytes.len() {
            tracing::warn!(
                file = format.name,
                bytes = bytes.len() - end,
                "the last change was not complete and never in force"
            );
            file.truncate(end as u64).and_then(|()| file.sync_data()).map_err(io("cut"))?;
        }
        Ok((Self { format, disk, file, end: Some(end as u64) }, state))
    }

    /// Makes a change durable. `all` is what is in force with it, as changes; it is asked for when the file has grown long.
    pub fn append(&mut self, change: &[u8], all: impl FnOnce() -> io::Result<Vec<Vec<u8>>>) -> io::Result<()> {
        let Some(end) = self.end.filter(|end| *end < self.format.file_bytes_max) else {
            return self.write_anew(&all()?);
        };
        let record = self.format.record(change)?;
        // Only a write and a sync that succeed make it known again.
        self.end = None;
        self.file.write_at(end, &record)?;
        self.file.sync_data()?;
        self.end = Some(end + record.len() as u64);
        Ok(())
    }

    fn write_anew(&mut self, all: &[Vec<u8>]) -> io::Result<()> {
        let mut bytes = self.format.header.to_vec();
        for change in all {
            bytes.extend_from_slice(&self.format.record(change)?);
        }
        self.end = None;
        self.file = replaced(&*self.disk, self.format.name, &bytes)?;
        self.end = Some(bytes.len() as u64);
        Ok(())
    }
}

/// Puts a whole file in place, durably.
fn replaced(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<Arc<dyn DiskFile>> {
    let file = replace(disk, name, bytes)?;
    disk.sync_folder()?;
    Ok(file)
}

impl Format {
    /// A change as a record.
    pub fn record(&self, change: &[u8]) -> io::Result<Vec<u8>> {
        if change.len() > self.change_bytes_max {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the change is too large"));
        }
        let length = (change.len() as u32).to_le_bytes();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&length), change).to_le_bytes();
        Ok([self.record_magic.as_slice(), &length, &crc, change].concat())
    }

    /// The changes in a file, and where the last record that holds ends.
    pub fn changes<'a>(&self, bytes: &'a [u8]) -> Result<(Vec<Change<'a>>, usize), JournalError> {
        if !bytes.starts_with(&self.header) {
            let begins = String::from_utf8_lossy(&self.header[..4]).into_owned();
            return Err(JournalError::Header { name: self.name, begins, version: self.header[4] });
        }
        let (mut changes, mut at) = (Vec::new(), self.header.len());
        while at < bytes.len() {
            let Some(change) = self.change_at(bytes, at) else {
                if (at + 1..bytes.len()).any(|later| self.change_at(bytes, later).is_some()) {
                    return Err(self.damaged(at, "a change does not hold together"));
                }
                break;
            };
            changes.push(Change { offset: at, bytes: change });
            at += RECORD_HEADER_BYTES + change.len();
        }
        Ok((changes, at))
    }

    /// The change of the record that begins there, if it holds together.
    fn change_at<'a>(&self, bytes: &'a [u8], at: usize) -> Option<&'a [u8]> {
        let header: &[u8; RECORD_HEADER_BYTES] = bytes.get(at..)?.first_chunk()?;
        if header[..4] != self.record_magic {
            return None;
        }
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let change = bytes.get(at + RECORD_HEADER_BYTES..)?.get(..length.min(self.change_bytes_max + 1))?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[4..8]), change);
        (change.len() == length && header[8..12] == crc.to_le_bytes()).then_some(change)
    }

    /// That what stands there is not what was written.
    pub fn damaged(&self, offset: usize, what: &'static str) -> JournalError {
        JournalError::Damaged { name: self.name, offset, what }
    }
}
