//! Rows at the ends of ranges: of one minute of a file, kept for a while, since a dashboard that is refreshed asks for the
//! same minute again and again.

use std::collections::BTreeSet;
use std::sync::Arc;

use moka::future::Cache;
use ridealong_engine::datafusion::arrow::array::{RecordBatch, UInt32Array};
use ridealong_engine::datafusion::arrow::compute::take_record_batch;
use ridealong_model::budget::{Account, Budget, Share};

use crate::cells::family::Level;
use crate::cells::kernel::{Window, picked};
use crate::reader::Reader;
use crate::shelf::{Rolled, ShelfError};

/// Of all minutes together.
const BYTES_MAX: u64 = 32 << 20;
/// What a minute takes beside its rows.
const MINUTE_BYTES: usize = 512;

type Key = (Arc<str>, i64, Vec<&'static str>);

pub struct Edges {
    minutes: Cache<Key, Arc<Minute>>,
    budget: Arc<Budget>,
}

/// Rows of one minute of one file, with some columns.
pub struct Minute {
    pub batches: Vec<RecordBatch>,
    bytes: usize,
    _share: Share,
}

impl Edges {
    pub fn new(budget: Arc<Budget>) -> Self {
        let weigh = |_: &Key, minute: &Arc<Minute>| u32::try_from(minute.bytes).unwrap_or(u32::MAX);
        Self { minutes: Cache::builder().max_capacity(BYTES_MAX).weigher(weigh).build(), budget }
    }

    /// The minute that a window lies in; none when it lies in several.
    pub fn minute(window: Window) -> Option<i64> {
        let length = Level::Minute.micros();
        let minute = window.0.div_euclid(length);
        (window.0 > i64::MIN && (window.1 - 1).div_euclid(length) == minute).then_some(minute)
    }

    /// Its rows.
    pub async fn rows(
        &self,
        reader: &Reader,
        file: &Rolled,
        minute: i64,
        columns: &BTreeSet<&'static str>,
    ) -> Result<Arc<Minute>, ShelfError> {
        let key = (Arc::clone(&file.key), minute, columns.iter().copied().collect());
        let reading = async {
            let length = Level::Minute.micros();
            let window = (minute * length, (minute + 1) * length);
            let mut batches = Vec::new();
            let see = |batch: &RecordBatch| -> Result<(), ShelfError> {
                let rows = picked(batch, window, &[])?;
                if !rows.is_empty() {
                    // A copy: a slice would keep all that was read with it.
                    let copy = take_record_batch(batch, &UInt32Array::from(rows));
                    batches.push(copy.map_err(crate::cells::kernel::FoldError::from)?);
                }
                Ok(())
            };
            reader.read(file.table, &file.file, columns, window, see).await?;
            let bytes = MINUTE_BYTES + batches.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
            let mut share = self.budget.share(Account::Rollups);
            share.grow(bytes as u64);
            Ok(Arc::new(Minute { batches, bytes, _share: share }))
        };
        self.minutes.try_get_with(key, reading).await.map_err(ShelfError::Shared)
    }
}
