//! Parquet's way to a file in an object store.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use ridealong_engine::datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use ridealong_engine::datafusion::parquet::arrow::async_reader::AsyncFileReader;
use ridealong_engine::datafusion::parquet::errors::{ParquetError, Result};
use ridealong_engine::datafusion::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use ridealong_engine::deltalake::Path;
use ridealong_engine::deltalake::logstore::object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};

/// Where a file lies. Cheap to clone.
#[derive(Clone)]
pub(super) struct StoredFile {
    store: Arc<dyn ObjectStore>,
    path: Path,
    bytes: u64,
}

impl StoredFile {
    /// `path`: as the store names it; `bytes`: its size.
    pub fn new(store: Arc<dyn ObjectStore>, path: Path, bytes: u64) -> Self {
        Self { store, path, bytes }
    }
}

impl AsyncFileReader for StoredFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        self.store.get_range(&self.path, range).map_err(unread).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move { self.store.get_ranges(&self.path, &ranges).await.map_err(unread) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        async move {
            let bytes = self.bytes;
            let reader = ParquetMetaDataReader::new().with_arrow_reader_options(options);
            Ok(Arc::new(reader.load_and_finish(self, bytes).await?))
        }
        .boxed()
    }
}

fn unread(error: StoreError) -> ParquetError {
    ParquetError::External(Box::new(error))
}
