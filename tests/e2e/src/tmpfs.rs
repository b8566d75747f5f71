//! A small file system of its own, to be filled.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

pub struct Tmpfs {
    folder: PathBuf,
}

impl Tmpfs {
    /// `size` as mount(8) takes it: `size=16m`. Fails where nobody may mount.
    pub fn mount(folder: &Path, size: &str) -> Result<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(folder).status();
        anyhow::ensure!(mounted.context("cannot run mount")?.success(), "mounting a tmpfs is not permitted");
        Ok(Self { folder: folder.to_owned() })
    }

    /// Leaves no room at all, until what this returns is dropped.
    pub fn fill(&self) -> Result<Ballast> {
        let path = self.folder.join("ballast");
        let mut file = File::create(&path).context("no ballast")?;
        for block in [1 << 20, 4_096] {
            while file.write_all(&vec![1; block]).is_ok() {}
        }
        Ok(Ballast { path })
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // At worst it stays until the machine's end.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

/// What takes the room.
pub struct Ballast {
    path: PathBuf,
}

impl Drop for Ballast {
    fn drop(&mut self) {
        // A file that is gone takes no room either.
        let _ = std::fs::remove_file(&self.path);
    }
}
