use std::sync::Arc;

use ridealong_common::ids::EventId;
use ridealong_common::rows::{RequestRow, Resource, SummaryRow};
use ridealong_common::sketch::Sketch;
use ridealong_common::time::Timestamp;
use ridealong_engine::datafusion::arrow::array::{Array, AsArray};
use ridealong_engine::datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use ridealong_wal::Position;

use super::*;

fn entry(table: Table, block: &Block, skipped_rows: Vec<u32>) -> Entry {
    Entry {
        position: Position(1),
        tenant: Arc::from("default"),
        table,
        received_at_us: 77,
        numbers: None,
        announced: 0,
        rows: block.rows(),
        skipped_rows,
        payload: block.encode().expect("encodes").into(),
    }
}

/// Requests as the lake gets them.
pub(crate) fn rows(requests: &[RequestRow]) -> RecordBatch {
    let block = RequestRow::block(requests, &Resource::default());
    rows_of(&entry(Table::Requests, &block, Vec::new())).expect("converts")
}

pub(crate) fn request(number: u64) -> RequestRow {
    RequestRow {
        event_id: EventId::from_u128(u128::from(number)),
        timestamp: Timestamp(1_700_000_000_000_000 + number as i64),
        method: "GET".into(),
        route: "/".into(),
        path: "/".into(),
        status: (!number.is_multiple_of(3)).then_some(200),
        protocol: "HTTP/1.1",
        duration_us: number,
        ttfb_us: None,
        request_bytes: 0,
        response_bytes: number * 2,
        error: number.is_multiple_of(3).then_some("upstream_reset"),
        sample_weight: 1.0,
        ..RequestRow::default()
    }
}

#[test]
fn requests_become_columns_with_ids_times_and_nulls() {
    let rows: Vec<RequestRow> = (0..6).map(request).collect();
    let block = RequestRow::block(&rows, &Resource { service: "shop".into(), ..Resource::default() });
    let batch = rows_of(&entry(Table::Requests, &block, Vec::new())).expect("converts");
    assert_eq!(batch.num_rows(), 6);
    assert_eq!(batch.schema(), file_schema(Table::Requests));
    let column = |name: &str| batch.column_by_name(name).expect("a column");
    assert_eq!(column("event_id").as_binary::<i32>().value(5), 5u128.to_be_bytes());
    assert_eq!(column("timestamp").as_primitive::<TimestampMicrosecondType>().value(2), 1_700_000_000_000_002);
    assert_eq!(column("received_at").as_primitive::<TimestampMicrosecondType>().value(2), 77);
    assert_eq!(column("service").as_string::<i32>().value(0), "shop");
    assert!(column("status").is_null(3) && column("error").is_valid(3));
    assert_eq!(column("ttfb_us").null_count(), 6);
    assert_eq!(column("response_bytes").as_primitive::<Int64Type>().value(4), 8);
}

#[test]
fn rows_that_the_log_skips_do_not_count() {
    let rows: Vec<RequestRow> = (0..5).map(request).collect();
    let block = RequestRow::block(&rows, &Resource::default());
    let batch = rows_of(&entry(Table::Requests, &block, vec![0, 3])).expect("converts");
    let durations = batch.column_by_name("duration_us").expect("a column").as_primitive::<Int64Type>();
    assert_eq!(durations.values(), &[1, 2, 4]);
}

#[test]
fn sketches_stay_as_they_are() {
    let mut sketch = Sketch::new();
    sketch.add(1_234);
    let summary = SummaryRow {
        timestamp: Timestamp(10_000_000),
        route: "/".into(),
        method: "GET".into(),
        status: None,
        count: 1,
        error_count: 0,
        duration_sum_us: 1_234,
        duration_max_us: 1_234,
        duration_sketch: sketch.clone(),
        request_bytes: 0,
        response_bytes: 0,
    };
    let block = SummaryRow::block(&[summary], &Resource::default());
    let batch = rows_of(&entry(Table::RequestSummaries, &block, Vec::new())).expect("converts");
    let bytes = batch.column_by_name("duration_sketch").expect("a column").as_binary::<i32>().value(0);
    assert_eq!(Sketch::decode(bytes), Ok(sketch));
}

#[test]
fn a_damaged_payload_is_an_error_and_no_panic() {
    let block = RequestRow::block(&[request(1)], &Resource::default());
    let mut damaged = entry(Table::Requests, &block, Vec::new());
    damaged.payload = damaged.payload.slice(..10);
    assert!(matches!(rows_of(&damaged), Err(ConvertError::Block(_))));
}
