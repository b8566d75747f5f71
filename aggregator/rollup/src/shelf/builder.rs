//! Makes rollups soon after a file has come, on a thread that gives way to all others, the newest file first; takes away
//! those of files that are no more; keeps what is folded of rows in memory up to date.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ridealong_lake::{ColdTable, Lake};
use tokio::runtime::{Builder, Runtime};

use super::stored::{self, Stored};
use super::{Rolled, Shelf, ShelfError, making};
use crate::cells::family::{Family, TABLES};
use crate::hot::HotTables;

/// How much less than others the thread is given, as `nice` counts.
const NICENESS: i32 = 10;
/// Between two looks for new files. Rows that came in between are folded by whoever asks.
const PAUSE: Duration = Duration::from_millis(250);
/// A file whose rollups could not be made is tried again after so many looks.
const LOOKS_PUT_OFF: u64 = 240;

pub fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .thread_name("rollups")
        .on_thread_start(give_way)
        .enable_all()
        .build()
}

/// On Linux a thread has a priority of its own. One that cannot be lowered is no reason not to work.
fn give_way() {
    #[allow(unsafe_code, reason = "no safe wrapper; takes numbers only")]
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS);
    }
}

/// Runs until its runtime ends.
pub async fn run(lake: Lake, shelf: Arc<Shelf>, hot: Arc<HotTables>) {
    let mut builder = Builds { lake, shelf, hot, seen: Vec::new(), failed: HashSet::new(), looks: 0 };
    loop {
        tokio::time::sleep(PAUSE).await;
        builder.look().await;
    }
}

struct Builds {
    lake: Lake,
    shelf: Arc<Shelf>,
    hot: Arc<HotTables>,
    /// The versions whose files all have rollups.
    seen: Vec<Arc<ColdTable>>,
    failed: HashSet<Arc<str>>,
    looks: u64,
}

impl Builds {
    async fn look(&mut self) {
        self.looks += 1;
        if self.looks.is_multiple_of(LOOKS_PUT_OFF) {
            self.failed.clear();
            self.seen.clear();
        }
        self.keep_up();
        let versions = self.lake.files();
        let now: Vec<Arc<ColdTable>> = versions.iter().map(|(_, _, cold)| Arc::clone(cold)).collect();
        let is_seen = |cold: &Arc<ColdTable>| self.seen.iter().any(|seen| Arc::ptr_eq(seen, cold));
        if now.len() == self.seen.len() && now.iter().all(is_seen) {
            return;
        }
        let of_families = versions.iter().filter(|(_, table, _)| TABLES.contains(table));
        let files: Vec<Rolled> = of_families
            .flat_map(|(tenant, table, cold)| cold.files.iter().map(|file| Rolled::new(tenant, *table, file)))
            .collect();
        if self.make_one(&files).await {
            return;
        }
        self.clean(&files);
        self.seen = now;
    }

    /// Makes the rollups of the newest file without any. False when all have theirs: after each one the files may be others.
    async fn make_one(&mut self, files: &[Rolled]) -> bool {
        let missing = files.iter().filter(|file| !self.failed.contains(&file.key) && !self.shelf.is_stored(file));
        let newest = missing.max_by_key(|file| file.file.timestamps.map_or(i64::MAX, |(_, newest)| newest));
        let Some(file) = newest.cloned() else { return false };
        if let Err(error) = self.make(&file).await {
            // The file may have gone while it was read.
            tracing::warn!(file = %file.key, error = &error as &dyn std::error::Error, "no rollups made");
            self.failed.insert(Arc::clone(&file.key));
        }
        true
    }

    async fn make(&self, file: &Rolled) -> Result<(), ShelfError> {
        let families: Vec<&'static Family> = Family::of_table(file.table).collect();
        let made = making::make(&self.shelf.reader, file, &families).await?;
        let stored = Stored::write(self.shelf.disk(), file, &made)?;
        self.shelf.put(file, stored);
        Ok(())
    }

    /// Removes what no file of any table is the reason for.
    fn clean(&self, files: &[Rolled]) {
        let keys: HashSet<&str> = files.iter().map(|file| &*file.key).collect();
        self.shelf.retain(|key| keys.contains(key));
        let names: HashSet<String> = files.iter().map(stored::name).collect();
        let Ok(there) = self.shelf.disk().list() else { return };
        for name in there.iter().filter(|name| stored::is_name(name) && !names.contains(*name)) {
            if let Err(error) = self.shelf.disk().remove(name) {
                tracing::warn!(name, error = &error as &dyn std::error::Error, "an old rollup cannot be removed");
            }
        }
    }

    fn keep_up(&self) {
        for ((tenant, table), hot) in self.hot.all() {
            // Somebody is answering from it: that keeps it up to date as well.
            let Some(mut hot) = hot.try_lock() else { continue };
            hot.refresh(&self.lake, &tenant, table);
            if let Err(error) = hot.keep_up() {
                tracing::warn!(error = &error as &dyn std::error::Error, "rows in memory cannot be folded");
            }
        }
    }
}
