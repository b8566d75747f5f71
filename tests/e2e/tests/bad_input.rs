//! What is no batch, no event and no query: a clear problem each time, and afterwards everything goes on as before.

#![allow(clippy::print_stdout, reason = "what a test measured is shown with it")]

use std::time::Duration;

use anyhow::Result;
use ridealong_common::ids::ProducerId;
use ridealong_common::limits::{
    BATCH_BYTES_MAX, BATCH_EVENTS_MAX, EVENT_BYTES_MAX, FRAME_BODY_BYTES_MAX, FRAME_BYTES_MAX,
};
use ridealong_common::table::Table;
use ridealong_e2e::frames::{
    HEADER_BYTES, body_of, forged_chunk, frame, framed, requests_block, requests_chunk, send, with_checksum,
};
use ridealong_e2e::{Agent, Aggregator, Api, Upstream, events, eventually};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TRACK: &str = "/api/analytics/track";
const BATCH: &str = "/api/analytics/batch-track";
/// What bad input may leave behind in memory: allocators keep some of the largest thing ever held.
const GROWTH_MIB_MAX: f64 = 160.0;

/// Good data still flows, the process is the same, and its memory is bounded.
async fn assert_unharmed(aggregator: &mut Aggregator, rows: i64, before_mib: f64) -> Result<()> {
    let receipt = send(aggregator.api(), frame(10, vec![requests_chunk(ProducerId::draw(), 0, 10)])).await?.expect(200);
    assert_eq!(receipt.json()["stored"], 10);
    assert_eq!(aggregator.count("requests").await?, rows + 10);
    assert!(aggregator.process().lives());
    let now_mib = aggregator.process().resident_mib();
    println!(
        "{before_mib:.0} MiB before, {now_mib:.0} MiB now, {:.0} at most",
        aggregator.process().resident_peak_mib()
    );
    assert!(now_mib < before_mib + GROWTH_MIB_MAX, "{before_mib} MiB before, {now_mib} MiB after");
    assert!(!aggregator.process().stderr().contains("panicked"), "{}", aggregator.process().stderr());
    Ok(())
}

/// A first good frame and query, so that what they take once is not counted as growth.
async fn warmed() -> Result<(Aggregator, f64)> {
    let mut aggregator = Aggregator::start(&[]).await?;
    send(aggregator.api(), frame(10, vec![requests_chunk(ProducerId::draw(), 0, 10)])).await?.expect(200);
    aggregator.rows("SELECT route, count(*) AS n FROM requests GROUP BY 1 ORDER BY 2").await?;
    let mib = aggregator.process().resident_mib();
    Ok((aggregator, mib))
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_frames_are_refused() -> Result<()> {
    let (mut aggregator, before) = warmed().await?;
    let producer = ProducerId::draw();
    let good = frame(10, vec![requests_chunk(producer, 0, 10)]);
    let refused = async |what: &str, bytes: Vec<u8>| -> Result<String> {
        let answer = send(aggregator.api(), bytes).await?;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        assert_eq!(answer.problem(400), "invalid-batch", "{what}");
        Ok(answer.text())
    };
    refused("nothing", Vec::new()).await?;
    refused("garbage", std::iter::repeat_with(|| fastrand::u8(..)).take(10_000).collect()).await?;
    refused("JSON", b"{\"events\": []}".to_vec()).await?;
    for length in [1, 4, 15, 16, 17, good.len() / 2, good.len() - 1] {
        refused(&format!("truncated to {length}"), good[..length].to_vec()).await?;
    }
    let mut longer = good.clone();
    longer.push(0);
    refused("a byte more", longer).await?;
    let mut version = good.clone();
    version[4] = 2;
    assert!(refused("version 2", version).await?.contains("version 2"));
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 1 << (at % 8);
        // Bytes 6 and 7 are reserved but under the checksum, too.
        refused(&format!("a bit of byte {at}"), flipped).await?;
    }
    let body = body_of(&good)?;
    let length = body.len() as u32;
    for announced in [0, 1, length - 1, length + 1, FRAME_BODY_BYTES_MAX as u32 + 1, u32::MAX] {
        refused(&format!("announces {announced}"), framed(&body, announced)).await?;
    }
    // Producer, announced and clock take 17 + 1 + 1 bytes, the number of chunks one more: then the table's number.
    let mut table = body.clone();
    assert_eq!(table[20], Table::Requests as u8);
    table[20] = 99;
    refused("table 99", framed(&table, length)).await?;
    let block = requests_block(10).encode()?;
    for (what, count) in [("no rows", 0), ("too many rows", u32::MAX)] {
        refused(what, frame(10, vec![forged_chunk(producer, Table::Requests, count, block.clone())])).await?;
    }
    assert_eq!(aggregator.count("requests").await?, 10);
    assert_unharmed(&mut aggregator, 10, before).await
}

/// Their checksums hold, so their sender would send them for ever: they are set aside, whole.
#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_cannot_be_read_are_set_aside() -> Result<()> {
    let (mut aggregator, before) = warmed().await?;
    let block = requests_block(10).encode()?;
    let chunks = [
        ("more rows than there are", Table::Requests, 11, block.clone()),
        ("fewer rows than there are", Table::Requests, 9, block.clone()),
        ("rows of another table", Table::Events, 10, block.clone()),
        ("an empty block", Table::Requests, 10, Vec::new()),
        ("a block of noise", Table::Requests, 10, vec![0xfd; 1_000]),
        ("a truncated block", Table::Requests, 10, block[..block.len() - 3].to_vec()),
    ];
    for (what, table, count, block) in chunks.clone() {
        let bytes = frame(u64::from(count), vec![forged_chunk(ProducerId::draw(), table, count, block)]);
        for expected in [(0, i64::from(count), 0), (0, 0, i64::from(count))] {
            let receipt = send(aggregator.api(), bytes.clone()).await?.expect(200).json();
            let found = ["stored", "quarantined", "duplicate"].map(|key| receipt[key].as_i64().unwrap_or(-1));
            assert_eq!(found, [expected.0, expected.1, expected.2], "{what}: {receipt}");
        }
    }
    assert_eq!(aggregator.count("requests").await?, 10);
    assert_eq!(aggregator.count("quarantine WHERE reason = 'unreadable_chunk'").await?, chunks.len() as i64);
    assert_eq!(aggregator.stats().await?["missing"], 0);
    assert_unharmed(&mut aggregator, 10, before).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_and_giants_do_not_grow_it() -> Result<()> {
    let (mut aggregator, before) = warmed().await?;
    let bomb = zstd::bulk::compress(&vec![0; 512 << 20], 1)?;
    for announced in [1_000, FRAME_BODY_BYTES_MAX as u32] {
        let answer = send(aggregator.api(), with_checksum(&bomb, announced)).await?;
        assert_eq!(answer.problem(400), "invalid-batch");
    }
    let largest = vec![0; FRAME_BODY_BYTES_MAX];
    let honest = framed(&largest, FRAME_BODY_BYTES_MAX as u32);
    let senders = (0..24).map(|_| {
        let (api, frame) = (Api::new(aggregator.url()), honest.clone());
        tokio::spawn(async move { send(&api, frame).await.map(|answer| answer.problem(400)) })
    });
    for sender in senders.collect::<Vec<_>>() {
        assert_eq!(sender.await??, "invalid-batch");
    }
    let giant = vec![7; FRAME_BYTES_MAX + 1];
    assert_eq!(send(aggregator.api(), giant.clone()).await?.problem(413), "body-too-large");
    // The same without a length: chunked.
    let pieces = giant.chunks(64 << 10).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect::<Vec<_>>();
    let streamed = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    assert_eq!(send(aggregator.api(), streamed).await?.problem(413), "body-too-large");
    assert_unharmed(&mut aggregator, 10, before).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_changed_at_random_never_get_through_or_break_it() -> Result<()> {
    let (mut aggregator, before) = warmed().await?;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let body = body_of(&frame(10, vec![requests_chunk(ProducerId::draw(), 0, 10)]))?;
    for round in 0..600 {
        let mut changed = body.clone();
        // Behind the producer and what it announces, which may be anything.
        for _ in 0..random.usize(1..4) {
            let at = random.usize(19..changed.len());
            changed[at] = random.u8(..);
        }
        if random.bool() {
            changed.truncate(random.usize(1..=changed.len()));
        }
        if changed == body {
            continue;
        }
        let length = changed.len() as u32;
        let answer = send(aggregator.api(), framed(&changed, length)).await?;
        assert_eq!(answer.status, 400, "round {round}: {}", answer.text());
    }
    assert!(HEADER_BYTES < body.len());
    assert_unharmed(&mut aggregator, 10, before).await
}

/// Events with a fault: the aggregator sets them aside, the agent refuses them.
fn faulty_events() -> [Value; 3] {
    [
        json!({ "eventType": "x", "properties": events::nested(40) }),
        json!({ "eventType": "x", "userId": "u".repeat(10_000) }),
        json!({ "eventType": "x", "context": 5 }),
    ]
}

/// Both programs answer these alike.
async fn refuses_what_is_no_event(api: &Api) -> Result<()> {
    let raw = async |path: &str, body: Vec<u8>| api.post_bytes(path, "application/json", body).await;
    let deeper = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    for (body, status, id) in [
        (Vec::new(), 400, "invalid-json"),
        (b"{\"eventType\": ".to_vec(), 400, "invalid-json"),
        (vec![0xff; 100], 400, "invalid-json"),
        (deeper.clone().into_bytes(), 400, "invalid-json"),
        (b"[]".to_vec(), 400, "invalid-event"),
        (b"{}".to_vec(), 400, "invalid-event"),
        (vec![b' '; EVENT_BYTES_MAX + 1], 413, "body-too-large"),
    ] {
        let answer = raw(TRACK, body).await?;
        assert_eq!(answer.problem(status), id);
    }
    let many: Vec<Value> = vec![json!({ "eventType": "x" }); BATCH_EVENTS_MAX + 1];
    for (body, status, id) in [
        (b"nothing".to_vec(), 400, "invalid-json"),
        (b"[]".to_vec(), 400, "invalid-json"),
        (b"{\"events\": 7}".to_vec(), 400, "invalid-json"),
        (json!({ "events": many }).to_string().into_bytes(), 400, "too-many-events"),
        (vec![b' '; BATCH_BYTES_MAX + 1], 413, "body-too-large"),
    ] {
        assert_eq!(raw(BATCH, body).await?.problem(status), id);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_refused_by_the_aggregator() -> Result<()> {
    let (mut aggregator, before) = warmed().await?;
    refuses_what_is_no_event(aggregator.api()).await?;
    for faulty in faulty_events() {
        assert_eq!(aggregator.api().post(TRACK, &faulty).await?.expect(202).json()["status"], "quarantined");
    }
    assert_eq!(aggregator.count("quarantine").await?, 3);
    assert_eq!(aggregator.count("events").await?, 0);
    assert_unharmed(&mut aggregator, 10, before).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_refused_by_the_agent() -> Result<()> {
    let (upstream, aggregator) = (Upstream::start().await?, Aggregator::start(&[]).await?);
    let mut agent = Agent::start(&upstream.url(), &aggregator.url(), &[]).await?;
    let before = agent.process().resident_mib();
    refuses_what_is_no_event(agent.api()).await?;
    for faulty in faulty_events() {
        assert_eq!(agent.api().post(TRACK, &faulty).await?.problem(400), "invalid-event");
    }
    // What is no HTTP gets a bare refusal, is counted, and makes no row.
    for head in ["no http at all\r\n\r\n", "GET / HTTP/1.1\r\nbad header\r\n\r\n", "\0\0\0\0\r\n\r\n"] {
        let mut stream = TcpStream::connect(agent.proxy_address()).await?;
        stream.write_all(head.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head:?}: {answer:?}");
    }
    eventually("three refused heads", Duration::from_secs(10), async || {
        (agent.stats().await.ok()?["proxy"]["headsRefused"] == 3).then_some(())
    })
    .await;
    let (_, event) = events::event("good");
    agent.api().post(TRACK, &event).await?.expect(202);
    agent.proxy().get("/good").await?.expect(200);
    agent.flush().await?;
    assert_eq!((aggregator.count("events").await?, aggregator.count("requests").await?), (1, 1));
    assert!(agent.process().resident_mib() < before + 48.0, "{before} MiB before, {}", agent.process().resident_mib());
    assert!(!agent.process().stderr().contains("panicked"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_are_none_are_refused_by_both() -> Result<()> {
    let (upstream, aggregator) = (Upstream::start().await?, Aggregator::start(&[]).await?);
    let agent = Agent::start(&upstream.url(), &aggregator.url(), &[]).await?;
    for api in [agent.api(), aggregator.api()] {
        for query in ["recent?limit=some", "recent?limitt=1", "performance?x=1", "performance?window=5"] {
            let answer = api.get(&format!("/api/analytics/{query}")).await?;
            assert_eq!(answer.problem(400), "invalid-parameter", "{query}");
        }
    }
    Ok(())
}
