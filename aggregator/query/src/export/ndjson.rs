//! NDJSON: one object a line, each with all keys in the order of the select; times as answers of queries have them.

use ridealong_engine::datafusion::arrow::array::RecordBatch;
use ridealong_engine::datafusion::arrow::json::WriterBuilder;
use ridealong_engine::datafusion::arrow::json::writer::LineDelimited;
use ridealong_engine::datafusion::common::DataFusionError;

use crate::answer::with_text_times;

pub(super) fn lines(batch: &RecordBatch) -> Result<Vec<u8>, DataFusionError> {
    let batch = with_text_times(batch)?;
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(&batch)?;
    writer.finish()?;
    Ok(writer.into_inner())
}
