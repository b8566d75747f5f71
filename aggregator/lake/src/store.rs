//! A local object store in which what was put is on the disk when the call returns.
//!
//! `object_store`'s own local file system never syncs. Here a file is written beside its place, synced, published under
//! its name in one step (a link where it must not exist yet, a rename otherwise), and then its folder is synced, so that
//! neither a crash nor a power cut shows a torn file or loses a published one. Reading, listing and deleting are left to
//! the local file system as it is.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use ridealong_engine::deltalake::Path;
use ridealong_engine::deltalake::logstore::object_store::local::LocalFileSystem;
use ridealong_engine::deltalake::logstore::object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

/// Distinguishes unfinished files of one process.
static UNFINISHED: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
pub(crate) struct DurableStore {
    local: Arc<LocalFileSystem>,
}

impl DurableStore {
    /// Rooted at `/`.
    pub fn new() -> Self {
        Self { local: Arc::new(LocalFileSystem::new()) }
    }

    async fn publish(&self, location: &Path, payload: PutPayload, mode: Publish) -> Result<PutResult> {
        let path = self.local.path_to_filesystem(location)?;
        let location = location.to_string();
        let written = tokio::task::spawn_blocking(move || publish(&path, &payload, mode)).await;
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

fn publish(path: &FilePath, payload: &PutPayload, mode: Publish) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    make_folder(folder)?;
    let unfinished = unfinished_name(path);
    let written = write_synced(&unfinished, payload).and_then(|()| match mode {
        Publish::New => fs::hard_link(&unfinished, path),
        Publish::Replace => fs::rename(&unfinished, path),
    });
    if mode == Publish::New || written.is_err() {
        // After a link the second name goes; after a failure so does whatever was written. A leftover is harmless.
        let _ = fs::remove_file(&unfinished);
    }
    written?;
    sync_folder(folder)
}

/// A `#` and digits alone behind it keep a name out of the local file system's listings: what a crash leaves of the first
/// version of a table must not be taken for one.
pub(crate) fn unfinished_name(path: &FilePath) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("#{}{:09}", std::process::id(), UNFINISHED.fetch_add(1, Ordering::Relaxed)));
    PathBuf::from(name)
}

fn write_synced(path: &FilePath, payload: &PutPayload) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    payload.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()
}

/// Makes a folder and those above it, each made durable in its own parent.
pub(crate) fn make_folder(folder: &FilePath) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().ok_or(io::ErrorKind::InvalidInput)?;
    make_folder(parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_folder(parent),
    }
}

fn sync_folder(folder: &FilePath) -> io::Result<()> {
    File::open(folder)?.sync_all()
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
        let store = Self { local: Arc::clone(&self.local) };
        Ok(Box::new(Upload { store, location: location.clone(), parts: Vec::new() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.local.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.local.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.local.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.local.list(prefix)
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
