//! The few calls by which the store changes the file system, so that a test can fail each of them, or take the power away.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use ridealong_engine::deltalake::logstore::object_store::PutPayload;

pub(crate) trait Files: fmt::Debug + Send + Sync {
    /// Makes one folder; one that exists is as good.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;
    /// Writes a new file and makes its contents durable; after an error any part of it may be there.
    fn write_synced(&self, path: &Path, payload: &PutPayload) -> io::Result<()>;
    /// A second name; fails when it is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// Those of the operating system.
#[derive(Debug)]
pub(crate) struct RealFiles;

impl Files for RealFiles {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    fn write_synced(&self, path: &Path, payload: &PutPayload) -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).open(path)?;
        payload.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}
