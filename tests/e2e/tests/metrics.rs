//! `POST /metrics` through the real programs: what agents sent and what was posted, beside what SQL says of the same rows;
//! in memory, in tables, after deletions and a restart.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use ridealong_common::time::Timestamp;
use ridealong_e2e::load::Shape;
use ridealong_e2e::{Agent, Aggregator, Load, Upstream, eventually};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

async fn ask(aggregator: &Aggregator, question: &Value) -> Result<Value> {
    Ok(aggregator.api().post("/api/analytics/metrics", question).await?.expect(200).json())
}

/// Rows by their dimensions, each with its numbers.
fn by(rows: &[Value], dimensions: &[&str], numbers: &[&str]) -> BTreeMap<Vec<String>, Vec<Value>> {
    let key = |row: &Value| dimensions.iter().map(|name| row[name].to_string()).collect();
    let numbers = |row: &Value| numbers.iter().map(|name| row[name].clone()).collect();
    rows.iter().map(|row| (key(row), numbers(row))).collect()
}

fn data(answer: &Value) -> Result<Vec<Value>> {
    answer["data"].as_array().cloned().with_context(|| format!("no data: {answer}"))
}

/// Whatever is sampled: each request counts.
#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_exactly_at_any_sampling_rate() -> Result<()> {
    let upstream = Upstream::start().await?;
    let mut aggregator = Aggregator::start(&["--compact-every", "1s"]).await?;
    let flags = ["--sample", "0.1", "--host-interval", "1s", "--environment", "test"];
    let agent = Agent::start(&upstream.url(), &aggregator.url(), &flags).await?;
    let from = Timestamp::now();
    let shape = Shape::new(4, Duration::ZERO).path(|n| match n % 10 {
        0 => "/status/500".into(),
        1 => "/status/404".into(),
        n => format!("/users/{n}"),
    });
    let load = Load::start(agent.proxy(), "metrics", &shape);
    eventually("2,000 answers", PATIENCE, async || (load.answered() > 2_000).then_some(())).await;
    let sent = load.stop().await?.len();
    agent.flush().await?;
    let range = json!({ "from": from.to_string(), "to": "now" });
    let total = json!({ "metrics": ["request_count", "error_rate"], "timeRange": range });
    let by_route = json!({
        "metrics": ["request_count", "error_count", "latency_p50", "latency_p99", "latency_max", "response_bytes"],
        "dimensions": ["service", "route", "status"],
        "filters": [{ "field": "environment", "op": "=", "value": "test" }],
        "timeRange": range,
        "granularity": "1h",
    });
    let sql = "SELECT service, route, status, sum(count) AS request_count, sum(error_count) AS error_count,
        percentile(0.5, duration_sketch) / 1000 AS p50, max(duration_max_us) / 1000.0 AS latency_max,
        sum(response_bytes) AS response_bytes FROM request_summaries GROUP BY 1, 2, 3";
    for turn in ["in memory", "in tables", "after a restart"] {
        let answer = ask(&aggregator, &total).await?;
        assert_eq!(answer["data"][0]["request_count"], json!(sent), "{turn}: {answer}");
        let rate = answer["data"][0]["error_rate"].as_f64().context("no rate")?;
        assert!((rate - 0.1).abs() < 0.02, "{turn}: {rate}");
        let answer = ask(&aggregator, &by_route).await?;
        assert_eq!(answer["metadata"]["dataSource"], "summaries", "{turn}");
        assert_eq!(answer["metadata"]["relativeError"], json!({ "latency": 0.01, "distinct": null }));
        let (rows, expected) = (data(&answer)?, aggregator.rows(sql).await?);
        let numbers = ["request_count", "error_count", "latency_max", "response_bytes"];
        let dimensions = ["service", "route", "status"];
        // All within one hour, or on both sides of its end: then there are more rows, and sums alone could be compared.
        if rows.len() == expected.len() {
            assert_eq!(by(&rows, &dimensions, &numbers), by(&expected, &dimensions, &numbers), "{turn}");
        }
        for row in &rows {
            let number = |name: &str| row[name].as_f64().with_context(|| format!("no {name}: {row}"));
            assert!(number("latency_p50")? <= number("latency_p99")?, "{row}");
            assert!(number("latency_p99")? <= number("latency_max")?, "{row}");
        }
        match turn {
            "in memory" => aggregator.flush().await?,
            _ => {
                aggregator.kill().await?;
                aggregator.restart().await?;
            }
        }
    }
    let hosts = json!({
        "metrics": ["cpu_utilization", "memory_utilization", "disk_utilization"],
        "dimensions": ["host", "service"],
        "timeRange": range,
    });
    let hosts = eventually("a host sample", PATIENCE, async || {
        let answer = ask(&aggregator, &hosts).await.ok()?;
        answer["data"][0].is_object().then_some(answer)
    })
    .await;
    for name in ["cpu_utilization", "memory_utilization", "disk_utilization"] {
        let share = hosts["data"][0][name].as_f64().with_context(|| format!("no {name}: {hosts}"))?;
        assert!((0.0..=1.0).contains(&share), "{name}: {share}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_in_the_answer_begun_after_their_acknowledgement() -> Result<()> {
    let mut aggregator = Aggregator::start(&["--rewrite-every", "1s"]).await?;
    let question = json!({
        "metrics": ["event_count", "unique_users", "unique_sessions"],
        "dimensions": ["event_type"],
        "timeRange": { "from": "2026-01-01T00:00:00Z", "to": "2026-01-03T00:00:00Z" },
        "granularity": "1d",
    });
    let event = |n: u64| {
        json!({
            "eventType": if n.is_multiple_of(3) { "order" } else { "view" },
            "timestamp": format!("2026-01-0{}T{:02}:00:00Z", 1 + n % 2, n % 24),
            "userId": format!("user-{}", n % 17),
            "sessionId": format!("session-{}", n % 31),
        })
    };
    let mut counted = 0;
    for round in 0..30u64 {
        let events: Vec<Value> = (round * 20..round * 20 + 20).map(event).collect();
        aggregator.api().post("/api/analytics/batch-track", &json!({ "events": events })).await?.expect(200);
        counted += 20;
        if round % 7 == 3 {
            aggregator.flush().await?;
        }
        let rows = data(&ask(&aggregator, &question).await?)?;
        let sum: u64 = rows.iter().filter_map(|row| row["event_count"].as_u64()).sum();
        assert_eq!(sum, counted, "round {round}");
    }
    let sql = "SELECT event_type, date_trunc('day', timestamp) AS day, count(*) AS event_count,
        count(DISTINCT user_id) AS unique_users, count(DISTINCT session_id) AS unique_sessions
        FROM events GROUP BY 1, 2";
    let numbers = ["event_count", "unique_users", "unique_sessions"];
    let alike = async |aggregator: &Aggregator| -> Result<()> {
        let (ours, theirs) = (data(&ask(aggregator, &question).await?)?, aggregator.rows(sql).await?);
        let ours = by(&ours, &["event_type", "timestamp"], &numbers);
        assert_eq!(ours, by(&theirs, &["event_type", "day"], &numbers));
        Ok(())
    };
    alike(&aggregator).await?;
    let deletion = json!({ "table": "events", "where": "user_id = 'user-3'", "delete": true, "dryRun": false });
    aggregator.api().post("/api/analytics/mutations", &deletion).await?.expect(200);
    alike(&aggregator).await?;
    assert!(ask(&aggregator, &question).await?["metadata"]["cacheHit"].as_bool() == Some(true));
    aggregator.kill().await?;
    aggregator.restart().await?;
    alike(&aggregator).await?;
    assert!(aggregator.data().join("rollups").is_dir());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_none_says_what_to_mend() -> Result<()> {
    let aggregator = Aggregator::start(&[]).await?;
    let range = json!({ "from": "now-1h", "to": "now" });
    let wrong = [
        (json!({ "metrics": ["event_cout"], "timeRange": range }), "did you mean event_count?"),
        (json!({ "metrics": ["event_count"], "dimensions": ["route"], "timeRange": range }), "dimensions[0]"),
        (json!({ "metrics": ["event_count"], "timeRange": { "from": "now", "to": "now-1h" } }), "timeRange"),
        (json!({ "metrics": ["event_count"], "timeRange": range, "granularity": "1 week" }), "granularity"),
        (
            json!({ "metrics": ["event_count"], "timeRange": { "from": "now-30d", "to": "now" }, "granularity": "1s" }),
            "take ",
        ),
        (json!({ "metrics": ["event_count"] }), "timeRange"),
        (json!({ "metrics": ["event_count"], "timeRange": range, "metric": "x" }), "metric"),
        (
            json!({ "metrics": ["event_count"], "timeRange": range, "filters": [{ "field": "source", "op": "~", "value": "x" }] }),
            "filters[0]",
        ),
    ];
    for (question, expected) in wrong {
        let answer = aggregator.api().post("/api/analytics/metrics", &question).await?.expect(400);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert!(answer.text().contains(expected), "{question}: {}", answer.text());
    }
    Ok(())
}
