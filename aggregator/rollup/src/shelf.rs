//! The rollups of files: those in memory, those on the disk, and those that have to be made.
//!
//! A file never changes, so neither do its rollups. What a mutation that the file has not seen makes of it is another
//! thing, with rollups of its own: the mutations' numbers are part of its [key](Rolled).

pub mod builder;
pub mod making;
pub mod stored;

use std::collections::HashMap;
use std::sync::Arc;

use moka::future::Cache;
use moka::policy::EvictionPolicy;
use parking_lot::Mutex;
use ridealong_common::table::Table;
use ridealong_engine::datafusion::common::DataFusionError;
use ridealong_lake::ColdFile;
use ridealong_model::budget::{Account, Budget, Share};
use ridealong_wal::disk::Disk;
use thiserror::Error;

use self::making::Made;
use self::stored::Stored;
use crate::cells::family::{Family, Level};
use crate::cells::kernel::FoldError;
use crate::cells::section::{Block, Section};
use crate::reader::Reader;

#[derive(Debug, Error)]
pub enum ShelfError {
    #[error("a file cannot be read")]
    Read(#[from] DataFusionError),
    #[error("rows cannot be folded")]
    Fold(#[from] FoldError),
    #[error("rollups cannot be written")]
    Write(#[from] std::io::Error),
    /// Somebody else met it, and several waited.
    #[error(transparent)]
    Shared(Arc<ShelfError>),
}

/// A file with what is pending of it.
#[derive(Clone, Debug)]
pub struct Rolled {
    pub table: Table,
    pub file: ColdFile,
    /// What nothing else has: tenant, table, name, numbers of pending mutations.
    pub key: Arc<str>,
}

impl Rolled {
    pub fn new(tenant: &str, table: Table, file: &ColdFile) -> Self {
        let mut key = format!("{tenant}/{}/{}", table.name(), file.name);
        for mutation in file.pending.iter() {
            key.push('#');
            key.push_str(&mutation.number.to_string());
        }
        Self { table, file: file.clone(), key: key.into() }
    }
}

/// The levels and blocks at which a family has cells, ascending.
pub type Blocks = Vec<(Level, Block)>;

type SectionKey = (Arc<str>, u8, Level, Block);

pub struct Shelf {
    pub reader: Reader,
    disk: Arc<dyn Disk>,
    sections: Cache<SectionKey, Arc<Kept>>,
    /// Families that are being made because a question needs them.
    making: Cache<(Arc<str>, u8), Arc<Blocks>>,
    files: Mutex<HashMap<Arc<str>, Arc<Known>>>,
    budget: Arc<Budget>,
}

/// A section, and its share of the memory for as long as it is kept.
pub struct Kept {
    pub section: Section,
    bytes: usize,
    _share: Share,
}

/// What is known of a file's rollups.
#[derive(Clone, Default)]
struct Known {
    /// On the disk; none before somebody has looked.
    stored: Option<Arc<Stored>>,
    looked: bool,
    blocks: HashMap<u8, Arc<Blocks>>,
}

impl Shelf {
    pub fn new(reader: Reader, disk: Arc<dyn Disk>, bytes_max: u64, budget: Arc<Budget>) -> Self {
        let weigh = |_: &SectionKey, kept: &Arc<Kept>| u32::try_from(kept.bytes).unwrap_or(u32::MAX);
        let sections =
            Cache::builder().max_capacity(bytes_max).weigher(weigh).eviction_policy(EvictionPolicy::lru()).build();
        // Only so that two do not make the same at one time: what was made is in `sections` and `files`.
        let making = Cache::builder().max_capacity(64).build();
        Self { reader, disk, sections, making, files: Mutex::default(), budget }
    }

    /// Where a file has cells of a family. They are made when they are not there.
    pub async fn blocks(&self, file: &Rolled, family: &'static Family) -> Result<Arc<Blocks>, ShelfError> {
        let known = self.known(file);
        if let Some(blocks) = known.blocks.get(&family.number) {
            return Ok(Arc::clone(blocks));
        }
        self.made(file, family).await
    }

    /// The cells of a family in one of its blocks.
    pub async fn section(
        &self,
        file: &Rolled,
        family: &'static Family,
        (level, block): (Level, Block),
    ) -> Result<Arc<Kept>, ShelfError> {
        let key = (Arc::clone(&file.key), family.number, level, block);
        if let Some(kept) = self.sections.get(&key).await {
            return Ok(kept);
        }
        let loading = async {
            let known = self.known(file);
            match known.stored.as_ref().and_then(|stored| stored.section(family, level, block)) {
                Some(section) => Ok(self.kept(section)),
                // Made and let go again, or damaged on the disk.
                None => self.make_one(file, family, level, block).await,
            }
        };
        self.sections.try_get_with(key, loading).await.map_err(ShelfError::Shared)
    }

    /// Whether a file's rollups are on the disk.
    pub fn is_stored(&self, file: &Rolled) -> bool {
        self.known(file).stored.is_some()
    }

    /// Forgets files that are no more.
    pub fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.files.lock().retain(|key, _| is_there(key));
    }

    pub fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// The rollups of a file have been written.
    pub fn put(&self, file: &Rolled, stored: Stored) {
        let known = Known { blocks: stored.blocks(), stored: Some(Arc::new(stored)), looked: true };
        self.files.lock().insert(Arc::clone(&file.key), Arc::new(known));
    }

    fn known(&self, file: &Rolled) -> Arc<Known> {
        if let Some(known) = self.files.lock().get(&file.key).filter(|known| known.looked) {
            return Arc::clone(known);
        }
        match Stored::open(&*self.disk, file) {
            Some(stored) => self.put(file, stored),
            None => self.change(file, |known| known.looked = true),
        }
        self.files.lock().get(&file.key).cloned().unwrap_or_default()
    }

    fn change(&self, file: &Rolled, change: impl FnOnce(&mut Known)) {
        let mut files = self.files.lock();
        change(Arc::make_mut(files.entry(Arc::clone(&file.key)).or_default()));
    }

    /// Makes a family because a question needs it now.
    async fn made(&self, file: &Rolled, family: &'static Family) -> Result<Arc<Blocks>, ShelfError> {
        let making = async {
            let made = making::make(&self.reader, file, &[family]).await?;
            let sections = made.into_iter().flat_map(|Made { sections, .. }| sections);
            let mut blocks = Blocks::new();
            for section in sections {
                let (level, block) = (section.level, section.block());
                blocks.push((level, block));
                self.sections.insert((Arc::clone(&file.key), family.number, level, block), self.kept(section)).await;
            }
            let blocks = Arc::new(blocks);
            self.change(file, |known| drop(known.blocks.insert(family.number, Arc::clone(&blocks))));
            Ok(blocks)
        };
        let key = (Arc::clone(&file.key), family.number);
        self.making.try_get_with(key, making).await.map_err(ShelfError::Shared)
    }

    async fn make_one(
        &self,
        file: &Rolled,
        family: &'static Family,
        level: Level,
        block: Block,
    ) -> Result<Arc<Kept>, ShelfError> {
        let made = making::make(&self.reader, file, &[family]).await?;
        let mut sections = made.into_iter().flat_map(|made| made.sections);
        let section = sections.find(|section| (section.level, section.block()) == (level, block));
        let missing = || ShelfError::Read(DataFusionError::Internal(format!("{} has changed", file.key)));
        section.map(|section| self.kept(section)).ok_or_else(missing)
    }

    fn kept(&self, section: Section) -> Arc<Kept> {
        let bytes = section.bytes();
        let mut share = self.budget.share(Account::Rollups);
        share.grow(bytes as u64);
        Arc::new(Kept { section, bytes, _share: share })
    }
}
