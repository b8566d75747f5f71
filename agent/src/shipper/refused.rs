//! Batches that the aggregator will never take, kept for a person to look at: the newest few.

use std::fs;
use std::path::Path;

use crate::spool::Parcel;

/// Files kept; the oldest goes.
const FILES_MAX: usize = 20;

/// Writes the parcel's chunks as they were spooled into a file of their own. What fails here is only logged: the rows are
/// counted as refused all the same.
pub(super) fn keep(folder: &Path, parcel: &Parcel) {
    let first = parcel.chunks.first().map_or(0, |chunk| chunk.first);
    let path = folder.join(format!("{}-{first:020}.chunks", parcel.producer));
    let bytes: Vec<u8> = parcel.chunks.iter().flat_map(|chunk| chunk.encode()).collect();
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, bytes)).and_then(|()| prune(folder));
    if let Err(error) = written {
        tracing::warn!(file = %path.display(), %error, "refused batch cannot be kept");
    }
}

fn prune(folder: &Path) -> std::io::Result<()> {
    let mut files: Vec<_> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    // Names begin with a producer, which sorts by the time of its start.
    files.sort();
    let surplus = files.len().saturating_sub(FILES_MAX);
    files.into_iter().take(surplus).try_for_each(fs::remove_file)
}
