//! Exports: every row once in every format, whatever is written into them; broken off, never as if complete; by a reader
//! as slow as it likes, in constant memory.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt;
use ridealong_e2e::process::run;
use ridealong_e2e::{Aggregator, Api, events, eventually};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const EXPORT: &str = "/api/analytics/export";
const PATIENCE: Duration = Duration::from_secs(60);

/// What a CSV writer gets wrong, and what must not be changed.
const TEXTS: [&str; 9] =
    ["plain", "", "comma, separated", "\"quoted\"", "two\r\nlines", "=1+1", "@SUM(A1)", " spaces ", "é 東京 🚲"];

async fn track(api: &Api, kind: &str, count: usize) -> Result<Vec<String>> {
    let (ids, mut batch) = events::batch(kind, count);
    for (at, event) in batch["events"].as_array_mut().expect("events").iter_mut().enumerate() {
        event["timestamp"] = json!(format!("2026-11-{:02}T08:15:30.123456Z", 1 + at % 3));
        event["userId"] = json!(TEXTS[at % TEXTS.len()]);
    }
    api.post("/api/analytics/batch-track", &batch).await?.expect(200);
    Ok(ids)
}

fn url(aggregator: &Aggregator, sql: &str, format: &str) -> reqwest::Url {
    let base = aggregator.api().url(EXPORT);
    reqwest::Url::parse_with_params(&base, [("sql", sql), ("format", format)]).expect("a URL")
}

/// RFC 4180 read by hand: fields, and whether each was quoted.
fn csv(text: &str) -> Vec<Vec<(String, bool)>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    let mut within = false;
    while let Some(letter) = letters.next() {
        match letter {
            '"' if within && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => {
                within = !within;
                quoted = true;
            }
            ',' if !within => row.push((std::mem::take(&mut field), std::mem::take(&mut quoted))),
            '\r' if !within && letters.peek() == Some(&'\n') => {
                letters.next();
                row.push((std::mem::take(&mut field), std::mem::take(&mut quoted)));
                rows.push(std::mem::take(&mut row));
            }
            other => field.push(other),
        }
    }
    assert!(field.is_empty() && row.is_empty() && !within, "it does not end with a line");
    rows
}

#[tokio::test]
async fn csv_and_ndjson_hold_every_row_as_it_is() -> Result<()> {
    let aggregator = Aggregator::start(&[]).await?;
    let mut ids: BTreeSet<String> = track(aggregator.api(), "seen", 500).await?.into_iter().collect();
    aggregator.flush().await?;
    ids.extend(track(aggregator.api(), "seen", 100).await?);
    let sql = "SELECT event_id, \"timestamp\", user_id, anonymous_id, properties, 1.5 AS half, true AS yes FROM events";
    let expected: Vec<Value> = aggregator.rows(sql).await?;
    let asked = |format: &str| aggregator.api().client().get(url(&aggregator, sql, format));
    let answer = aggregator.api().send(asked("ndjson")).await?.expect(200);
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    let rows: Vec<Value> = answer.text().lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let sorted = |rows: &[Value]| rows.iter().map(Value::to_string).collect::<BTreeSet<_>>();
    assert_eq!(rows.len(), 600);
    assert_eq!(sorted(&rows), sorted(&expected));

    let answer = aggregator.api().send(asked("csv")).await?.expect(200);
    assert_eq!(answer.headers["content-disposition"], "attachment; filename=\"query.csv\"");
    let rows = csv(&answer.text());
    let names: Vec<&str> = rows[0].iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["event_id", "timestamp", "user_id", "anonymous_id", "properties", "half", "yes"]);
    let read = |row: &Vec<(String, bool)>| {
        let value = |(text, quoted): &(String, bool)| match (text.is_empty(), quoted) {
            (true, false) => Value::Null,
            _ => json!(text),
        };
        let mut read: serde_json::Map<String, Value> =
            names.iter().map(|name| (*name).to_owned()).zip(row.iter().map(value)).collect();
        read["half"] = json!(1.5);
        read["yes"] = json!(true);
        Value::Object(read)
    };
    assert!(rows[1..].iter().all(|row| row[5].0 == "1.5" && row[6].0 == "true"));
    let read: Vec<Value> = rows[1..].iter().map(read).collect();
    assert_eq!(sorted(&read), sorted(&expected));
    assert_eq!(rows[1..].iter().map(|row| row[0].0.clone()).collect::<BTreeSet<_>>(), ids);
    Ok(())
}

#[tokio::test]
async fn a_table_is_exported_by_its_time() -> Result<()> {
    let aggregator = Aggregator::start(&[]).await?;
    track(aggregator.api(), "seen", 300).await?;
    for (range, condition) in [
        ("", "true"),
        ("&from=2026-11-02T00:00:00Z", "\"timestamp\" >= '2026-11-02'"),
        (
            "&from=2026-11-02T00:00:00Z&to=2026-11-03T00:00:00Z",
            "\"timestamp\" >= '2026-11-02' AND \"timestamp\" < '2026-11-03'",
        ),
        ("&from=2027-01-01T00:00:00Z", "false"),
    ] {
        let answer = aggregator.api().get(&format!("{EXPORT}?table=events&format=csv{range}")).await?.expect(200);
        let expected = aggregator.count(&format!("events WHERE {condition}")).await?;
        assert_eq!(csv(&answer.text()).len() as i64, expected + 1, "{range}");
    }
    for table in ["requests", "request_summaries", "host_metrics", "quarantine", "sessions", "users"] {
        for format in ["csv", "ndjson", "parquet", "arrow"] {
            let path = format!("{EXPORT}?table={table}&format={format}&from=2026-11-02T00:00:00Z");
            let answer = aggregator.api().get(&path).await?.expect(200);
            match format {
                "parquet" => assert!(answer.body.starts_with(b"PAR1") && answer.body.ends_with(b"PAR1"), "{table}"),
                "arrow" => assert!(answer.body.ends_with(&[255, 255, 255, 255, 0, 0, 0, 0]), "{table}"),
                "csv" => assert!(answer.text().ends_with("\r\n"), "{table}"),
                _ => {}
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_exported_is_told_with_a_status() -> Result<()> {
    let aggregator = Aggregator::start(&[]).await?;
    track(aggregator.api(), "seen", 3).await?;
    for (query, id) in [
        ("", "invalid-parameter"),
        ("?sql=SELECT%201&table=events", "invalid-parameter"),
        ("?sql=SELECT%201&from=2026-11-02T00:00:00Z", "invalid-parameter"),
        ("?table=visits", "invalid-parameter"),
        ("?table=events&format=xlsx", "invalid-parameter"),
        ("?table=events&to=now", "invalid-parameter"),
        ("?sql=SELECT%20*%20FROM%20nowhere", "invalid-query"),
        ("?sql=DROP%20TABLE%20events", "not-a-read"),
        // Found out only while it runs.
        ("?sql=SELECT%201/(1-count(*)/3)%20FROM%20events", "invalid-query"),
    ] {
        let answer = aggregator.api().get(&format!("{EXPORT}{query}")).await?;
        assert_eq!(answer.problem(400), id, "{query}");
    }
    Ok(())
}

/// Enough that it does not fit between the program and a reader that takes nothing.
async fn much(aggregator: &Aggregator) -> Result<()> {
    for _ in 0..10 {
        track(aggregator.api(), &"seen".repeat(100), 2_000).await?;
    }
    aggregator.flush().await
}

/// Twenty times the events: some hundred megabytes.
const MUCH: &str =
    "SELECT e.*, n FROM events e CROSS JOIN (VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10)) AS t(n)";

#[tokio::test]
async fn what_fails_in_the_middle_never_ends_as_if_complete() -> Result<()> {
    let aggregator = Aggregator::start(&["--query-threads", "1"]).await?;
    much(&aggregator).await?;
    // The last of 200,000 rows divides by zero.
    let sql = "SELECT left(event_type, 9) AS kind, 1 / (200000 - row_number() OVER ()) AS n FROM events e CROSS JOIN \
               (VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10)) AS t(n)";
    for format in ["csv", "ndjson", "parquet", "arrow"] {
        let answer = aggregator.api().client().get(url(&aggregator, sql, format)).send().await?;
        assert_eq!(answer.status(), 200, "{format}");
        let mut bytes = answer.bytes_stream();
        let (mut failed, mut length) = (false, 0);
        while let Some(piece) = bytes.next().await {
            failed |= piece.is_err();
            length += piece.map_or(0, |piece| piece.len());
        }
        // Parquet has no whole row group by then.
        assert!(length > 100_000 || format == "parquet", "{format}: {length} bytes");
        assert!(failed, "{format}: the body ended as if it were complete");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_stall_or_leave_hold_nothing() -> Result<()> {
    let mut aggregator = Aggregator::start(&[]).await?;
    much(&aggregator).await?;
    let before = aggregator.process().resident_mib();
    // As many as may be at once, none of which reads.
    let path = format!("{EXPORT}?format=ndjson&sql={}", MUCH.replace(' ', "%20"));
    let mut stalled = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(aggregator.address()).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
        let mut head = [0; 15];
        stream.read_exact(&mut head).await?;
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        stalled.push(stream);
    }
    let refused = aggregator.api().get(&path).await?;
    assert_eq!(refused.problem(503), "busy");
    assert!(refused.headers.contains_key("retry-after"));
    // Queries go on beside them, and they hold no more than their few pieces.
    assert_eq!(aggregator.count("events").await?, 20_000);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let held = aggregator.process().resident_mib() - before;
    assert!(held < 200.0, "{held} MiB more for readers that take nothing");
    // They leave: there is room for others.
    drop(stalled);
    eventually("an export after others have left", PATIENCE, async || {
        let answer = aggregator.api().get(&format!("{EXPORT}?sql=SELECT%201")).await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
    // A slow reader gets all of it.
    let answer = aggregator.api().client().get(aggregator.api().url(&path)).send().await?;
    let (mut lines, mut bytes) = (0, answer.bytes_stream());
    while let Some(piece) = bytes.next().await {
        lines += piece?.iter().filter(|byte| **byte == b'\n').count();
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    assert_eq!(lines, 200_000);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_ask_the_server_or_open_the_folder() -> Result<()> {
    let mut aggregator = Aggregator::start(&[]).await?;
    track(aggregator.api(), "seen", 50).await?;
    aggregator.flush().await?;
    track(aggregator.api(), "seen", 10).await?;
    let (folder, address) = (aggregator.folder(), aggregator.address().to_string());
    let ask = async |arguments: &[&str]| {
        let mut all = vec![arguments[0], "--listen", &address, "--data", "data"];
        all.extend_from_slice(&arguments[1..]);
        run("ridealong-aggregator", &folder, &all, &[]).await
    };
    for with_server in [true, false] {
        if !with_server {
            // What it had in memory is in the log.
            aggregator.kill().await?;
        }
        let count = ask(&["sql", "SELECT count(*) AS n, 'a' AS t FROM events", "--format", "json"]).await?;
        assert_eq!((count.code, count.stdout.trim()), (Some(0), r#"[{"n":60,"t":"a"}]"#), "{}", count.stderr);
        let table = ask(&["sql", "SELECT 12345 AS number, 'x' AS text"]).await?;
        assert_eq!(table.stdout, "number | text\n-------+-----\n 12345 | x\n(1 row)\n");
        let exported = ask(&["export", "--table", "events", "--output", "events.csv"]).await?;
        assert_eq!(exported.code, Some(0), "{}", exported.stderr);
        assert!(
            exported.stderr.starts_with("events.csv: ") && exported.stderr.lines().count() == 1,
            "{}",
            exported.stderr
        );
        assert_eq!(csv(&std::fs::read_to_string(folder.join("events.csv"))?).len(), 61);
        let parquet = ask(&["export", "--sql", "SELECT * FROM events", "--output", "e.parquet"]).await?;
        assert_eq!(parquet.code, Some(0), "{}", parquet.stderr);
        assert!(std::fs::read(folder.join("e.parquet"))?.ends_with(b"PAR1"));
        let wrong = ask(&["export", "--table", "nothing", "--output", "nothing.csv"]).await?;
        assert_eq!(wrong.code, Some(1));
        assert!(wrong.stderr.contains("\"nothing\" is no table"), "{}", wrong.stderr);
        assert!(!folder.join("nothing.csv").exists() && !folder.join("nothing.csv.part").exists());
    }
    let nowhere =
        run("ridealong-aggregator", &folder, &["sql", "SELECT 1", "--listen", &address, "--data", "none"], &[]).await?;
    assert_eq!(nowhere.code, Some(1));
    assert!(nowhere.stderr.contains("--listen or --data") && !folder.join("none").exists(), "{}", nowhere.stderr);
    // Whoever has the folder and does not answer is named.
    aggregator.restart().await?;
    let other =
        run("ridealong-aggregator", &folder, &["sql", "SELECT 1", "--listen", "127.0.0.1:1", "--data", "data"], &[])
            .await?;
    assert_eq!(other.code, Some(1));
    assert!(other.stderr.contains("--listen"), "{}", other.stderr);
    let rows = aggregator.rows("SELECT count(*) AS n FROM events").await?;
    assert_eq!(rows.first().context("no row")?["n"], 60);
    Ok(())
}
