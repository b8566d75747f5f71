//! What is exported, read again by the libraries' own readers: the same rows in the same order, whatever their types and however
//! they were cut into batches; and nothing that breaks off passes for all.

use std::io::Cursor;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use ridealong_engine::datafusion::arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, DictionaryArray, Float64Array, Int64Array, ListArray, NullArray,
    RecordBatch, StringArray, StringViewArray, StructArray, TimestampMicrosecondArray,
};
use ridealong_engine::datafusion::arrow::compute::{cast, concat_batches};
use ridealong_engine::datafusion::arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use ridealong_engine::datafusion::arrow::ipc::reader::StreamReader;
use ridealong_engine::datafusion::common::DataFusionError;
use ridealong_engine::datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ridealong_model::export::ExportFormat;
use ridealong_model::query::QueryError;
use tokio::sync::mpsc;

use super::chunks::{Chunks, Part};
use super::{format, whole};

fn column(name: &str, array: ArrayRef) -> (Field, ArrayRef) {
    (Field::new(name, array.data_type().clone(), true), array)
}

/// Rows `from..to`, every type with nulls.
fn batch(from: i64, to: i64) -> RecordBatch {
    let every = |rest: i64| move |row: i64| (row % 7 != rest).then_some(row);
    let text = |row: i64| format!("text {} é\"\n", row % 1_000);
    let texts = || (from..to).map(every(1)).map(|row| row.map(text));
    let numbers: ArrayRef = Arc::new((from..to).map(every(2)).collect::<Int64Array>());
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(
        (from..to).map(|row| (row % 5 != 0).then(|| (0..row % 4).map(|item| (item != 2).then_some(item)))),
    );
    let inner = StringArray::from_iter(texts());
    let structs = StructArray::from(vec![
        (Arc::new(Field::new("number", DataType::Int64, true)), Arc::clone(&numbers)),
        (Arc::new(Field::new("text", DataType::Utf8, true)), Arc::new(inner) as ArrayRef),
    ]);
    let named: DictionaryArray<Int32Type> =
        (from..to).map(|row| (row % 3 != 0).then_some(["a", "b"][(row % 2) as usize])).collect();
    let columns = vec![
        column("number", numbers),
        column("text", Arc::new(StringArray::from_iter(texts()))),
        column("view", Arc::new(StringViewArray::from_iter(texts()))),
        column("named", Arc::new(named)),
        column("half", Arc::new((from..to).map(|row| Some(row as f64 / 2.0)).collect::<Float64Array>())),
        column(
            "even",
            Arc::new((from..to).map(every(3)).map(|row| row.map(|row| row % 2 == 0)).collect::<BooleanArray>()),
        ),
        column("time", Arc::new((from..to).map(every(4)).collect::<TimestampMicrosecondArray>())),
        column("day", Arc::new((from..to).map(|row| Some(row as i32)).collect::<Date32Array>())),
        column(
            "bytes",
            Arc::new((from..to).map(|row| (row % 6 != 0).then(|| row.to_be_bytes())).collect::<BinaryArray>()),
        ),
        column("list", Arc::new(lists)),
        column("struct", Arc::new(structs)),
        column("nothing", Arc::new(NullArray::new((to - from) as usize))),
    ];
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("a batch")
}

/// The rows of these batches with the types that readers get.
fn expected(batches: &[RecordBatch], schema: &SchemaRef) -> RecordBatch {
    let all = concat_batches(&batches[0].schema(), batches).expect("one batch");
    let columns = all.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()).expect("a plain type")).collect();
    RecordBatch::try_new(Arc::clone(schema), columns).expect("a batch")
}

async fn exported(format: ExportFormat, batches: Vec<RecordBatch>) -> Result<Vec<u8>, QueryError> {
    let schema = batches[0].schema();
    let (sender, mut pieces) = mpsc::channel(2);
    let writing = tokio::spawn(async move {
        let mut chunks = Chunks::new(sender);
        let rows = stream::iter(batches.into_iter().map(Ok::<_, DataFusionError>)).boxed();
        format::write(format, schema, rows, 2, &mut chunks).await.expect("written");
        chunks.end().await.expect("taken");
    });
    let bytes = whole(stream::poll_fn(move |context| pieces.poll_recv(context)));
    let bytes: Vec<Bytes> = bytes.try_collect().await?;
    writing.await.expect("it ends");
    Ok(bytes.concat())
}

/// Cut in odd places: batches of a row and of many, row groups that end within one.
fn cuts() -> Vec<RecordBatch> {
    let ends = [0, 1, 8_000, 8_001, 100_000, 131_072, 131_073, 262_200, 262_201, 300_000];
    ends.windows(2).map(|pair| batch(pair[0], pair[1])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_holds_the_rows_in_their_order() {
    let batches = cuts();
    let bytes = exported(ExportFormat::Parquet, batches.clone()).await.expect("all of it");
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).expect("a file");
    let groups: Vec<i64> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [131_072, 131_072, 37_856]);
    let schema = Arc::clone(reader.schema());
    let read: Vec<RecordBatch> = reader.build().expect("a reader").collect::<Result<_, _>>().expect("rows");
    let read = concat_batches(&schema, &read).expect("one batch");
    assert_eq!(read, expected(&batches, &schema));
}

#[tokio::test(flavor = "multi_thread")]
async fn arrow_holds_the_rows_in_their_order() {
    let batches = cuts();
    let bytes = exported(ExportFormat::Arrow, batches.clone()).await.expect("all of it");
    let reader = StreamReader::try_new(Cursor::new(bytes), None).expect("a stream");
    let schema = reader.schema();
    let plain = |field: &Arc<Field>| !matches!(field.data_type(), DataType::Utf8View | DataType::Dictionary(..));
    assert!(schema.fields().iter().all(plain), "{schema}");
    let read: Vec<RecordBatch> = reader.collect::<Result<_, _>>().expect("rows");
    assert_eq!(concat_batches(&schema, &read).expect("one batch"), expected(&batches, &schema));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rows_are_a_whole_file_too() {
    for format in ExportFormat::ALL {
        let bytes = exported(format, vec![batch(0, 0)]).await.expect("all of it");
        match format {
            ExportFormat::Parquet => {
                let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).expect("a file");
                assert_eq!(reader.schema().fields().len(), 12);
            }
            ExportFormat::Arrow => {
                let reader = StreamReader::try_new(Cursor::new(bytes), None).expect("a stream");
                assert_eq!(reader.map(|batch| batch.expect("a batch").num_rows()).sum::<usize>(), 0);
            }
            ExportFormat::Csv => assert!(bytes.starts_with(b"number,text,view,") && bytes.ends_with(b"nothing\r\n")),
            ExportFormat::Ndjson => assert!(bytes.is_empty()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_have_a_line_a_row() {
    let batches = vec![batch(0, 5_000), batch(5_000, 5_003)];
    let lines = exported(ExportFormat::Ndjson, batches.clone()).await.expect("all of it");
    let rows: Vec<serde_json::Value> = lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect();
    assert_eq!(rows.len(), 5_003);
    for (at, row) in rows.iter().enumerate() {
        let number = (at % 7 != 2).then_some(at);
        assert_eq!(row["number"], serde_json::json!(number), "{row}");
    }
    let csv = exported(ExportFormat::Csv, batches).await.expect("all of it");
    let csv = String::from_utf8(csv).expect("UTF-8");
    let first = "0,\"text 0 é\"\"\n\",\"text 0 é\"\"\n\",,0.0,true,1970-01-01T00:00:00.000000Z,1970-01-01,,";
    assert_eq!(csv.split("\r\n").nth(1).map(|line| line.starts_with(first)), Some(true), "{csv:.300}");
    assert_eq!(csv.matches("\r\n").count(), 5_004);
}

#[tokio::test]
async fn a_stream_that_ends_without_saying_so_is_an_error() {
    let piece = || Part::Bytes(Bytes::from_static(b"some"));
    for (parts, is_whole) in [
        (vec![piece(), Part::End], true),
        (vec![Part::End], true),
        (vec![piece()], false),
        (vec![], false),
        (vec![piece(), Part::Broken(QueryError::Busy)], false),
    ] {
        let shown = format!("{parts:?}");
        let items: Vec<Result<Bytes, QueryError>> = whole(stream::iter(parts)).collect().await;
        assert_eq!(items.iter().all(Result::is_ok), is_whole, "{shown}");
        assert!(items.iter().rev().skip(1).all(Result::is_ok), "an error is the last: {shown}");
    }
}
