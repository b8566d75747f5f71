//! Rows of several files in the order of time, in new files.
//!
//! A k-way merge over [stretches](super::source). In memory are: a row group of each stretch that the merge is in
//! (the plan keeps these to 256 MiB, compressed; a flush's file may be in with each of its few pieces), 8,192 decoded rows
//! of each, and the file that is being written, at most 128 MiB.
//!
//! Visits add up: those of few files are joined as well.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::array::{AsArray, RecordBatch};
use ridealong_engine::datafusion::arrow::buffer::ScalarBuffer;
use ridealong_engine::datafusion::arrow::compute::interleave_record_batch;
use ridealong_engine::datafusion::arrow::datatypes::TimestampMicrosecondType;
use ridealong_engine::datafusion::arrow::error::ArrowError;
use ridealong_engine::deltalake::kernel::Add;
use thiserror::Error;

use super::plan::{Merge, outputs};
use super::source::{Reading, SourceError, Stretch};
use crate::delta::arranged;
use crate::place::Place;
use crate::schema::TIMESTAMP;
use crate::visits;
use crate::write::{TableWriter, WriteError};

/// Rows that are written at once.
const BATCH_ROWS: usize = 8_192;
/// More visits than these are merged without being joined, for which all of them have to be in memory.
const JOINED_VISITS_MAX: u64 = 200_000;

#[derive(Debug, Error)]
pub(crate) enum MergeError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("rows cannot be merged")]
    Rows(#[from] ArrowError),
    #[error("merged files cannot be written")]
    Write(#[from] WriteError),
    #[error("{expected} rows were to be merged, and there were {found}")]
    Miscounted { expected: u64, found: u64 },
}

impl Merge {
    fn writer(&self, place: &Place, table: Table) -> TableWriter {
        match self.is_settled {
            true => TableWriter::settled(place.clone(), table),
            false => TableWriter::new(place.clone(), table),
        }
    }
}

/// Writes the files. On an error nothing is added to a table, and what has been written is in `written`.
pub(crate) async fn merge(
    place: &Place,
    table: Table,
    merge: &Merge,
    written: &mut Vec<Add>,
) -> Result<(), MergeError> {
    let mut rows = Rows::of(place, table, merge).await?;
    let expected = merge.rows();
    if table == Table::Visits && expected <= JOINED_VISITS_MAX {
        let mut all = Vec::new();
        while let Some(batch) = rows.next().await? {
            all.push(batch);
        }
        counted(expected, all.iter().map(|batch| batch.num_rows() as u64).sum())?;
        let joined = arranged(table, &[visits::merged(&all)?])?;
        let mut writer = merge.writer(place, table);
        writer.write(&joined).await?;
        written.append(&mut writer.finish().await?);
        return Ok(());
    }
    let each = expected.div_ceil(outputs(merge.bytes()) as u64).max(1);
    let mut total = 0;
    let mut next = rows.next().await?;
    while next.is_some() {
        let (mut writer, mut count) = (merge.writer(place, table), 0);
        while let Some(batch) = next.take_if(|_| count < each) {
            writer.write(&batch).await?;
            count += batch.num_rows() as u64;
            next = rows.next().await?;
        }
        written.append(&mut writer.finish().await?);
        total += count;
    }
    counted(expected, total)
}

fn counted(expected: u64, found: u64) -> Result<(), MergeError> {
    if expected == found { Ok(()) } else { Err(MergeError::Miscounted { expected, found }) }
}

/// The merged rows.
struct Rows {
    /// Not begun, the earliest last.
    waiting: Vec<Stretch>,
    open: Vec<Cursor>,
    /// Of each open stretch that has rows left, the time of the next one.
    heap: BinaryHeap<Reverse<(i64, usize)>>,
    /// Batches that picked rows lie in.
    batches: Vec<RecordBatch>,
    /// (Batch, row).
    picked: Vec<(usize, usize)>,
}

struct Cursor {
    reading: Reading,
    /// Its batch among all, the times of the rows in it, and the next row.
    batch: usize,
    times: ScalarBuffer<i64>,
    row: usize,
}

impl Rows {
    async fn of(place: &Place, table: Table, merge: &Merge) -> Result<Self, SourceError> {
        let mut waiting = Vec::new();
        for file in &merge.files {
            waiting.append(&mut Stretch::all(place, table, file).await?);
        }
        waiting.sort_by_key(|stretch| Reverse(stretch.first));
        let (open, heap, batches, picked) = (Vec::new(), BinaryHeap::new(), Vec::new(), Vec::new());
        Ok(Self { waiting, open, heap, batches, picked })
    }

    /// The next rows; None when there are no more.
    async fn next(&mut self) -> Result<Option<RecordBatch>, MergeError> {
        while self.picked.len() < BATCH_ROWS {
            self.begin().await?;
            let Some(Reverse((_, at))) = self.heap.pop() else { break };
            // All that come before the next row of any other, as long as it is known.
            let others = self.heap.peek().map_or(i64::MAX, |Reverse((time, _))| *time);
            let others = self.waiting.last().map_or(others, |stretch| stretch.first.min(others));
            let cursor = &mut self.open[at];
            let until = cursor.row + (BATCH_ROWS - self.picked.len());
            while let Some(time) = cursor.times.get(cursor.row) {
                if cursor.row >= until || *time > others {
                    self.heap.push(Reverse((*time, at)));
                    break;
                }
                self.picked.push((cursor.batch, cursor.row));
                cursor.row += 1;
            }
            if cursor.row == cursor.times.len() {
                self.read_on(at).await?;
            }
        }
        if self.picked.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let merged = interleave_record_batch(&batches, &self.picked)?;
        self.picked.clear();
        self.forget();
        Ok(Some(merged))
    }

    /// Begins the stretches whose first row may be the next.
    async fn begin(&mut self) -> Result<(), SourceError> {
        loop {
            let next = self.heap.peek().map(|Reverse((time, _))| *time);
            let first = |stretch: &mut Stretch| next.is_none_or(|next| stretch.first <= next);
            let Some(stretch) = self.waiting.pop_if(first) else { return Ok(()) };
            let (reading, times) = (stretch.begin()?, ScalarBuffer::from(Vec::new()));
            self.open.push(Cursor { reading, batch: 0, times, row: 0 });
            self.read_on(self.open.len() - 1).await?;
        }
    }

    /// The next batch of an open stretch.
    async fn read_on(&mut self, at: usize) -> Result<(), SourceError> {
        let cursor = &mut self.open[at];
        while let Some(batch) = cursor.reading.next().await? {
            if batch.num_rows() > 0 {
                cursor.times = times_of(&batch);
                (cursor.batch, cursor.row) = (self.batches.len(), 0);
                self.heap.push(Reverse((cursor.times[0], at)));
                self.batches.push(batch);
                return Ok(());
            }
        }
        // At its end: what it holds in memory goes.
        (cursor.reading, cursor.times) = (Reading::Sorted(None), ScalarBuffer::from(Vec::new()));
        Ok(())
    }

    /// Lets go of the batches of which all rows have been taken.
    fn forget(&mut self) {
        let mut kept = Vec::with_capacity(self.heap.len());
        for Reverse((_, at)) in &self.heap {
            let cursor = &mut self.open[*at];
            let batch = std::mem::replace(&mut cursor.batch, kept.len());
            kept.push(self.batches[batch].clone());
        }
        self.batches = kept;
    }
}

fn times_of(rows: &RecordBatch) -> ScalarBuffer<i64> {
    let column = rows.column_by_name(TIMESTAMP).unwrap_or_else(|| unreachable!("every table has times"));
    column.as_primitive::<TimestampMicrosecondType>().values().clone()
}
