//! The temporary folder of one session: `data/` of the aggregator, `spool/` of the agent, and the log of each.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

pub struct Folder {
    folder: TempDir,
    keep: bool,
}

impl Folder {
    pub fn create(keep: bool) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("ridealong-quickstart-").tempdir()?;
        Ok(Self { folder, keep })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub fn spool(&self) -> PathBuf {
        self.path().join("spool")
    }

    pub fn log(&self, program: &str) -> PathBuf {
        self.path().join(format!("{program}.log"))
    }

    pub const fn is_kept(&self) -> bool {
        self.keep
    }

    /// Removes the folder, unless it is to be kept or what happened deserves a look. Says where it is if it stays.
    pub fn close(self, clean: bool) -> io::Result<Option<PathBuf>> {
        if self.keep || !clean {
            return Ok(Some(self.folder.keep()));
        }
        self.folder.close().map(|()| None)
    }
}
