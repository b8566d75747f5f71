use std::path::Path;

use ridealong_common::block::{Block, Cell};
use ridealong_common::event::Defaults;
use ridealong_common::ids::EventId;
use ridealong_common::table::{Table, requests};
use ridealong_common::time::Timestamp;
use serde_json::json;

use super::*;

struct Sandbox {
    spool: Spool,
    books: Arc<Books>,
    producer: ProducerId,
}

impl Sandbox {
    fn open(folder: &Path, bytes_max: u64) -> Self {
        let books = Arc::new(Books::default());
        let producer = ProducerId::draw();
        let options = SpoolOptions { folder: folder.into(), bytes_max, producer, resource: Resource::default() };
        let spool = Spool::open(options, Arc::clone(&books), Arc::default()).expect("a spool");
        Self { spool, books, producer }
    }

    fn offer(&self, first: u64, count: u64) {
        self.books.produced(count);
        self.spool.offer(SpoolRows::Requests(Requests {
            rows: (first..first + count).map(request).collect(),
            ..Requests::default()
        }));
    }

    /// Everything that is left, acknowledged piece by piece.
    async fn drain(&self) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        while let Some(parcel) = self.spool.next(64 << 10).await {
            let rows = parcel.rows();
            self.spool.acknowledge(parcel.keys, rows).await;
            chunks.extend(parcel.chunks);
        }
        chunks
    }

    fn balance(&self) {
        let books = self.books.snapshot();
        let dropped: u64 = books.dropped.values().sum();
        assert_eq!(books.produced + books.carried_over, books.acknowledged + books.pending + dropped, "{books:?}");
    }
}

/// A path that does not compress away, so that a few thousand rows fill a small spool.
fn request(number: u64) -> RequestRow {
    let noise = fastrand::Rng::with_seed(number).u128(..);
    RequestRow {
        event_id: EventId::from_u128(u128::from(number)),
        timestamp: Timestamp(1_700_000_000_000_000 + number as i64),
        method: "GET".into(),
        route: "/".into(),
        path: format!("/{noise:032x}"),
        status: Some(if number % 100 == 99 { 500 } else { 200 }),
        protocol: "HTTP/1.1",
        duration_us: 5,
        ttfb_us: Some(3),
        request_bytes: 0,
        response_bytes: 0,
        sample_weight: 1.0,
        ..RequestRow::default()
    }
}

fn event(id: &str) -> TrackedEvent {
    let value = json!({ "eventType": "order", "eventId": id });
    TrackedEvent::from_json(&value, &Defaults::default(), Timestamp(0)).expect("an event")
}

fn rows_of(chunks: &[Chunk], table: Table) -> u64 {
    chunks.iter().filter(|chunk| chunk.table == table).map(|chunk| u64::from(chunk.count)).sum()
}

/// The numbers of the chunks, sorted: without holes and without repeats they are one range.
fn numbers(chunks: &[Chunk]) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = chunks.iter().map(|chunk| (chunk.first, chunk.end())).collect();
    ranges.sort_unstable();
    ranges.dedup_by(|next, last| {
        let joins = last.1 == next.0;
        if joins {
            last.1 = next.1;
        }
        joins
    });
    ranges
}

#[tokio::test]
async fn appended_events_are_handed_out_until_they_are_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = Sandbox::open(folder.path(), 16 << 20);
    sandbox.spool.append(vec![event("a"), event("b")]).await.expect("spooled");
    for _ in 0..2 {
        let parcel = sandbox.spool.next(1 << 20).await.expect("a parcel");
        assert_eq!((parcel.producer, parcel.announced, parcel.rows()), (sandbox.producer, 2, 2));
    }
    assert_eq!(sandbox.drain().await.len(), 1);
    assert!(sandbox.spool.next(1 << 20).await.is_none());
    sandbox.balance();
    sandbox.spool.close();
}

#[tokio::test]
async fn every_row_has_one_number_and_errors_travel_with_what_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = Sandbox::open(folder.path(), 16 << 20);
    (0..10).for_each(|group| sandbox.offer(group * 300, 300));
    sandbox.spool.append(vec![event("a")]).await.expect("spooled");
    sandbox.spool.commit().await;
    let chunks = sandbox.drain().await;
    assert_eq!((rows_of(&chunks, Table::Requests), rows_of(&chunks, Table::Events)), (3_000, 1));
    let produced = sandbox.books.snapshot().produced;
    assert_eq!(numbers(&chunks), [(0, produced)]);
    let first = chunks.iter().find(|chunk| chunk.table == Table::Requests).expect("requests");
    let block = Block::decode(&first.block).expect("decodes").check(Table::Requests).expect("valid");
    assert_eq!(block.cell(0, requests::STATUS), Cell::Integer(500), "errors are handed out first");
    sandbox.balance();
    sandbox.spool.close();
}

#[tokio::test]
async fn summaries_count_what_the_rows_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = Sandbox::open(folder.path(), 16 << 20);
    sandbox.offer(0, 500);
    sandbox.spool.commit().await;
    let chunks = sandbox.drain().await;
    assert_eq!(rows_of(&chunks, Table::RequestSummaries), 2, "one for 200, one for 500");
    sandbox.spool.close();
}

#[tokio::test]
async fn a_restart_carries_over_under_the_old_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Sandbox::open(folder.path(), 16 << 20);
    first.offer(0, 1_000);
    first.spool.append(vec![event("a")]).await.expect("spooled");
    first.spool.commit().await;
    let produced = first.books.snapshot().produced;
    first.spool.close();

    let second = Sandbox::open(folder.path(), 16 << 20);
    second.spool.append(vec![event("b")]).await.expect("spooled");
    assert_eq!(second.books.snapshot().carried_over, produced);
    let chunks = second.drain().await;
    let (old, new): (Vec<_>, Vec<_>) = chunks.into_iter().partition(|chunk| chunk.producer == first.producer);
    assert_eq!(numbers(&old), [(0, produced)]);
    assert_eq!(numbers(&new), [(0, 1)]);
    second.balance();
    second.spool.close();
}

#[tokio::test]
async fn a_full_spool_gives_up_the_oldest_requests_and_counts_them() {
    const LIMIT: u64 = 2 << 20;
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = Sandbox::open(folder.path(), LIMIT);
    for group in 0..200 {
        sandbox.offer(group * 500, 500);
        sandbox.spool.commit().await;
        let status = sandbox.spool.status();
        // sled grows in steps of 512 KiB, and a group is written before it is measured.
        assert!(status.disk_bytes <= LIMIT + (2 << 20), "{status:?}");
    }
    let books = sandbox.books.snapshot();
    assert!(books.dropped[reason::SPOOL_FULL] > 0);
    sandbox.balance();
    let pending = books.pending;
    let chunks = sandbox.drain().await;
    assert_eq!(chunks.iter().map(|chunk| u64::from(chunk.count)).sum::<u64>(), pending);
    assert_eq!(sandbox.books.snapshot().pending, 0);
    sandbox.balance();
    sandbox.spool.close();
}

#[tokio::test]
async fn after_a_backlog_is_drained_the_disk_is_given_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = Sandbox::open(folder.path(), 64 << 20);
    for group in 0..100 {
        sandbox.offer(group * 500, 500);
        sandbox.spool.commit().await;
    }
    assert!(sandbox.spool.status().disk_bytes > 2 << 20);
    assert_eq!(rows_of(&sandbox.drain().await, Table::Requests), 50_000);
    sandbox.spool.close();
    let reopened = Sandbox::open(folder.path(), 64 << 20);
    assert!(reopened.spool.next(1 << 20).await.is_none());
    assert!(reopened.spool.status().disk_bytes < 1 << 20, "{:?}", reopened.spool.status());
    reopened.spool.close();
}

#[tokio::test]
async fn a_damaged_database_is_put_aside_and_the_rest_delivered() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Sandbox::open(folder.path(), 16 << 20);
    first.offer(0, 1_000);
    first.spool.append(vec![event("a")]).await.expect("spooled");
    first.spool.commit().await;
    first.spool.close();
    let bulk = std::fs::read_dir(folder.path().join("bulk")).expect("listed").flatten().next().expect("a database");
    for file in ["db", "conf"] {
        std::fs::write(bulk.path().join(file), [0x5a; 4096]).expect("damaged");
    }
    let second = Sandbox::open(folder.path(), 16 << 20);
    second.spool.append(vec![event("b")]).await.expect("spooled");
    assert_eq!(rows_of(&second.drain().await, Table::Events), 2);
    assert_eq!(second.spool.status().damaged_databases, 1);
    assert_eq!(std::fs::read_dir(folder.path().join("damaged")).expect("listed").count(), 1);
    second.balance();
    second.spool.close();
}

#[test]
fn a_second_agent_on_one_spool_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Sandbox::open(folder.path(), 16 << 20);
    let options = SpoolOptions {
        folder: folder.path().into(),
        bytes_max: 16 << 20,
        producer: ProducerId::draw(),
        resource: Resource::default(),
    };
    let error = Spool::open(options, Arc::default(), Arc::default()).err().expect("in use");
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    first.spool.close();
}

#[tokio::test]
async fn a_full_queue_drops_and_counts_and_never_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = Sandbox::open(folder.path(), 16 << 20);
    (0..2_000).for_each(|group| sandbox.offer(group * 50, 50));
    sandbox.spool.commit().await;
    sandbox.balance();
    let dropped: u64 = sandbox.books.snapshot().dropped.values().sum();
    let delivered = rows_of(&sandbox.drain().await, Table::Requests);
    assert_eq!(delivered + dropped, 100_000);
    sandbox.spool.close();
}

/// What was written and never fsynced is dropped by the books, so it must not be delivered as well.
#[test]
fn what_was_not_fsynced_is_never_handed_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut row = row::Row::new(folder.path(), row::Class::Bulk, 1 << 20);
    row.recover().expect("an empty row");
    let chunk = |first: u64| {
        let rows: Vec<RequestRow> = (first..first + 3).map(request).collect();
        Chunk::new(ProducerId::draw(), Table::Requests, first, &RequestRow::block(&rows, &Resource::default()))
            .expect("a chunk")
    };
    row.insert(&chunk(0), &chunk(0).encode()).expect("written");
    row.flush().expect("fsynced");
    row.insert(&chunk(3), &chunk(3).encode()).expect("written");
    row.seal();
    assert_eq!((row.chunks(), row.durable_rows()), (1, 3));
    let found = row.peek(1 << 20, |_, _| {}).expect("read");
    assert_eq!(found.iter().map(|(_, chunk)| chunk.first).collect::<Vec<_>>(), [0]);
    row.insert(&chunk(6), &chunk(6).encode()).expect("a new database takes more");
    row.flush().expect("fsynced");
    assert_eq!((row.chunks(), row.databases()), (2, 2));
}
