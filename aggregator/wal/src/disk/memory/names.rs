//! Which name is which file, now and on the disk.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

#[derive(Clone, Default)]
pub(super) struct Names {
    pub live: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    /// Since the folder was last synced, in order.
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Link { name: String, inode: usize },
    Rename { from: String, to: String, inode: usize },
    Unlink { name: String, inode: usize },
}

impl Names {
    pub fn put(&mut self, name: &str, inode: usize) {
        self.live.insert(name.to_owned(), inode);
        self.durable.insert(name.to_owned(), inode);
    }

    pub fn link(&mut self, name: &str, inode: usize) {
        self.live.insert(name.to_owned(), inode);
        self.pending.push(Change::Link { name: name.to_owned(), inode });
    }

    pub fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let inode = self.live.remove(from).ok_or(ErrorKind::NotFound)?;
        self.live.insert(to.to_owned(), inode);
        self.pending.push(Change::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        Ok(())
    }

    pub fn unlink(&mut self, name: &str) -> io::Result<()> {
        let inode = self.live.remove(name).ok_or(ErrorKind::NotFound)?;
        self.pending.push(Change::Unlink { name: name.to_owned(), inode });
        Ok(())
    }

    pub fn sync(&mut self) {
        self.durable = self.live.clone();
        self.pending.clear();
    }

    /// Each pending change reaches the disk with the given chance, whatever became of those before it.
    pub fn keep_some(&mut self, random: &mut fastrand::Rng, kept_of_four: u8) {
        for change in &self.pending {
            if random.u8(..4) < kept_of_four {
                change.apply(&mut self.durable);
            }
        }
    }

    /// The power goes.
    pub fn lose(&mut self, random: &mut fastrand::Rng, kept_of_four: u8) {
        self.keep_some(random, kept_of_four);
        self.pending.clear();
        self.live = self.durable.clone();
    }
}

impl Change {
    /// By file, not only by name: a removal of a file that never got its name removes no other.
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        let mut remove = |name: &String, inode: &usize| {
            if names.get(name) == Some(inode) {
                names.remove(name);
            }
        };
        match self {
            Change::Unlink { name, inode } => remove(name, inode),
            Change::Rename { from, to, inode } => {
                remove(from, inode);
                names.insert(to.clone(), *inode);
            }
            Change::Link { name, inode } => {
                names.insert(name.clone(), *inode);
            }
        }
    }
}
