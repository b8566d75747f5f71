//! SQL that writes, reads what it must not, or takes too much: a clear problem, in time, in bounded memory.

use std::time::{Duration, Instant};

use anyhow::Result;
use ridealong_e2e::{Aggregator, Answer, events};
use serde_json::{Value, json};

/// Above what the program has at rest: no single statement here may take more.
const PEAK_MIB_MAX: f64 = 1_500.0;
/// With a timeout of 3 s, on a busy machine.
const ANSWERED: Duration = Duration::from_secs(20);
/// What may be taken on a busy machine.
const IDLE_WITHIN: Duration = Duration::from_secs(60);
/// A process that breaks off an answer may take a moment to be gone.
const DYING: Duration = Duration::from_secs(10);

async fn ask(aggregator: &Aggregator, body: Value) -> Result<Answer> {
    aggregator.api().post("/api/analytics/query", &body).await
}

async fn filled() -> Result<Aggregator> {
    let aggregator = Aggregator::start(&[]).await?;
    let (_, batch) = events::batch("some", 5_000);
    aggregator.api().post("/api/analytics/batch-track", &batch).await?.expect(200);
    Ok(aggregator)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_reads_of_ones_own_tables_are_answered() -> Result<()> {
    let mut aggregator = filled().await?;
    let target = aggregator.data().join("stolen").display().to_string();
    let log = aggregator.data().join("log").display().to_string();
    for sql in [
        "INSERT INTO events (event_type) VALUES ('x')",
        "INSERT INTO events SELECT * FROM events",
        "UPDATE events SET event_type = 'x'",
        "DELETE FROM events",
        "TRUNCATE events",
        "DROP TABLE events",
        "CREATE TABLE mine AS SELECT 1",
        "CREATE VIEW mine AS SELECT 1",
        "CREATE EXTERNAL TABLE mine STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE SCHEMA mine",
        "ALTER TABLE events RENAME TO mine",
        &format!("COPY (SELECT * FROM events) TO '{target}' STORED AS CSV"),
        &format!("COPY events TO '{target}'"),
        "SET datafusion.execution.batch_size = 1",
        "RESET ALL",
        "BEGIN",
        "COMMIT",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "EXPLAIN ANALYZE INSERT INTO events SELECT * FROM events",
        "EXPLAIN DELETE FROM events",
    ] {
        let id = ask(&aggregator, json!({ "sql": sql })).await?.problem(400);
        assert!(["not-a-read", "invalid-query"].contains(&id.as_str()), "{sql}: {id}");
    }
    for sql in [
        "",
        ";",
        "nonsense",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE events",
        "SELECT * FROM nothing",
        "SELECT nothing FROM events",
        "SELECT * FROM generate_series(1, 1000000000000)",
        "SELECT * FROM range(1, 1000000000000)",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM information_schema.tables",
        &format!("SELECT * FROM '{log}'"),
        "SELECT 1 / 0",
    ] {
        assert_eq!(ask(&aggregator, json!({ "sql": sql })).await?.problem(400), "invalid-query", "{sql}");
    }
    assert!(!aggregator.data().join("stolen").exists());
    assert_eq!(aggregator.count("events").await?, 5_000);
    assert!(aggregator.process().lives());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_out_of_range_are_refused() -> Result<()> {
    let aggregator = filled().await?;
    for extra in [
        json!({ "timeoutMs": 0 }),
        json!({ "timeoutMs": 30_001 }),
        json!({ "maxRows": 0 }),
        json!({ "maxRows": 10_001 }),
        json!({ "params": [{}] }),
    ] {
        let mut body = json!({ "sql": "SELECT 1" });
        body.as_object_mut().into_iter().for_each(|body| body.extend(extra.as_object().cloned().unwrap_or_default()));
        assert_eq!(ask(&aggregator, body.clone()).await?.problem(400), "invalid-query", "{body}");
    }
    for body in [json!({}), json!({ "sql": 5 }), json!({ "sql": "SELECT 1", "timeoutMs": -1 }), json!([])] {
        assert_eq!(ask(&aggregator, body.clone()).await?.problem(400), "invalid-json", "{body}");
    }
    let long = format!("SELECT 1 -- {}", "x".repeat(64 << 10));
    assert_eq!(ask(&aggregator, json!({ "sql": long })).await?.problem(400), "invalid-query");
    let longer = "x".repeat(1 << 20);
    assert_eq!(ask(&aggregator, json!({ "sql": longer })).await?.problem(413), "body-too-large");
    let cut = ask(&aggregator, json!({ "sql": "SELECT event_id FROM events" })).await?.expect(200).json();
    assert_eq!((cut["data"].as_array().map(Vec::len), &cut["truncated"]), (Some(1_000), &json!(true)));
    assert_eq!(cut["totalRows"], Value::Null);
    let bound = json!({ "sql": "SELECT count(*) AS n FROM events WHERE event_type = $1", "params": ["some"] });
    assert_eq!(ask(&aggregator, bound).await?.expect(200).json()["data"], json!([{ "n": 5_000 }]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_never_ends_is_stopped_and_holds_nobody_up() -> Result<()> {
    let aggregator = filled().await?;
    let sql = "SELECT count(*) FROM events a, events b, events c WHERE a.properties < b.properties || c.properties";
    let started = Instant::now();
    let endless = (0..4).map(|_| {
        let (api, body) = (aggregator.api().clone(), json!({ "sql": sql, "timeoutMs": 1_000 }));
        tokio::spawn(async move { api.post("/api/analytics/query", &body).await.map(|answer| answer.problem(408)) })
    });
    let endless: Vec<_> = endless.collect();
    aggregator.api().get("/healthz").await?.expect(200);
    let (_, event) = events::event("meanwhile");
    aggregator.api().post("/api/analytics/track", &event).await?.expect(202);
    for query in endless {
        assert_eq!(query.await??, "query-timeout");
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(aggregator.count("events").await?, 5_001);
    Ok(())
}

/// CPU time of the process, in ticks of 10 ms.
fn cpu_ticks(aggregator: &mut Aggregator) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", aggregator.process().id()))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

/// Until the process takes less than a tenth of a processor.
async fn falls_idle(aggregator: &mut Aggregator, after: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        let before = cpu_ticks(aggregator)?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        if cpu_ticks(aggregator)? - before <= 5 {
            return Ok(());
        }
        assert!(begun.elapsed() < IDLE_WITHIN, "it works on after: {after}");
    }
}

/// Joins of 100,000 rows with themselves: after the 408, or when the client has gone, nobody works on.
#[tokio::test(flavor = "multi_thread")]
async fn work_ends_with_its_query() -> Result<()> {
    let mut aggregator = filled().await?;
    for _ in 1..20 {
        let (_, batch) = events::batch("some", 5_000);
        aggregator.api().post("/api/analytics/batch-track", &batch).await?.expect(200);
    }
    assert_eq!(aggregator.count("events").await?, 100_000);
    for (number, sql) in [
        "SELECT count(*) FROM events a, events b WHERE a.properties || b.properties = 'x'",
        "SELECT count(*) FROM events a LEFT JOIN events b ON a.event_id > b.event_id AND a.properties <> 'x' || b.properties",
        "SELECT max(a.event_id) FROM events a JOIN events b ON a.event_type = b.event_type",
        "WITH RECURSIVE n AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n",
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({ "sql": sql, "timeoutMs": 500 });
        assert_eq!(ask(&aggregator, body).await?.problem(408), "query-timeout", "{sql}");
        falls_idle(&mut aggregator, sql).await?;
        let leaving = ask(&aggregator, json!({ "sql": format!("{sql} -- left"), "timeoutMs": 30_000 }));
        assert!(tokio::time::timeout(Duration::from_millis(500), leaving).await.is_err(), "{sql}");
        falls_idle(&mut aggregator, sql).await?;
        if number == 1 {
            aggregator.flush().await?;
        }
    }
    let ended = "SELECT state, count(*) AS n FROM system.queries WHERE state IN ('timed_out', 'cancelled') GROUP BY 1 ORDER BY 1";
    let told = aggregator.sql(ended).await?.expect(200).json();
    assert_eq!(told["data"], json!([{ "state": "cancelled", "n": 4 }, { "state": "timed_out", "n": 4 }]));
    let stats = aggregator.api().get("/api/analytics/stats").await?.expect(200).json();
    assert_eq!((&stats["queries"]["overdueNow"], &stats["queries"]["threadsReplaced"]), (&json!(0), &json!(0)));
    Ok(())
}

/// Whatever the answer: it comes, the process lives, and its memory stays bounded.
#[tokio::test(flavor = "multi_thread")]
async fn statements_that_ask_for_too_much_do_not_break_it() -> Result<()> {
    let mut aggregator = filled().await?;
    let mut faults = Vec::new();
    let many = |part: &str, bytes: usize| part.repeat(bytes / part.len());
    for (what, sql) in [
        ("nested parentheses", format!("SELECT {}1{}", many("(", 20_000), many(")", 20_000))),
        ("a long sum", format!("SELECT 1{}", many("+1", 60_000))),
        ("a long condition", format!("SELECT count(*) FROM events WHERE true{}", many(" OR true", 60_000))),
        ("many NOTs", format!("SELECT {} true", many("NOT ", 60_000))),
        ("many minuses", format!("SELECT {} 1", many("- ", 60_000))),
        ("many unions", format!("SELECT 1{}", many(" UNION ALL SELECT 1", 60_000))),
        ("nested calls", format!("SELECT {}1{}", many("abs(", 40_000), many(")", 10_000))),
        ("nested subqueries", format!("SELECT * FROM {}events{}", many("(SELECT * FROM ", 30_000), many(") x", 6_000))),
        ("nested lists", format!("SELECT {}1{}", many("[", 30_000), many("]", 30_000))),
        ("many columns", format!("SELECT 1{}", many(",1", 60_000))),
        ("many joins", format!("SELECT 1 FROM events{}", many(", events", 20_000))),
        ("a long text", "SELECT repeat('x', 2000000000)".into()),
        ("a text for each row", "SELECT sum(length(repeat(event_type, 10000000))) FROM events".into()),
        ("a padded text", "SELECT lpad('x', 2000000000, 'y')".into()),
        ("a long list", "SELECT cardinality(range(0, 2000000000))".into()),
        ("a long series", "SELECT cardinality(generate_series(0, 2000000000))".into()),
        ("an unnested list", "SELECT count(*) FROM (SELECT unnest(range(0, 2000000000)))".into()),
        ("a repeated element", "SELECT cardinality(array_repeat(1, 2000000000))".into()),
        ("a resized list", "SELECT cardinality(array_resize([1], 2000000000, 0))".into()),
        ("a large sort", "SELECT a.properties FROM events a, events b ORDER BY a.properties || b.properties".into()),
        ("a large list", "SELECT array_agg(a.properties || b.properties) FROM events a, events b".into()),
    ] {
        let started = Instant::now();
        let answer = ask(&aggregator, json!({ "sql": sql, "timeoutMs": 3_000 })).await;
        let (took, peak) = (started.elapsed(), aggregator.process().resident_peak_mib());
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        println!("{what}: {status} after {took:?}, {peak:.0} MiB at most");
        if answer.is_err() && aggregator.process().ends(DYING).await {
            let stderr = aggregator.process().stderr();
            faults.push(format!("{what}: the process died: {}", stderr.lines().last().unwrap_or_default()));
        } else if ![200, 400, 408].contains(&status) {
            faults.push(format!("{what}: {}", answer.map_or_else(|error| error.to_string(), |answer| answer.text())));
        } else if peak > PEAK_MIB_MAX {
            faults.push(format!("{what}: {peak:.0} MiB"));
        } else if took > ANSWERED {
            faults.push(format!("{what}: answered after {took:?}"));
        } else {
            continue;
        }
        // Each statement is tried on a sound process, and all faults are told at once.
        aggregator.kill().await?;
        aggregator.restart().await?;
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(aggregator.count("events").await?, 5_000);
    assert!(!aggregator.process().stderr().contains("panicked"), "{}", aggregator.process().stderr());
    Ok(())
}
