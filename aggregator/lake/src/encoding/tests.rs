use std::sync::Arc;

use bytes::Bytes;
use ridealong_engine::datafusion::arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use ridealong_engine::datafusion::arrow::compute::concat_batches;
use ridealong_engine::datafusion::parquet::arrow::ArrowWriter;
use ridealong_engine::datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ridealong_engine::datafusion::parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaDataReader,
};
use ridealong_engine::datafusion::parquet::file::page_index::column_index::ColumnIndexMetaData;

use super::*;
use crate::schema::file_schema;

/// More than a page, so that the page index has something to tell.
const ROWS: usize = 2 * PAGE_ROWS + 7;

fn tables() -> impl Iterator<Item = Table> {
    Table::ALL.into_iter().chain(Table::DERIVED)
}

/// Every fifth value null; the others distinct, or few with negative ones, extremes and empty texts among them.
fn rows(table: Table, distinct: bool) -> RecordBatch {
    let number = |at: usize| if distinct { at as i64 * 7_919 } else { [0, -1, i64::MIN, i64::MAX, 200][at % 5] };
    let text = |at: usize| if distinct { format!("/items/{at}-é") } else { ["", "GET", "POST"][at % 3].to_owned() };
    let some = |at: usize| !at.is_multiple_of(5);
    let columns = table.columns().iter().map(|column| match column.kind {
        ColumnKind::Time if column.name == TIMESTAMP => {
            Arc::new(TimestampMicrosecondArray::from_iter_values((0..ROWS as i64).map(|at| at * 1_000))) as ArrayRef
        }
        ColumnKind::Time => {
            Arc::new((0..ROWS).map(|at| some(at).then(|| number(at))).collect::<TimestampMicrosecondArray>())
        }
        ColumnKind::Integer => Arc::new((0..ROWS).map(|at| some(at).then(|| number(at))).collect::<Int64Array>()),
        ColumnKind::Float => {
            Arc::new((0..ROWS).map(|at| some(at).then(|| number(at) as f64 / 3.0)).collect::<Float64Array>())
        }
        ColumnKind::Boolean => {
            Arc::new((0..ROWS).map(|at| some(at).then(|| at.is_multiple_of(2))).collect::<BooleanArray>())
        }
        ColumnKind::Id => {
            Arc::new((0..ROWS).map(|at| Some((at as u128 * 0x1_0001).to_be_bytes())).collect::<BinaryArray>())
        }
        ColumnKind::Text => Arc::new((0..ROWS).map(|at| some(at).then(|| text(at))).collect::<StringArray>()),
        ColumnKind::Sketch => {
            Arc::new((0..ROWS).map(|at| some(at).then(|| text(at).into_bytes())).collect::<BinaryArray>())
        }
    });
    RecordBatch::try_new(file_schema(table), columns.collect()).expect("a batch")
}

fn file(rows: &RecordBatch, properties: WriterProperties) -> Bytes {
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).expect("a writer");
    writer.write(rows).expect("written");
    writer.into_inner().expect("closed").into()
}

#[test]
fn every_column_of_every_table_reads_back_as_it_was_written() {
    for table in tables() {
        for properties in [properties(table), settled(table)] {
            for distinct in [false, true] {
                let rows = rows(table, distinct);
                let file = file(&rows, properties.clone());
                let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("a file").build().expect("a reader");
                let read = reader.collect::<Result<Vec<_>, _>>().expect("read");
                let read = concat_batches(&rows.schema(), &read).expect("joined");
                assert_eq!(read, rows, "{} distinct: {distinct}", table.name());
            }
        }
    }
}

#[test]
fn files_say_what_lets_a_query_skip_rows() {
    for table in tables() {
        for properties in [properties(table), settled(table)] {
            let file = file(&rows(table, true), properties);
            let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
            let metadata = reader.parse_and_finish(&file).expect("metadata");
            assert_eq!(metadata.file_metadata().created_by(), Some(CREATED_BY));
            let indexes = metadata.column_index().expect("page indexes");
            for (at, column) in table.columns().iter().enumerate() {
                let chunk = metadata.row_group(0).column(at);
                let what = (table.name(), column.name);
                let has_pages = column.name == TIMESTAMP || column.kind == ColumnKind::Id;
                assert_eq!(!matches!(indexes[0][at], ColumnIndexMetaData::NONE), has_pages, "page index of {what:?}");
                assert_eq!(chunk.statistics().is_none(), UNORDERED.contains(&column.name), "statistics of {what:?}");
                assert_eq!(chunk.bloom_filter_offset().is_some(), has_filter(table, column.name), "filter of {what:?}");
            }
        }
    }
}

#[test]
fn columns_are_encoded_as_measured() {
    let file = file(&rows(Table::Requests, false), properties(Table::Requests));
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).expect("metadata");
    let chunk = |name: &str| -> &ColumnChunkMetaData {
        let mut chunks = metadata.row_group(0).columns().iter();
        chunks.find(|chunk| chunk.column_path().string() == name).expect("a column")
    };
    for (name, expected) in [
        ("event_id", Encoding::DELTA_BYTE_ARRAY),
        ("timestamp", Encoding::DELTA_BINARY_PACKED),
        ("received_at", Encoding::RLE_DICTIONARY),
        ("duration_us", Encoding::BYTE_STREAM_SPLIT),
        ("response_bytes", Encoding::RLE_DICTIONARY),
        ("path", Encoding::RLE_DICTIONARY),
    ] {
        assert!(chunk(name).encodings().any(|encoding| encoding == expected), "{name} is not {expected}");
        assert!(matches!(chunk(name).compression(), Compression::ZSTD(_)), "{name} is not compressed");
    }
}
