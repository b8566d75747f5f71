use ridealong_common::block::Block;
use ridealong_common::chunk::Chunk;
use ridealong_common::frame::Frame;
use ridealong_common::ids::EventId;
use ridealong_common::rows::{RequestRow, Resource};
use ridealong_common::table::{Table, requests};
use ridealong_wal::WalOptions;
use ridealong_wal::disk::RealDisk;
use serde_json::json;

use super::*;
use crate::events::EventStatus;

struct Sandbox {
    _folder: tempfile::TempDir,
    wal: Wal,
    ingest: Ingest,
    tenant: TenantId,
}

impl Sandbox {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (wal, _) = Wal::open(WalOptions::new(folder.path())).expect("a log");
        let catalog = Catalog::open(Arc::new(RealDisk::new(&folder.path().join("catalog")).expect("a folder")));
        let ingest = Ingest::new(wal.clone(), catalog.expect("a catalog"), Enricher::default());
        Self { _folder: folder, wal, ingest, tenant: TenantId::default_tenant() }
    }

    async fn send(&self, frame: &Frame) -> Result<FrameReceipt, Refusal> {
        self.ingest.accept_frame(&self.tenant, frame.encode().expect("encodes").into()).await
    }
}

fn requests_block(first: u64, count: u64) -> Block {
    let rows: Vec<RequestRow> = (first..first + count)
        .map(|number| RequestRow {
            event_id: EventId::from_u128(u128::from(number)),
            timestamp: Timestamp(1),
            method: "GET".into(),
            route: "/".into(),
            path: "/".into(),
            status: Some(200),
            protocol: "HTTP/1.1",
            duration_us: number,
            ttfb_us: None,
            request_bytes: 0,
            response_bytes: 0,
            sample_weight: 1.0,
            ..RequestRow::default()
        })
        .collect();
    RequestRow::block(&rows, &Resource::default())
}

fn frame(producer: ProducerId, blocks: &[(u64, Block)], announced: u64) -> Frame {
    let chunks = blocks.iter().map(|(first, block)| Chunk::new(producer, Table::Requests, *first, block));
    Frame { producer, announced, sent_at_us: 0, chunks: chunks.collect::<Result<_, _>>().expect("chunks") }
}

#[tokio::test]
async fn a_repeated_batch_is_acknowledged_and_not_stored_again() {
    let sandbox = Sandbox::new();
    let frame = frame(ProducerId::draw(), &[(0, requests_block(0, 10)), (10, requests_block(10, 5))], 15);
    let receipt = sandbox.send(&frame).await.expect("taken");
    assert_eq!((receipt.producer, receipt.stored_to, receipt.stored, receipt.duplicate), (frame.producer, 15, 15, 0));
    let again = sandbox.send(&frame).await.expect("taken again");
    assert_eq!((again.stored_to, again.stored, again.duplicate), (15, 0, 15));
    let books = sandbox.ingest.books();
    assert_eq!((books.tables[0].rows_stored, books.tables[0].rows_duplicate), (15, 15));
    sandbox.wal.close();
}

#[tokio::test]
async fn what_did_not_arrive_is_named() {
    let sandbox = Sandbox::new();
    let producer = ProducerId::draw();
    sandbox.send(&frame(producer, &[(0, requests_block(0, 10))], 10)).await.expect("taken");
    sandbox.send(&frame(producer, &[(20, requests_block(20, 10))], 40)).await.expect("taken");
    let books = sandbox.ingest.books();
    let ours = &books.producers[0];
    assert_eq!((ours.announced, ours.received, ours.missing), (40, 20, 20));
    assert_eq!(ours.missing_ranges, [10..20, 30..40]);
    sandbox.wal.close();
}

#[tokio::test]
async fn the_same_numbers_with_other_content_raise_an_alarm() {
    let sandbox = Sandbox::new();
    let producer = ProducerId::draw();
    sandbox.send(&frame(producer, &[(0, requests_block(0, 3))], 3)).await.expect("taken");
    sandbox.send(&frame(producer, &[(0, requests_block(7, 3))], 3)).await.expect("answered as a duplicate");
    assert_eq!(sandbox.ingest.books().conflicts, 1);
    sandbox.wal.close();
}

#[tokio::test]
async fn one_bad_block_refuses_the_batch_and_stores_nothing() {
    let sandbox = Sandbox::new();
    let bad = Block::of_rows(3).growing(requests::TIMESTAMP, [1, 2, 3].into_iter());
    let refusal = sandbox.send(&frame(ProducerId::draw(), &[(0, requests_block(0, 3)), (3, bad)], 6)).await;
    let refusal = refusal.expect_err("refused");
    assert_eq!(refusal.reason(), "malformed");
    assert_eq!(refusal.to_string(), "chunk 1 of the batch cannot be read: column event_id (1): is missing");
    assert!(sandbox.ingest.books().tables.is_empty());
    assert_eq!(sandbox.ingest.tally().refused_frames["malformed"], 1);
    sandbox.wal.close();
}

#[tokio::test]
async fn garbage_is_refused_and_counted() {
    let sandbox = Sandbox::new();
    for bytes in [&b""[..], b"RLFR", b"{\"events\":[]}", &[0xff; 1_000]] {
        let refused = sandbox.ingest.accept_frame(&sandbox.tenant, Bytes::copy_from_slice(bytes)).await;
        assert!(matches!(refused, Err(Refusal::Frame(_))), "{refused:?}");
    }
    assert_eq!(sandbox.ingest.tally().refused_frames.values().sum::<u64>(), 4);
    sandbox.wal.close();
}

#[tokio::test]
async fn one_bad_event_never_refuses_its_neighbours() {
    let sandbox = Sandbox::new();
    let events = [
        json!({ "eventType": "a", "eventId": "1" }),
        json!({ "eventId": "2" }),
        json!({ "eventType": "b", "eventId": "1" }),
        json!({ "eventType": "c" }),
    ];
    let receipts = sandbox.ingest.accept_events(&sandbox.tenant, &events).await.expect("taken");
    let statuses: Vec<_> = receipts.iter().map(|receipt| receipt.status.as_ref().ok().copied()).collect();
    use EventStatus::{Duplicate, Stored};
    assert_eq!(statuses, [Some(Stored), None, Some(Duplicate), Some(Stored)]);
    assert_eq!(sandbox.ingest.tally().refused_events["invalid"], 1);
    sandbox.wal.close();
}

#[tokio::test]
async fn many_large_events_are_stored_in_several_blocks() {
    let sandbox = Sandbox::new();
    let text = "x".repeat(100_000);
    let events: Vec<Value> = (0..40).map(|_| json!({ "eventType": "a", "properties": { "text": text } })).collect();
    let receipts = sandbox.ingest.accept_events(&sandbox.tenant, &events).await.expect("taken");
    assert_eq!(receipts.len(), 40);
    assert!(receipts.iter().all(|receipt| matches!(receipt.status, Ok(EventStatus::Stored))));
    assert_eq!(sandbox.ingest.books().tables[0].rows_stored, 40);
    sandbox.wal.close();
}

#[tokio::test]
async fn a_closed_log_refuses_and_nothing_is_counted_as_stored() {
    let sandbox = Sandbox::new();
    sandbox.wal.close();
    let refusal = sandbox.send(&frame(ProducerId::draw(), &[(0, requests_block(0, 3))], 3)).await.expect_err("closed");
    assert_eq!(refusal.reason(), "not_durable");
    assert!(sandbox.ingest.accept_events(&sandbox.tenant, &[json!({ "eventType": "a" })]).await.is_err());
}
