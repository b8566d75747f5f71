//! Where each table lies: below the root, or where the catalog says for its tenant. A table stays where it was made.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;

use parking_lot::Mutex;
use ridealong_engine::deltalake::logstore::object_store::ObjectStore;
use ridealong_model::location::{Location, Locations};
use ridealong_model::tenant::TenantId;
use thiserror::Error;
use url::Url;

use crate::hot::TableKey;
use crate::options::LakeOptions;
use crate::place::{BucketError, Place};
use crate::snapshot::ColdFile;

#[derive(Debug, Error)]
pub enum PlaceError {
    #[error("the tables of tenant {tenant} cannot be kept where they were told to be")]
    Bucket { tenant: String, source: Box<BucketError> },
    #[error("the task that opens a bucket ended early")]
    Ended,
}

pub(crate) struct Places {
    root: Place,
    archive: Option<Place>,
    locations: Arc<dyn Locations>,
    /// Buckets that were opened, by their roots; not the root's own.
    buckets: Mutex<BTreeMap<String, Place>>,
    /// Tables that were found or made.
    known: Mutex<BTreeMap<TableKey, Place>>,
}

impl Places {
    pub fn new(options: &LakeOptions) -> Self {
        let (root, archive, locations) = (options.root.clone(), options.archive.clone(), options.locations.clone());
        Self { root, archive, locations, buckets: Mutex::default(), known: Mutex::default() }
    }

    /// Where days lie that are kept and seldom read.
    pub fn archive(&self) -> Option<&Place> {
        self.archive.as_ref()
    }

    /// Where the archive of a table lies, or is to be made.
    pub fn archive_of(&self, key: &TableKey) -> Option<Place> {
        Some(self.archive.as_ref()?.child(&key.tenant).child(key.table.name()))
    }

    /// Where a file of a table lies, and so what takes its place.
    pub async fn of_file(self: &Arc<Self>, key: &TableKey, file: &ColdFile) -> Result<Place, PlaceError> {
        match self.archive_of(key).filter(|_| file.archived) {
            Some(archive) => Ok(archive),
            None => self.of(key).await,
        }
    }

    pub fn root(&self) -> &Place {
        &self.root
    }

    /// The tenants that are not under the root.
    pub fn located(&self) -> Vec<TenantId> {
        self.locations.located()
    }

    /// A table was found there.
    pub fn found(&self, key: TableKey, place: Place) {
        self.known.lock().insert(key, place);
    }

    /// Where a table lies, or is to be made. May open a bucket.
    pub async fn of(self: &Arc<Self>, key: &TableKey) -> Result<Place, PlaceError> {
        if let Some(place) = self.known.lock().get(key) {
            return Ok(place.clone());
        }
        let place = self.tenant(&key.tenant).await?.child(key.table.name());
        self.found(key.clone(), place.clone());
        Ok(place)
    }

    /// Below which a tenant's tables are made. May open a bucket.
    pub async fn tenant(self: &Arc<Self>, tenant: &str) -> Result<Place, PlaceError> {
        let location = TenantId::parse(tenant).ok().and_then(|tenant| self.locations.location(&tenant));
        match location {
            None => Ok(self.root.child(tenant)),
            Some(Location::Folder(folder)) => Ok(Place::folder(FilePath::new("/").join(folder))),
            Some(Location::Bucket(url)) => {
                let places = Arc::clone(self);
                let opened = tokio::task::spawn_blocking(move || places.bucket(&url)).await;
                let failed = |source| PlaceError::Bucket { tenant: tenant.to_owned(), source: Box::new(source) };
                opened.map_err(|_| PlaceError::Ended)?.map_err(failed)
            }
        }
    }

    fn bucket(&self, url: &Url) -> Result<Place, BucketError> {
        let root = format!("s3://{}/", url.host_str().unwrap_or_default());
        if self.root.store_url() == root {
            return Ok(self.root.beside(url));
        }
        let mut buckets = self.buckets.lock();
        if let Some(place) = buckets.get(&root) {
            return Ok(place.beside(url));
        }
        let place = Place::bucket(url)?;
        buckets.insert(root, place.clone());
        Ok(place)
    }

    /// The stores that files lie in, each by its root's URL.
    pub fn stores(&self) -> Vec<(String, Arc<dyn ObjectStore>)> {
        let buckets = self.buckets.lock();
        let all = std::iter::once(&self.root).chain(self.archive.as_ref()).chain(buckets.values());
        all.map(|place| (place.store_url(), Arc::clone(place.store()))).collect()
    }
}
