//! From a log entry to Arrow. An entry's payload is an encoded block that ingest has checked.

use std::sync::Arc;

use ridealong_common::block::{Block, BlockError, CheckedBlock, Values};
use ridealong_common::table::{Column, ColumnKind, RECEIVED_AT, Table};
use ridealong_engine::datafusion::arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Float64Array, Int64Array, RecordBatch, StringBuilder,
    TimestampMicrosecondArray, new_null_array,
};
use ridealong_engine::datafusion::arrow::compute::{concat_batches, filter_record_batch};
use ridealong_engine::datafusion::arrow::error::ArrowError;
use ridealong_engine::datafusion::common::DataFusionError;
use ridealong_wal::Entry;
use thiserror::Error;

use crate::schema::file_schema;

#[derive(Debug, Error)]
pub(crate) enum ConvertError {
    #[error("an entry of the log holds no valid block")]
    Block(#[from] BlockError),
    #[error("an entry's rows do not fit together")]
    Arrow(#[from] ArrowError),
    #[error("what was changed in an entry's rows cannot be changed again")]
    Mutation(#[from] DataFusionError),
}

/// The rows of an entry that count, with the columns of the data files.
pub(crate) fn rows_of(entry: &Entry) -> Result<RecordBatch, ConvertError> {
    let block = Block::decode(&entry.payload)?.check(entry.table)?;
    assert_eq!(block.rows(), entry.rows as usize, "the log counts the rows of its payload");
    let batch = batch_of(&block, entry.received_at_us)?;
    if entry.skipped_rows.is_empty() {
        return Ok(batch);
    }
    let mut kept = vec![true; block.rows()];
    for row in &entry.skipped_rows {
        kept[*row as usize] = false;
    }
    Ok(filter_record_batch(&batch, &BooleanArray::from(kept))?)
}

/// One batch of several of one table.
pub(crate) fn joined(table: Table, batches: &[RecordBatch]) -> Result<RecordBatch, ConvertError> {
    match batches {
        [single] => Ok(single.clone()),
        several => Ok(concat_batches(&file_schema(table), several)?),
    }
}

fn batch_of(block: &CheckedBlock, received_at_us: i64) -> Result<RecordBatch, ConvertError> {
    let schema = file_schema(block.table());
    let columns = block.table().columns().iter().zip(schema.fields()).map(|(column, field)| {
        if column.id == RECEIVED_AT {
            return Arc::new(TimestampMicrosecondArray::from(vec![received_at_us; block.rows()])) as ArrayRef;
        }
        match block.values(column.id) {
            Some(values) => array_of(block, column, values),
            None => new_null_array(field.data_type(), block.rows()),
        }
    });
    Ok(RecordBatch::try_new(schema.clone(), columns.collect())?)
}

fn array_of(block: &CheckedBlock, column: &Column, values: &Values) -> ArrayRef {
    let rows = block.rows();
    match column.kind {
        ColumnKind::Id => {
            let mut ids = BinaryBuilder::with_capacity(rows, 16 * rows);
            block.ids(column.id).iter().for_each(|id| ids.append_value(id.to_bytes()));
            Arc::new(ids.finish())
        }
        ColumnKind::Time => Arc::new(TimestampMicrosecondArray::from(values.integers(rows))),
        ColumnKind::Integer => Arc::new(Int64Array::from(values.integers(rows))),
        ColumnKind::Boolean => {
            let booleans = values.integers(rows).into_iter().map(|value| value.map(|value| value == 1));
            Arc::new(booleans.collect::<BooleanArray>())
        }
        ColumnKind::Float => Arc::new(floats(values)),
        ColumnKind::Text => Arc::new(texts(values, rows).finish()),
        ColumnKind::Sketch => {
            let Values::Blobs(blobs) = values else { unreachable!("a checked block has blobs as sketches") };
            let mut bytes = BinaryBuilder::new();
            blobs.iter().for_each(|blob| bytes.append_value(blob));
            Arc::new(bytes.finish())
        }
    }
}

fn floats(values: &Values) -> Float64Array {
    match values {
        Values::Floats(values) => Float64Array::from(values.clone()),
        Values::OptionalFloats(values) => Float64Array::from(values.clone()),
        _ => unreachable!("a checked block has floats in a float column"),
    }
}

fn texts(values: &Values, rows: usize) -> StringBuilder {
    let mut builder = StringBuilder::with_capacity(rows, 16 * rows);
    match values {
        Values::Text(text) => (0..rows).for_each(|_| builder.append_value(text)),
        Values::Dictionary { texts, index } => index.iter().for_each(|entry| match entry {
            0 => builder.append_null(),
            entry => builder.append_value(&texts[*entry as usize - 1]),
        }),
        _ => unreachable!("a checked block has texts in a text column"),
    }
    builder
}

#[cfg(test)]
pub(crate) mod tests;
