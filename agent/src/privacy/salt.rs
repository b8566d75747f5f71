//! The secret of this host with which addresses are hashed: 32 random bytes in a file of the spool's folder that only its
//! owner may read. It is never shipped: without it the 2^32 addresses of IPv4 cannot be tried out.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use uuid::Uuid;

const FILE: &str = "address-salt";
const BYTES: usize = 32;

#[derive(Clone, PartialEq, Eq)]
pub struct Salt([u8; BYTES]);

#[derive(Debug, Error)]
pub enum SaltError {
    #[error("cannot read the salt for client addresses in {file}")]
    Read { file: PathBuf, source: io::Error },
    #[error("{file} is no salt for client addresses: delete it, and a new one is made")]
    Length { file: PathBuf },
    #[error("cannot keep the salt for client addresses in {file}")]
    Write { file: PathBuf, source: io::Error },
}

impl Salt {
    /// The one in the folder; made, and durable, when there is none.
    pub fn of_folder(folder: &Path) -> Result<Self, SaltError> {
        let file = folder.join(FILE);
        match File::open(&file) {
            Ok(open) => read(open)
                .map_err(|source| SaltError::Read { file: file.clone(), source })?
                .ok_or(SaltError::Length { file }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let salt = Self::draw();
                salt.write(folder, &file).map_err(|source| SaltError::Write { file, source })?;
                Ok(salt)
            }
            Err(source) => Err(SaltError::Read { file, source }),
        }
    }

    /// A new one, from the operating system's randomness.
    pub fn draw() -> Self {
        let mut bytes = [0; BYTES];
        // Six bits of each are the mark of a random UUID: 244 are random.
        bytes[..16].copy_from_slice(Uuid::new_v4().as_bytes());
        bytes[16..].copy_from_slice(Uuid::new_v4().as_bytes());
        Self(bytes)
    }

    pub(super) fn hash(&self, bytes: &[u8]) -> [u8; BYTES] {
        *blake3::keyed_hash(&self.0, bytes).as_bytes()
    }

    /// Whole or not at all: written beside, then renamed.
    fn write(&self, folder: &Path, file: &Path) -> io::Result<()> {
        let beside = folder.join(format!("{FILE}.new"));
        let mut open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        open.write_all(&self.0)?;
        open.sync_all()?;
        std::fs::rename(&beside, file)?;
        File::open(folder)?.sync_all()
    }
}

/// None when it is not as long as a salt.
fn read(mut file: File) -> io::Result<Option<Salt>> {
    let mut bytes = Vec::new();
    Read::take(&mut file, BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes.try_into().ok().map(Salt))
}

impl fmt::Debug for Salt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Salt(…)")
    }
}
