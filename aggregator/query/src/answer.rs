//! A result as JSON: an array of objects, keys in the order of the select, times as RFC 3339 in UTC with microseconds.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat};
use ridealong_engine::datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UnionArray};
use ridealong_engine::datafusion::arrow::compute::cast;
use ridealong_engine::datafusion::arrow::datatypes::{
    DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use ridealong_engine::datafusion::arrow::error::ArrowError;
use ridealong_engine::datafusion::arrow::json::WriterBuilder;
use ridealong_engine::datafusion::arrow::json::writer::JsonArray;
use ridealong_model::query::{ANSWER_BYTES_MAX, AnswerColumn, QueryError};

pub(crate) fn columns(schema: &SchemaRef) -> Vec<AnswerColumn> {
    let columns = schema.fields().iter();
    columns.map(|field| AnswerColumn { name: field.name().clone(), kind: kind_name(field.data_type()) }).collect()
}

/// A type by its SQL name, as PostgreSQL would call it.
fn kind_name(kind: &DataType) -> String {
    match kind {
        DataType::Boolean => "boolean".into(),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint".into(),
        DataType::Int32 | DataType::UInt16 => "integer".into(),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => "bigint".into(),
        DataType::Float32 => "real".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytea".into(),
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Timestamp(..) => "timestamp".into(),
        // What `->` gives: a text, a number, a list … as it comes.
        DataType::Union(..) => "json".into(),
        other => other.to_string().to_lowercase(),
    }
}

/// The rows of `batches`; an error when they are more than an answer may hold.
pub(crate) fn rows_json(batches: &[RecordBatch]) -> Result<Vec<u8>, QueryError> {
    let failed = |error: ArrowError| QueryError::Failed(error.to_string());
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Bounded::default());
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        let batch = with_text_times(batch).map_err(failed)?;
        writer.write(&batch).map_err(|error| match error {
            ArrowError::IoError(..) => QueryError::TooLarge("its answer is larger than 64 MiB; select less".into()),
            ArrowError::JsonError(text) | ArrowError::NotYetImplemented(text) => {
                QueryError::Invalid(format!("a column cannot be shown, cast it to text: {text}"))
            }
            other => failed(other),
        })?;
    }
    writer.finish().map_err(failed)?;
    let bytes = writer.into_inner().0;
    Ok(if bytes.is_empty() { b"[]".to_vec() } else { bytes })
}

/// Bytes up to the limit of an answer.
#[derive(Default)]
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > ANSWER_BYTES_MAX {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(crate) fn with_text_times(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if matches!(field.data_type(), DataType::Timestamp(..)) {
            fields.push(Field::new(field.name(), DataType::Utf8, true));
            columns.push(text_times(column)?);
        } else if let Some(values) = column.as_any().downcast_ref::<UnionArray>() {
            fields.push(Field::new(field.name(), DataType::Utf8, true));
            columns.push(texts_of_any(values)?);
        } else {
            fields.push(Field::new(field.name(), field.data_type().clone(), true));
            columns.push(Arc::clone(column));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// Values of more than one type as text.
fn texts_of_any(values: &UnionArray) -> Result<ArrayRef, ArrowError> {
    let texts = (0..values.len()).map(|row| {
        let text = cast(&values.value(row), &DataType::Utf8)?;
        let text = text.as_string::<i32>();
        Ok(text.is_valid(0).then(|| text.value(0).to_owned()))
    });
    Ok(Arc::new(texts.collect::<Result<StringArray, ArrowError>>()?))
}

fn text_times(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let micros = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    let texts: StringArray = micros
        .as_primitive::<TimestampMicrosecondType>()
        .iter()
        .map(|time| {
            let time = DateTime::from_timestamp_micros(time?)?;
            Some(time.to_rfc3339_opts(SecondsFormat::Micros, true))
        })
        .collect();
    Ok(Arc::new(texts))
}
