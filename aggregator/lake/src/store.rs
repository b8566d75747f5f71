//! A local object store in which what was put is on the disk when the call returns.
//!
//! `object_store`'s own local file system never syncs. Here a file is written beside its place, synced, published under
//! its name in one step (a link where it must not exist yet, a rename otherwise), and then its folder is synced, so that
//! neither a crash nor a power cut shows a torn file or loses a published one. Parts of files are read here too. Listing
//! and deleting are left to the local file system as it is.

mod files;
#[cfg(test)]
pub(crate) mod forgetful;

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use ridealong_engine::deltalake::Path;
use ridealong_engine::deltalake::logstore::object_store::local::LocalFileSystem;
use ridealong_engine::deltalake::logstore::object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

pub(crate) use files::{Files, RealFiles};

/// Distinguishes unfinished files of one process.
static UNFINISHED: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
pub(crate) struct DurableStore {
    local: Arc<LocalFileSystem>,
    files: Arc<dyn Files>,
    /// Parts of files are read by the thread that asks.
    in_place: bool,
}

impl DurableStore {
    /// Rooted at `/`.
    pub fn new(files: Arc<dyn Files>) -> Self {
        Self { local: Arc::new(LocalFileSystem::new()), files, in_place: false }
    }

    /// For queries, whose threads are their own: what they read mostly lies in the system's cache, and handing a read to
    /// another thread and back takes longer than it.
    pub fn for_queries() -> Self {
        Self { in_place: true, ..Self::new(Arc::new(RealFiles)) }
    }

    async fn publish(&self, location: &Path, payload: PutPayload, mode: Publish) -> Result<PutResult> {
        let path = self.local.path_to_filesystem(location)?;
        let (location, files) = (location.to_string(), Arc::clone(&self.files));
        let written = tokio::task::spawn_blocking(move || publish(&*files, &path, &payload, mode)).await;
        match written.map_err(|error| Error::JoinError { source: error })? {
            Ok(()) => Ok(PutResult { e_tag: None, version: None }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists { path: location, source: Box::new(error) })
            }
            Err(error) => Err(Error::Generic { store: "durable local store", source: Box::new(error) }),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Publish {
    New,
    Replace,
}

fn publish(files: &dyn Files, path: &FilePath, payload: &PutPayload, mode: Publish) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    make_folder(files, folder)?;
    let unfinished = unfinished_name(path);
    let written = files.write_synced(&unfinished, payload).and_then(|()| match mode {
        Publish::New => files.link(&unfinished, path),
        Publish::Replace => files.rename(&unfinished, path),
    });
    if mode == Publish::New || written.is_err() {
        // After a link the second name goes; after a failure so does whatever was written. A leftover is harmless.
        let _ = files.remove(&unfinished);
    }
    written?;
    files.sync_folder(folder)
}

/// Parts of a file, each in one call and into memory that is written once: the local file system's own reading fills it
/// with zeros before.
fn read(path: &FilePath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
    let unread = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Error::NotFound { path: path.display().to_string(), source: Box::new(error) },
        _ => Error::Generic { store: "durable local store", source: Box::new(error) },
    };
    let file = File::open(path).map_err(unread)?;
    let bytes = file.metadata().map_err(unread)?.len();
    let part = |range: &Range<u64>| {
        if range.start > range.end || range.end > bytes {
            let text = format!("{range:?} asked of the {bytes} bytes of {}", path.display());
            return Err(unread(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
        }
        let mut part = vec![0; (range.end - range.start) as usize];
        file.read_exact_at(&mut part, range.start).map_err(unread)?;
        Ok(Bytes::from(part))
    };
    ranges.iter().map(part).collect()
}

/// `#` and nothing but digits after it keep a file out of the local file system's listings: one that a crash left behind
/// must not be taken for the commit that it was to become. The time tells it from one of an earlier process.
pub(crate) fn unfinished_name(path: &FilePath) -> PathBuf {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let number = UNFINISHED.fetch_add(1, Ordering::Relaxed);
    let mut name = path.as_os_str().to_owned();
    name.push(format!("#{since_1970}{:010}{number:010}", std::process::id()));
    PathBuf::from(name)
}

/// Makes a folder and those above it, each made durable in its own parent.
pub(crate) fn make_folder(files: &dyn Files, folder: &FilePath) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().ok_or(io::ErrorKind::InvalidInput)?;
    make_folder(files, parent)?;
    files.make_folder(folder)?;
    files.sync_folder(parent)
}

impl fmt::Display for DurableStore {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("DurableStore")
    }
}

#[async_trait]
impl ObjectStore for DurableStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let mode = match options.mode {
            PutMode::Create => Publish::New,
            PutMode::Overwrite => Publish::Replace,
            PutMode::Update(_) => {
                return Err(Error::NotImplemented {
                    operation: "conditional update".into(),
                    implementer: "durable local store".into(),
                });
            }
        };
        self.publish(location, payload, mode).await
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let store = Self { local: Arc::clone(&self.local), files: Arc::clone(&self.files), in_place: self.in_place };
        Ok(Box::new(Upload { store, location: location.clone(), parts: Vec::new() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.local.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (path, ranges) = (self.local.path_to_filesystem(location)?, ranges.to_vec());
        if self.in_place {
            return read(&path, &ranges);
        }
        let read = tokio::task::spawn_blocking(move || read(&path, &ranges)).await;
        read.map_err(|error| Error::JoinError { source: error })?
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.local.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.local.list(prefix)
    }

    /// Left out, all files would be asked for their size and age, at each commit: a thousand of a table's log.
    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.local.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.local.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let bytes = self.local.get_opts(from, GetOptions::default()).await?.bytes().await?;
        let mode = match options.mode {
            CopyMode::Create => Publish::New,
            CopyMode::Overwrite => Publish::Replace,
        };
        self.publish(to, PutPayload::from(bytes), mode).await.map(drop)
    }
}

/// Parts in memory until they are complete: the lake's files are bounded by the flush size.
#[derive(Debug)]
struct Upload {
    store: DurableStore,
    location: Path,
    parts: Vec<Bytes>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.extend(data.iter().cloned());
        Box::pin(std::future::ready(Ok(())))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let payload: PutPayload = std::mem::take(&mut self.parts).into_iter().collect();
        self.store.publish(&self.location, payload, Publish::Replace).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
