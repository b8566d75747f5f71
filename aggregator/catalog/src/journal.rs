//! The file of changes, `catalog`: a header, then one record for each change. Numbers are little-endian.
//!
//! ```text
//! header   0  4  magic "RLCA"
//!          4  1  version, 1
//!          5  3  0
//! record   0  4  magic "RLop"
//!          4  4  length of the change
//!          8  4  CRC32C of the length and the change
//!         12     the change: JSON {"atUs", "tenant", "settings"}, the whole settings of one tenant
//! ```
//!
//! A record is synced before the change is in force, so a record that does not hold together at the end of the file was
//! never in force and is cut off; one before a record that holds is damage and stops the start. When the file has grown
//! past [`FILE_BYTES_MAX`] it is written anew with what is in force, beside it, and put in its place.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use ridealong_model::tenant::TenantId;
use ridealong_wal::disk::{Disk, DiskFile};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::settings::TenantSettings;

const NAME: &str = "catalog";
const UNFINISHED: &str = "catalog.new";
const HEADER: [u8; 8] = *b"RLCA\x01\0\0\0";
const RECORD_MAGIC: &[u8; 4] = b"RLop";
const RECORD_HEADER_BYTES: usize = 12;
/// A hundred segments of the largest size, as JSON.
const CHANGE_BYTES_MAX: usize = 1 << 20;
/// From here on the next change writes the file anew.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// A file that is longer was not written here.
const READ_BYTES_MAX: u64 = 256 << 20;

/// One change: all that a tenant has set from then on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Op {
    pub at_us: i64,
    pub tenant: String,
    pub settings: TenantSettings,
}

pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    file: Arc<dyn DiskFile>,
    /// Where the next record goes; None when what the file holds is not known since a write or sync failed.
    end: Option<u64>,
}

#[derive(Debug, Error)]
pub enum OpenError {
    #[error("could not {doing} the catalog's file")]
    Io { doing: &'static str, source: io::Error },
    #[error("the file \"catalog\" was not written by this program: it does not begin with RLCA and version 1")]
    Header,
    #[error("the file \"catalog\" is damaged at offset {offset}: {what}; restore it from a backup")]
    Damaged { offset: usize, what: &'static str },
}

type State = BTreeMap<TenantId, TenantSettings>;

impl Journal {
    pub fn open(disk: Arc<dyn Disk>) -> Result<(Self, State), OpenError> {
        let io = |doing| move |source| OpenError::Io { doing, source };
        if !disk.list().map_err(io("find"))?.iter().any(|name| name == NAME) {
            let file = replace(&*disk, &HEADER).map_err(io("begin"))?;
            return Ok((Self { disk, file, end: Some(HEADER.len() as u64) }, State::new()));
        }
        let file = disk.open(NAME).map_err(io("open"))?;
        let length = file.length().map_err(io("read"))?;
        if length > READ_BYTES_MAX {
            return Err(OpenError::Damaged { offset: 0, what: "it is far too long" });
        }
        let mut bytes = vec![0; length as usize];
        let read = file.read_at(0, &mut bytes).map_err(io("read"))?;
        bytes.truncate(read);
        let (state, end) = replay(&bytes)?;
        if end < bytes.len() {
            tracing::warn!(bytes = bytes.len() - end, "the catalog's last change was not complete and never in force");
            file.truncate(end as u64).and_then(|()| file.sync_data()).map_err(io("cut"))?;
        }
        Ok((Self { disk, file, end: Some(end as u64) }, state))
    }

    /// Makes a change durable. `all` is what is in force with it.
    pub fn append<'a>(
        &mut self,
        op: &Op,
        all: impl Iterator<Item = (&'a TenantId, &'a TenantSettings)>,
    ) -> io::Result<()> {
        let Some(end) = self.end.filter(|end| *end < FILE_BYTES_MAX) else {
            return self.write_anew(op.at_us, all);
        };
        // Only a write and a sync that succeed make it known again.
        self.end = None;
        let record = encoded(op)?;
        self.file.write_at(end, &record)?;
        self.file.sync_data()?;
        self.end = Some(end + record.len() as u64);
        Ok(())
    }

    fn write_anew<'a>(
        &mut self,
        at_us: i64,
        all: impl Iterator<Item = (&'a TenantId, &'a TenantSettings)>,
    ) -> io::Result<()> {
        let mut bytes = HEADER.to_vec();
        for (tenant, settings) in all {
            let op = Op { at_us, tenant: tenant.to_string(), settings: settings.clone() };
            bytes.extend_from_slice(&encoded(&op)?);
        }
        self.end = None;
        self.file = replace(&*self.disk, &bytes)?;
        self.end = Some(bytes.len() as u64);
        Ok(())
    }
}

/// Puts a whole file in place, durably.
fn replace(disk: &dyn Disk, bytes: &[u8]) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.create(UNFINISHED)?;
    file.write_at(0, bytes)?;
    file.sync_data()?;
    disk.rename(UNFINISHED, NAME)?;
    disk.sync_folder()?;
    Ok(file)
}

fn encoded(op: &Op) -> io::Result<Vec<u8>> {
    let change = serde_json::to_vec(op)?;
    if change.len() > CHANGE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the settings are too large"));
    }
    let length = (change.len() as u32).to_le_bytes();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&length), &change).to_le_bytes();
    Ok([RECORD_MAGIC.as_slice(), &length, &crc, &change].concat())
}

/// What is in force, and where the last record that holds ends.
fn replay(bytes: &[u8]) -> Result<(State, usize), OpenError> {
    if !bytes.starts_with(&HEADER) {
        return Err(OpenError::Header);
    }
    let (mut state, mut at) = (State::new(), HEADER.len());
    while at < bytes.len() {
        let Some(change) = change_at(bytes, at) else {
            let later = (at + 1..bytes.len()).any(|later| change_at(bytes, later).is_some());
            if later {
                return Err(OpenError::Damaged { offset: at, what: "a change does not hold together" });
            }
            return Ok((state, at));
        };
        let op: Op = serde_json::from_slice(change)
            .map_err(|_| OpenError::Damaged { offset: at, what: "a change cannot be read" })?;
        let tenant = TenantId::parse(&op.tenant)
            .map_err(|_| OpenError::Damaged { offset: at, what: "a change has no tenant" })?;
        state.insert(tenant, op.settings);
        at += RECORD_HEADER_BYTES + change.len();
    }
    Ok((state, at))
}

/// The change of the record that begins there, if it holds together.
fn change_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let header: &[u8; RECORD_HEADER_BYTES] = bytes.get(at..)?.first_chunk()?;
    if &header[..4] != RECORD_MAGIC {
        return None;
    }
    let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
    let change = bytes.get(at + RECORD_HEADER_BYTES..)?.get(..length.min(CHANGE_BYTES_MAX + 1))?;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[4..8]), change);
    (change.len() == length && header[8..12] == crc.to_le_bytes()).then_some(change)
}

#[cfg(test)]
mod tests;
