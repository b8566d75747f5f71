//! A commit that is not whole, at the end of a table's log. The store syncs what it publishes, so only a disk that lies
//! about that can leave one; it must not keep the table from being opened, since the write-ahead log still has its rows:
//! that is let go only when the commit behind it is on the disk. Only the last commit is looked at; a torn one before it is
//! damage, and the table is not opened.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::store::Files;

/// Moves a last commit that is not whole out of the table's sight, durably; where it is now.
pub(crate) fn set_aside(files: &dyn Files, table: &Path) -> io::Result<Option<PathBuf>> {
    let folder = table.join("_delta_log");
    let Some(last) = last_commit(&folder)? else { return Ok(None) };
    if is_whole(&fs::read(&last)?) {
        return Ok(None);
    }
    let mut aside = last.clone().into_os_string();
    aside.push(".torn");
    let aside = PathBuf::from(aside);
    files.rename(&last, &aside)?;
    files.sync_folder(&folder)?;
    Ok(Some(aside))
}

fn last_commit(folder: &Path) -> io::Result<Option<PathBuf>> {
    if !folder.is_dir() {
        return Ok(None);
    }
    let mut last: Option<PathBuf> = None;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if is_commit(&path) && last.as_ref().is_none_or(|last| *last < path) {
            last = Some(path);
        }
    }
    Ok(last)
}

fn is_commit(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let version = name.and_then(|name| name.strip_suffix(".json"));
    version.is_some_and(|digits| digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Lines of JSON objects, at least one.
fn is_whole(commit: &[u8]) -> bool {
    let mut lines = commit.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).peekable();
    lines.peek().is_some() && lines.all(|line| serde_json::from_slice::<serde_json::Map<_, _>>(line).is_ok())
}
