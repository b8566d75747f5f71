use proptest::prelude::*;

use super::*;
use crate::ids::EventId;
use crate::rows::{RequestRow, Resource};
use crate::table::{events, host_metrics, requests};
use crate::time::Timestamp;

fn request_block(rows: usize) -> Block {
    let statuses = (0..rows).map(|row| (row % 3 > 0).then_some(200 + row as i64));
    let errors = (0..rows).map(|row| (row % 3 == 0).then_some("client_disconnect"));
    Block::of_rows(rows)
        .ids(requests::EVENT_ID, (0..rows).map(|row| EventId::from_u128((7 << 100) + row as u128)))
        .growing(requests::TIMESTAMP, (0..rows).map(|row| 1_700_000_000_000_000 + row as i64))
        .constant(requests::SERVICE, Some("shop"))
        .texts(requests::METHOD, (0..rows).map(|_| Some("GET")))
        .texts(requests::ROUTE, (0..rows).map(|row| Some(if row % 2 == 0 { "/" } else { "/cart" })))
        .texts(requests::PATH, (0..rows).map(|_| Some("/")))
        .optional_integers(requests::STATUS, statuses)
        .constant(requests::PROTOCOL, Some("HTTP/1.1"))
        .integers(requests::DURATION_US, (0..rows).map(|row| row as i64))
        .integers(requests::REQUEST_BYTES, (0..rows).map(|_| 0))
        .integers(requests::RESPONSE_BYTES, (0..rows).map(|_| 1024))
        .texts(requests::ERROR, errors)
        .floats(requests::SAMPLE_WEIGHT, (0..rows).map(|_| 1.0))
}

#[test]
fn what_was_built_is_read_back() {
    let block = request_block(10);
    let decoded = Block::decode(&block.encode().expect("encodes")).expect("decodes");
    assert_eq!(decoded, block);
    let checked = decoded.check(Table::Requests).expect("valid");
    assert_eq!(checked.ids(requests::EVENT_ID)[9], EventId::from_u128((7 << 100) + 9));
    assert_eq!(checked.cell(4, requests::TIMESTAMP), Cell::Integer(1_700_000_000_000_004));
    assert_eq!(checked.cell(3, requests::ROUTE), Cell::Text("/cart"));
    assert_eq!(checked.cell(3, requests::ERROR), Cell::Text("client_disconnect"));
    assert_eq!(checked.cell(4, requests::ERROR), Cell::Null);
    assert_eq!(checked.cell(0, requests::STATUS), Cell::Null);
    assert_eq!(checked.cell(0, requests::TRACE_ID), Cell::Null);
}

/// Before there were columns 21 to 30, and before one integer stood for a column of the same ones.
#[test]
fn the_first_blocks_are_still_read() {
    let golden = include_bytes!("golden/requests_v1.bin");
    let earlier = Block::decode(golden).expect("decodes").check(Table::Requests).expect("valid");
    let now = request_block(5).check(Table::Requests).expect("valid");
    for row in 0..5 {
        for column in Table::Requests.columns() {
            assert_eq!(earlier.cell(row, column.id), now.cell(row, column.id), "{} of row {row}", column.name);
        }
    }
}

#[test]
fn the_bytes_of_version_2_do_not_change() {
    let golden = include_bytes!("golden/requests_v2.bin");
    let rows = request_rows(5);
    let block = RequestRow::block(&rows, &resource());
    assert_eq!(Block::decode(golden).expect("decodes"), block);
    assert_eq!(block.encode().expect("encodes"), golden);
}

#[test]
fn rows_are_encoded_to_the_bytes_of_their_block() {
    for count in [0, 1, 2, 7, 300, 800] {
        let rows = request_rows(count);
        let encoded = RequestRow::encoded(&rows.iter().collect::<Vec<_>>(), &resource()).expect("encodes");
        assert_eq!(encoded, RequestRow::block(&rows, &resource()).encode().expect("encodes"), "{count} rows");
    }
}

/// What most services send: no gRPC, no query, no headers kept.
#[test]
fn columns_that_are_null_throughout_cost_nothing() {
    let bare =
        |row: RequestRow| RequestRow { event_id: row.event_id, timestamp: row.timestamp, ..RequestRow::default() };
    let rows: Vec<RequestRow> = request_rows(400).into_iter().map(bare).collect();
    let block = RequestRow::block(&rows, &Resource::default());
    let absent = [requests::GRPC_STATUS, requests::QUERY, requests::HEADERS, requests::DNT, requests::SEC_GPC];
    assert!(block.columns.iter().all(|column| !absent.contains(&column.id)));
}

fn resource() -> Resource {
    Resource { service: "shop".into(), version: None, environment: Some("test".into()), host: "host-1".into() }
}

/// Every column, with and without nulls, and integers of every length.
fn request_rows(count: u64) -> Vec<RequestRow> {
    let row = |at: u64| RequestRow {
        event_id: EventId::from_u128((0x0190 << 112) + u128::from(at) * 0x1_0000_0001),
        timestamp: Timestamp(1_700_000_000_000_000 - 3 * at as i64),
        method: if at.is_multiple_of(4) { "POST" } else { "GET" }.into(),
        route: "/items/{id}".into(),
        path: format!("/items/{}", at % 5),
        query: (at % 2 == 1).then(|| format!("page={at}")),
        status: (!at.is_multiple_of(3)).then_some(200 + at as u16 % 300),
        protocol: "HTTP/1.1",
        duration_us: [3, 250, 251, 70_000, 1 << 40][at as usize % 5],
        ttfb_us: Some(at),
        request_complete_us: (at > 0).then_some(at),
        upstream_connected_us: None,
        response_complete_us: Some(7),
        request_bytes: 0,
        response_bytes: 1 << (at % 40),
        error: at.is_multiple_of(3).then_some("client_disconnect"),
        grpc_status: at.is_multiple_of(4).then_some(5),
        request_id: Some(format!("request-{at}")),
        trace_id: None,
        client_address: Some("192.0.2.0".into()),
        user_agent: at.is_multiple_of(2).then(|| "curl/8".to_owned()),
        headers: None,
        dnt: Some(at.is_multiple_of(2)),
        sec_gpc: at.is_multiple_of(3).then_some(true),
        sample_weight: 1.0,
    };
    (0..count).map(row).collect()
}

#[test]
fn a_boolean_is_0_or_1() {
    let block = request_block(2).integers(requests::DNT, [1, 2].into_iter());
    let error = block.check(Table::Requests).expect_err("2 is no boolean");
    assert_eq!(error.to_string(), "column dnt (29): row 1 is neither 0 nor 1");
}

#[test]
fn a_column_of_another_table_or_type_is_named() {
    let block = request_block(3);
    let error = block.check(Table::HostMetrics).expect_err("not host metrics");
    assert!(matches!(error, BlockError::Column { .. }), "{error}");

    let error = Block::of_rows(1).floats(requests::DURATION_US, [1.0].into_iter()).check(Table::Requests);
    assert_eq!(error.expect_err("a float").to_string(), "column duration_us (13): holds another type than its table's");
}

#[test]
fn the_time_of_arrival_cannot_be_sent() {
    let block = request_block(1).integers(RECEIVED_AT, [1].into_iter());
    let error = block.check(Table::Requests).expect_err("reserved");
    assert_eq!(error.to_string(), "column received_at (3): is set by the aggregator alone");
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let block = Block::of_rows(1).floats(host_metrics::LOAD_1M, [f64::NAN].into_iter());
    let error = block.check(Table::HostMetrics).expect_err("not a number");
    assert_eq!(error.to_string(), "column load_1m (12): row 0 is not a finite number");
}

#[test]
fn a_column_that_the_reader_does_not_know_is_skipped() {
    let block = request_block(2).integers(9_999, [1, 2].into_iter());
    let checked = block.check(Table::Requests).expect("unknown columns are skipped");
    assert_eq!(checked.rows(), 2);
}

#[test]
fn a_forged_length_is_refused_without_allocating_it() {
    // rows = 1, one column, Integers with a length of 2^60.
    let bytes = [1, 1, 13, 2, 253, 0, 0, 0, 0, 0, 0, 0, 16, 1];
    assert!(matches!(Block::decode(&bytes), Err(BlockError::Malformed(_))));
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        if let Ok(block) = Block::decode(&bytes) {
            for table in Table::ALL {
                if let Ok(checked) = block.clone().check(table) {
                    read_all(&checked);
                }
            }
        }
    }

    #[test]
    fn damage_never_panics(at in 0usize..400, byte in any::<u8>()) {
        let mut bytes = request_block(7).encode().expect("encodes");
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(Ok(checked)) = Block::decode(&bytes).map(|block| block.check(Table::Requests)) {
            read_all(&checked);
        }
    }

    #[test]
    fn any_integers_survive_as_differences(values in proptest::collection::vec(any::<i64>(), 1..50)) {
        let block = Block::of_rows(values.len()).growing(requests::DURATION_US, values.iter().copied());
        let block = Block::decode(&block.encode().expect("encodes")).expect("decodes");
        let column = &block.columns[0].values;
        prop_assert_eq!(column.integers(values.len()), values.into_iter().map(Some).collect::<Vec<_>>());
    }
}

fn read_all(block: &CheckedBlock) {
    for row in 0..block.rows().min(100) {
        for column in block.table().columns() {
            let _ = block.cell(row, column.id);
        }
    }
}

#[test]
fn columns_added_to_the_bytes_are_the_columns_of_the_block() {
    for rows in [1usize, 250, 251, 70, 300] {
        let block = Block::of_rows(rows)
            .ids(events::EVENT_ID, (0..rows).map(|row| EventId::from_u128(row as u128)))
            .growing(events::TIMESTAMP, (0..rows).map(|row| row as i64))
            .constant(events::EVENT_TYPE, Some("a"));
        let encoded = block.encode().expect("encodes");
        let index: Vec<u32> = (0..rows as u32).map(|row| row % 3).collect();
        let columns = Block::of_rows(rows)
            .dictionary(events::BROWSER, vec!["Firefox".into(), "Chrome".into()], index)
            .integers(events::HOUR, (0..rows).map(|row| row as i64 % 24));
        let checked = block.clone().check(Table::Events).expect("checks");
        let amended = checked.encode_amended(&encoded, columns.clone()).expect("encodes");
        assert_eq!(Block::decode(&amended).expect("decodes"), block.clone().amended(columns.clone()));
        let again = block.amended(columns).check(Table::Events).expect("checks");
        let hours = Block::of_rows(rows).integers(events::HOUR, (0..rows).map(|_| 7));
        let replaced = again.clone().encode_amended(&amended, hours).expect("encodes");
        let replaced = Block::decode(&replaced).expect("decodes").check(Table::Events).expect("checks");
        assert_eq!(replaced.cell(rows - 1, events::HOUR), Cell::Integer(7));
        assert_eq!(replaced.values(events::BROWSER), again.values(events::BROWSER));
    }
}
