use ridealong_catalog::Corrections;
use ridealong_common::block::Block;
use ridealong_common::chunk::Chunk;
use ridealong_common::event::TrackedEvent;
use ridealong_common::frame::Frame;
use ridealong_common::ids::EventId;
use ridealong_common::rows::{RequestRow, Resource};
use ridealong_common::table::{Table, requests};
use ridealong_wal::disk::RealDisk;
use ridealong_wal::{Position, WalOptions};
use serde_json::json;

use super::*;
use crate::events::EventStatus;
use crate::quarantine::{QuarantineRow, Standing};
use crate::replay::Replayed;
use crate::row_json::row_json;
use crate::tally::DoorTally;

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

    async fn accept(&self, events: &[Value]) -> Vec<EventReceipt> {
        self.ingest.accept_events(&self.tenant, events.to_vec()).await.expect("taken")
    }

    /// All stored rows of a table, in the order of the log.
    fn rows(&self, table: Table) -> Vec<Value> {
        let mut follower = self.wal.follow(Position::NONE);
        let mut rows = Vec::new();
        loop {
            let batch = follower.next_batch(1 << 20).expect("reads");
            if batch.is_empty() {
                return rows;
            }
            for entry in batch.iter().filter(|entry| entry.table == table) {
                let block = Block::decode(&entry.payload).and_then(|block| block.check(table)).expect("readable");
                let kept = (0..entry.rows).filter(|row| !entry.skipped_rows.contains(row));
                rows.extend(kept.map(|row| row_json(&block, row as usize)));
            }
        }
    }

    fn quarantined(&self) -> Vec<Value> {
        self.rows(Table::Quarantine)
    }

    /// The last row of quarantine.
    fn in_force(&self) -> QuarantineRow {
        let rows = self.quarantined();
        let row = rows.last().expect("a row");
        let text = |name: &str| row[name].as_str().map(str::to_owned);
        QuarantineRow {
            event_id: EventId::from_caller(&text("event_id").expect("an id")),
            timestamp: Timestamp::parse(&text("timestamp").expect("a time")).expect("a time"),
            source_table: text("source_table").expect("a table"),
            reason: text("reason").expect("a reason"),
            detail: text("detail").expect("a detail"),
            payload: text("payload"),
            source: text("source"),
            event_type: text("event_type"),
            standing: Standing::from_name(&text("status").expect("a status")).expect("a standing"),
            revision: row["revision"].as_i64().expect("a revision"),
        }
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
async fn a_chunk_that_cannot_be_read_is_set_aside_whole_and_its_neighbours_are_stored() {
    let sandbox = Sandbox::new();
    let bad = Block::of_rows(3).growing(requests::TIMESTAMP, [1, 2, 3].into_iter());
    let frame = frame(ProducerId::draw(), &[(0, requests_block(0, 3)), (3, bad)], 6);
    let receipt = sandbox.send(&frame).await.expect("taken");
    assert_eq!((receipt.stored_to, receipt.stored, receipt.duplicate, receipt.quarantined), (6, 3, 0, 3));
    let again = sandbox.send(&frame).await.expect("taken again");
    assert_eq!((again.stored, again.duplicate, again.quarantined), (0, 6, 0));
    let (books, rows) = (sandbox.ingest.books(), sandbox.quarantined());
    let [row] = rows.as_slice() else { panic!("one row for the chunk, not {rows:?}") };
    assert_eq!(row["reason"], "unreadable_chunk");
    assert!(row["detail"].as_str().expect("a text").ends_with("column event_id (1): is missing"), "{row}");
    assert_eq!((books.producers[0].received, books.producers[0].missing), (6, 0));
    assert_eq!(books.tables[0].rows_quarantined, 3);
    sandbox.wal.close();
}

#[tokio::test]
async fn a_faulty_row_is_set_aside_once_and_its_neighbours_are_stored() {
    let sandbox = Sandbox::new();
    let statuses = [200, 20, 404, 600].map(Some);
    let block =
        requests_block(0, 4).amended(Block::of_rows(4).optional_integers(requests::STATUS, statuses.into_iter()));
    let frame = frame(ProducerId::draw(), &[(0, block)], 4);
    let receipt = sandbox.send(&frame).await.expect("taken");
    assert_eq!((receipt.stored, receipt.duplicate, receipt.quarantined), (2, 0, 2));
    let again = sandbox.send(&frame).await.expect("taken again");
    assert_eq!((again.stored, again.duplicate, again.quarantined), (0, 4, 0));
    let rows = sandbox.quarantined();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1]["detail"], "status is 600, it must lie between 100 and 599");
    assert_eq!(rows[1]["event_id"], EventId::from_u128(3).to_string());
    let payload: Value = serde_json::from_str(rows[1]["payload"].as_str().expect("a text")).expect("JSON");
    assert_eq!((&payload["route"], &payload["status"]), (&json!("/"), &json!(600)));
    sandbox.wal.close();
}

#[tokio::test]
async fn every_event_of_a_batch_has_its_own_receipt() {
    use EventStatus::{Duplicate, Quarantined, Stored};
    let sandbox = Sandbox::new();
    let events = [
        json!({ "eventType": "a", "eventId": "1" }),
        json!({ "eventType": "a", "eventId": "2", "timestamp": "soon" }),
        json!({ "eventId": "3" }),
        json!({ "eventType": "timing", "eventId": "4", "properties": { "operation": "pay", "durationMs": -1 } }),
        json!({ "eventType": "a", "eventId": "1" }),
        json!([]),
        json!({ "eventType": "a", "eventId": "2", "timestamp": "soon" }),
    ];
    let status = |receipts: &[EventReceipt]| -> Vec<Option<EventStatus>> {
        receipts.iter().map(|receipt| receipt.status.as_ref().ok().copied()).collect()
    };
    let receipts = sandbox.accept(&events).await;
    let expected = [Some(Stored), Some(Quarantined), None, Some(Quarantined), Some(Duplicate), None, Some(Duplicate)];
    assert_eq!(status(&receipts), expected);
    let again = status(&sandbox.accept(&events).await);
    assert!(again.iter().flatten().all(|status| *status == Duplicate), "{again:?}");
    assert_eq!(
        sandbox.quarantined().iter().map(|row| row["reason"].clone()).collect::<Vec<_>>(),
        ["bad_time", "out_of_range"]
    );
    // The mended event is another matter: it is stored under the id that it was set aside with.
    let mended = json!({ "eventType": "a", "eventId": "2", "timestamp": "2026-11-20T08:15:30Z" });
    assert_eq!(status(&sandbox.accept(&[mended]).await), [Some(Stored)]);
    let tally = sandbox.ingest.tally();
    let door = tally.total(Door::Events);
    assert!(door.is_balanced(), "{door:?}");
    assert_eq!((door.received, door.quarantined, door.refused["invalid"]), (15, 2, 4));
    sandbox.wal.close();
}

#[tokio::test]
async fn what_is_replayed_is_stored_once_and_marked() {
    let sandbox = Sandbox::new();
    sandbox.accept(&[json!({ "eventType": "a", "eventId": "2", "timestamp": "soon" })]).await;
    let mut row = sandbox.in_force();
    let (tenant, ingest) = (&sandbox.tenant, &sandbox.ingest);
    let replay = async |row: &QuarantineRow, is_dry| {
        let receipts = ingest.replay(tenant, vec![row.clone()], is_dry).await.expect("replayed");
        receipts[0].replayed.clone()
    };
    assert!(matches!(replay(&row, false).await, Replayed::Faulty { reason, .. } if reason == "bad_time"));
    row.payload = Some(json!({ "eventType": "a", "timestamp": "2026-11-20T08:15:30Z" }).to_string());
    assert!(ingest.change_quarantined(tenant, row.clone(), Standing::Corrected).await.expect("changed"));
    assert!(!ingest.change_quarantined(tenant, row, Standing::Discarded).await.expect("too late"));
    let row = sandbox.in_force();
    assert_eq!((row.standing, row.revision), (Standing::Corrected, 2));
    assert_eq!(replay(&row, true).await, Replayed::Stored);
    assert_eq!(sandbox.in_force().standing, Standing::Corrected, "a dry run changes nothing");
    assert_eq!(replay(&row, false).await, Replayed::Stored);
    assert_eq!(replay(&row, false).await, Replayed::Duplicate);
    assert_eq!((sandbox.in_force().standing, sandbox.in_force().revision), (Standing::Replayed, 3));
    let stored = sandbox.rows(Table::Events);
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0]["event_id"], EventId::from_caller("2").to_string());
    sandbox.wal.close();
}

#[tokio::test]
async fn a_row_of_an_agent_is_replayed_into_its_table() {
    let sandbox = Sandbox::new();
    let block = requests_block(7, 1).amended(Block::of_rows(1).integers(requests::STATUS, [20].into_iter()));
    sandbox.send(&frame(ProducerId::draw(), &[(0, block)], 1)).await.expect("taken");
    let mut row = sandbox.in_force();
    row.payload = row.payload.map(|payload| payload.replace("\"status\":20", "\"status\":200"));
    for expected in [Replayed::Stored, Replayed::Duplicate] {
        let receipts = sandbox.ingest.replay(&sandbox.tenant, vec![row.clone()], false).await.expect("replayed");
        assert_eq!(receipts[0].replayed, expected);
    }
    let stored = sandbox.rows(Table::Requests);
    assert_eq!(stored.len(), 1);
    assert_eq!((&stored[0]["status"], &stored[0]["duration_us"]), (&json!(200), &json!(7)));
    sandbox.wal.close();
}

#[tokio::test]
async fn corrections_are_made_only_when_they_are_switched_on_and_are_logged() {
    let sandbox = Sandbox::new();
    let now = Timestamp::now().micros();
    let event = |id: &str| {
        json!({
            "eventId": id, "eventType": "timing", "eventCategory": "Performance".to_lowercase(), "userId": 42,
            "timestamp": Timestamp(now - 7_200_000_000).to_string(), "sentAt": Timestamp(now - 3_600_000_000).to_string(),
            "environment": "PROD", "source": "s".repeat(9_000),
            "properties": { "operation": "pay", "durationMs": " 12.5 " },
            "context": { "location": { "country": "nl", "latitude": "52.1" } },
        })
    };
    let receipts = sandbox.accept(&[event("1")]).await;
    assert_eq!(receipts[0].status.as_ref().ok(), Some(&EventStatus::Quarantined));
    let all = Corrections { clock_skew: true, numbers_as_text: true, oversize_text: true, casing: true };
    let set = sandbox.ingest.catalog.change(&sandbox.tenant, |settings| {
        settings.corrections = all;
        Ok(())
    });
    set.expect("set");
    let receipts = sandbox.accept(&[event("2"), json!({ "eventType": "a" })]).await;
    assert!(receipts.iter().all(|receipt| matches!(receipt.status, Ok(EventStatus::Stored))), "{receipts:?}");
    let rows = sandbox.rows(Table::Events);
    assert_eq!(rows.len(), 2);
    let row = &rows[0];
    assert_eq!(
        (&row["user_id"], &row["environment"], &row["context"]["location"]["country"]),
        (&json!("42"), &json!("prod"), &json!("NL"))
    );
    assert_eq!(row["source"].as_str().map(str::len), Some(8 << 10));
    let moved = Timestamp::parse(row["timestamp"].as_str().expect("a time")).expect("a time").micros();
    assert!((moved - (now - 3_600_000_000)).abs() < 60_000_000, "an hour later");
    let corrections: Vec<Value> = serde_json::from_str(row["corrections"].as_str().expect("a log")).expect("JSON");
    let rules: Vec<_> = corrections.iter().map(|change| (change["field"].as_str(), change["rule"].as_str())).collect();
    for expected in [
        (Some("userId"), Some("numbersAsText")),
        (Some("properties.durationMs"), Some("numbersAsText")),
        (Some("context.location.latitude"), Some("numbersAsText")),
        (Some("source"), Some("oversizeText")),
        (Some("timestamp"), Some("clockSkew")),
        (Some("context.location.country"), Some("casing")),
        (Some("environment"), Some("casing")),
    ] {
        assert!(rules.contains(&expected), "{expected:?} in {rules:?}");
    }
    let latitude = corrections.iter().find(|change| change["field"] == "context.location.latitude").expect("logged");
    assert_eq!((&latitude["before"], &latitude["after"]), (&json!("52.1"), &json!(52.1)));
    assert!(rows[1].get("corrections").is_none());
    sandbox.wal.close();
}

#[tokio::test]
async fn events_of_a_batch_move_by_its_senders_clock() {
    let sandbox = Sandbox::new();
    let set = sandbox.ingest.catalog.change(&sandbox.tenant, |settings| {
        settings.corrections = Corrections { clock_skew: true, casing: true, ..Corrections::default() };
        Ok(())
    });
    set.expect("set");
    let now = Timestamp::now();
    let event = |id: &str, country: &str| {
        let json = json!({ "eventId": id, "eventType": "a", "context": { "location": { "country": country } } });
        TrackedEvent::from_json(&json, &Defaults::default(), Timestamp(now.micros() - 600_000_000)).expect("an event")
    };
    let block = TrackedEvent::block(&[event("1", "NL"), event("2", "de")]);
    let producer = ProducerId::draw();
    let chunk = Chunk::new(producer, Table::Events, 0, &block).expect("a chunk");
    let sent_at_us = now.micros() - 600_000_000;
    let frame = Frame { producer, announced: 2, sent_at_us, chunks: vec![chunk] };
    assert_eq!(sandbox.send(&frame).await.expect("taken").stored, 2);
    assert_eq!(sandbox.send(&frame).await.expect("taken again").duplicate, 2);
    let rows = sandbox.rows(Table::Events);
    for row in &rows {
        let moved = Timestamp::parse(row["timestamp"].as_str().expect("a time")).expect("a time").micros();
        assert!((moved - now.micros()).abs() < 60_000_000, "ten minutes later");
    }
    assert_eq!(rows[1]["context"]["location"]["country"], "DE");
    assert_eq!(rows[1]["corrections"].as_str().expect("a log").matches("\"rule\"").count(), 2);
    sandbox.wal.close();
}

#[tokio::test]
async fn garbage_is_refused_and_counted() {
    let sandbox = Sandbox::new();
    for bytes in [&b""[..], b"RLFR", b"{\"events\":[]}", &[0xff; 1_000]] {
        let refused = sandbox.ingest.accept_frame(&sandbox.tenant, Bytes::copy_from_slice(bytes)).await;
        assert!(matches!(refused, Err(Refusal::Frame(_))), "{refused:?}");
    }
    assert_eq!(sandbox.ingest.tally().total(Door::Batches).refused_batches.values().sum::<u64>(), 4);
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
    let receipts = sandbox.ingest.accept_events(&sandbox.tenant, events.to_vec()).await.expect("taken");
    let statuses: Vec<_> = receipts.iter().map(|receipt| receipt.status.as_ref().ok().copied()).collect();
    use EventStatus::{Duplicate, Stored};
    assert_eq!(statuses, [Some(Stored), None, Some(Duplicate), Some(Stored)]);
    assert_eq!(sandbox.ingest.tally().total(Door::Events).refused["invalid"], 1);
    sandbox.wal.close();
}

#[tokio::test]
async fn many_large_events_are_stored_in_several_blocks() {
    let sandbox = Sandbox::new();
    let text = "x".repeat(100_000);
    let events: Vec<Value> = (0..40).map(|_| json!({ "eventType": "a", "properties": { "text": text } })).collect();
    let receipts = sandbox.ingest.accept_events(&sandbox.tenant, events.to_vec()).await.expect("taken");
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
    assert!(sandbox.ingest.accept_events(&sandbox.tenant, vec![json!({ "eventType": "a" })]).await.is_err());
}

/// What `system.ledger` shows, summed by stage, outcome and reason.
fn sums(sandbox: &Sandbox) -> std::collections::BTreeMap<String, u64> {
    use ridealong_model::ledger::LedgerSource;
    let rows = sandbox.ingest.ledger(&sandbox.tenant, sandbox.wal.durable().0).expect("of now");
    let mut sums = std::collections::BTreeMap::new();
    for row in rows {
        let name = format!("{} {} {}", row.stage.name(), row.outcome, row.reason.unwrap_or_default());
        *sums.entry(name.trim_end().to_owned()).or_default() += row.count;
    }
    sums
}

#[tokio::test]
async fn door_and_log_agree_to_the_row() {
    let sandbox = Sandbox::new();
    let producer = ProducerId::draw();
    let sent = frame(producer, &[(0, requests_block(0, 10)), (20, requests_block(20, 5))], 40);
    for _ in 0..2 {
        sandbox.send(&sent).await.expect("taken");
    }
    let events = [json!({ "eventType": "a", "eventId": "1" }), json!({}), json!({ "eventType": "b", "eventId": "1" })];
    sandbox.ingest.accept_events(&sandbox.tenant, events.to_vec()).await.expect("taken");
    sandbox.ingest.refuse_events(&sandbox.tenant, "invalid_json", 1);
    let sums = sums(&sandbox);
    let expected = [
        ("door answered", 32),
        ("door received", 34),
        ("door refused invalid", 1),
        // A body, and the one row that it was.
        ("door refused invalid_json", 2),
        ("log duplicate event_id", 1),
        ("log duplicate number", 15),
        ("log missing", 25),
        ("log stored", 16),
        ("producer announced", 40),
    ];
    assert_eq!(sums.iter().map(|(name, count)| (name.as_str(), *count)).collect::<Vec<_>>(), expected);
    assert!(sandbox.ingest.tally().doors.values().all(DoorTally::is_balanced));
    sandbox.wal.close();
}

#[tokio::test]
async fn who_leaves_before_the_answer_is_counted_as_gone() {
    let sandbox = Sandbox::new();
    let events = [json!({ "eventType": "a" })];
    let mut waiting = Box::pin(sandbox.ingest.accept_events(&sandbox.tenant, events.to_vec()));
    assert!(futures::poll!(&mut waiting).is_pending(), "an fsync takes longer");
    let of_events = || sandbox.ingest.tally().total(Door::Events);
    assert_eq!((of_events().received, of_events().in_flight), (1, 1));
    drop(waiting);
    assert_eq!((of_events().in_flight, of_events().abandoned), (0, 1));
    sandbox.wal.close();
    assert_eq!(sandbox.ingest.books().tables[0].rows_stored, 1, "the log knows");
    assert!(sandbox.ingest.tally().doors.values().all(DoorTally::is_balanced));
}
