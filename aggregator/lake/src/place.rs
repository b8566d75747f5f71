//! Where tables lie: an object store, and a URL within it.

mod bucket;

use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use ridealong_engine::deltalake::Path;
use ridealong_engine::deltalake::logstore::object_store::ObjectStore;
use url::Url;

use crate::store::{DurableStore, Files, RealFiles};

pub use bucket::BucketError;

/// A folder, or a prefix of a bucket, that holds `{tenant}/{table}/`. Cheap to clone.
#[derive(Clone)]
pub struct Place {
    store: Arc<dyn ObjectStore>,
    /// Ends with a slash.
    url: Url,
    /// By which a local folder is changed; None for a bucket.
    files: Option<Arc<dyn Files>>,
}

impl Place {
    /// A local folder. Absolute.
    pub fn folder(folder: impl AsRef<FilePath>) -> Self {
        Self::folder_by(folder, Arc::new(RealFiles))
    }

    /// A local folder changed by these calls.
    pub(crate) fn folder_by(folder: impl AsRef<FilePath>, files: Arc<dyn Files>) -> Self {
        let folder = folder.as_ref();
        let Ok(url) = Url::from_directory_path(folder) else { panic!("{} is not absolute", folder.display()) };
        Self { store: Arc::new(DurableStore::new(Arc::clone(&files))), url, files: Some(files) }
    }

    /// `s3://BUCKET/PREFIX`, tried out. Blocks; not to be called from a runtime's thread.
    pub fn bucket(url: &Url) -> Result<Self, BucketError> {
        let url = with_slash(url);
        let store = bucket::open(&url, &path_in_store(&url))?;
        Ok(Self { store, url, files: None })
    }

    /// Another prefix of the same bucket.
    pub(crate) fn beside(&self, url: &Url) -> Self {
        Self { url: with_slash(url), ..self.clone() }
    }

    /// What lies below under this name. Names hold no slash and need no escaping.
    pub(crate) fn child(&self, name: &str) -> Self {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(name).push("");
        }
        Self { store: Arc::clone(&self.store), url, files: self.files.clone() }
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The store, in which paths begin at its root.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The root of the store, as an engine registers it: `file:///` or `s3://bucket/`.
    pub fn store_url(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        format!("{}://{host}/", self.url.scheme())
    }

    /// This place as the store names it.
    pub(crate) fn path(&self) -> Path {
        path_in_store(&self.url)
    }

    /// A file of a table that lies here, as the store names it.
    pub(crate) fn file(&self, name: &str) -> Path {
        name.split('/').fold(self.path(), |path, part| path.join(part))
    }

    /// The folder and how it is changed; None for a bucket.
    pub(crate) fn local(&self) -> Option<(PathBuf, &Arc<dyn Files>)> {
        Some((self.url.to_file_path().ok()?, self.files.as_ref()?))
    }
}

fn with_slash(url: &Url) -> Url {
    let mut url = url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().push("");
    }
    url
}

fn path_in_store(url: &Url) -> Path {
    Path::from_url_path(url.path()).unwrap_or_else(|_| Path::from(url.path()))
}

impl fmt::Debug for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Place({})", self.url)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(out)
    }
}
