//! What keeps the tables in order: run when asked, seen in SQL and over HTTP, with results that last; old days go to the
//! archive and from there for good, and the books say where every row is, killed at whatever moment.

#![allow(clippy::print_stdout, reason = "the seed of a run is shown with it")]

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use fastrand::Rng;
use ridealong_common::time::Timestamp;
use ridealong_e2e::ledger::{assert_balanced, sum};
use ridealong_e2e::{Aggregator, Answer};
use serde_json::{Value, json};
use uuid::Uuid;

const KILLS: u64 = 8;
/// Nothing runs by itself; the archive lies beside the data.
const FLAGS: [&str; 10] = [
    "--archive",
    "archive",
    "--compact-every",
    "0s",
    "--rewrite-every",
    "0s",
    "--retain-every",
    "0s",
    "--vacuum-every",
    "0s",
];

async fn put(aggregator: &Aggregator, rules: Value) -> Result<Answer> {
    let api = aggregator.api();
    api.send(api.client().put(api.url("/api/analytics/retention")).json(&rules)).await
}

async fn run(aggregator: &Aggregator, job: &str) -> Result<Value> {
    let answer = aggregator.api().post(&format!("/api/analytics/jobs/{job}/run"), &json!({})).await?.expect(200).json();
    assert_eq!(answer["lastError"], Value::Null, "{answer}");
    Ok(answer)
}

/// Events of one user, each so many days old.
async fn send(aggregator: &Aggregator, ages: impl Iterator<Item = u64>) -> Result<()> {
    let events = ages.map(|days| {
        let time = Timestamp(Timestamp::now().micros() - days as i64 * 86_400_000_000).to_string();
        let user = format!("user-{days}");
        json!({ "eventId": Uuid::new_v4(), "eventType": "aged", "userId": user, "timestamp": time })
    });
    let events: Vec<Value> = events.collect();
    for batch in events.chunks(1_000) {
        let receipt = aggregator.api().post("/api/analytics/batch-track", &json!({ "events": batch })).await?;
        assert_eq!(receipt.expect(200).json()["successfulEvents"], batch.len());
    }
    Ok(())
}

fn archive_of(aggregator: &Aggregator) -> PathBuf {
    aggregator.data().parent().expect("a folder").join("archive")
}

/// Data files below a folder.
fn data_files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let count = |path: PathBuf| match path.is_dir() {
        true => data_files(&path),
        false => usize::from(path.extension().is_some_and(|extension| extension == "parquet")),
    };
    entries.filter(|entry| entry.file_name() != "_delta_log").map(|entry| count(entry.path())).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn old_days_are_archived_then_dropped_and_results_last() -> Result<()> {
    let mut aggregator = Aggregator::start(&FLAGS).await?;
    let rules = json!({ "events": { "archiveAfter": "30d", "dropAfter": "365d" } });
    assert_eq!(put(&aggregator, rules.clone()).await?.expect(200).json(), rules);
    let ages = [(700, 100), (100, 200), (0, 50)].into_iter().flat_map(|(days, count)| std::iter::repeat_n(days, count));
    send(&aggregator, ages).await?;
    aggregator.flush().await?;

    let archived = run(&aggregator, "archive").await?;
    let result = &archived["lastResult"];
    // Events and the visits that are made of them.
    assert_eq!((&result["tables"], &result["filesRemoved"], &result["filesAdded"]), (&json!(2), &json!(4), &json!(4)));
    assert_eq!(data_files(&archive_of(&aggregator).join("default/events")), 2);
    assert_eq!(aggregator.count("events").await?, 350);
    assert_eq!(aggregator.count("events WHERE user_id = 'user-700'").await?, 100);
    assert_eq!(aggregator.integers("SELECT count(*), sum(event_count) FROM users").await?, [3, 350]);
    assert_balanced(&aggregator).await?;

    let retained = run(&aggregator, "retain").await?;
    assert_eq!(retained["lastResult"]["filesRemoved"], 2);
    assert_eq!(aggregator.count("events").await?, 250);
    assert_eq!(aggregator.integers("SELECT count(*), sum(event_count) FROM users").await?, [2, 250]);
    assert_eq!(sum(&aggregator, "table_name = 'events' AND outcome = 'dropped'").await?, 100);
    assert_eq!(run(&aggregator, "retain").await?["lastResult"]["rows"], 0, "nothing is left to do");

    for kill in [true, false] {
        let before = aggregator.rows("SELECT * FROM system.jobs ORDER BY job").await?;
        match kill {
            true => aggregator.kill().await?,
            false => drop(aggregator.terminate().await?),
        }
        aggregator.restart().await?;
        assert_balanced(&aggregator).await?;
        let stats = aggregator.stats().await?;
        assert_eq!((&stats["stored"], &stats["dropped"]["retention"]), (&json!(350), &json!(100)), "{stats}");
        assert_eq!(aggregator.count("events").await?, 250);
        assert_eq!(aggregator.rows("SELECT * FROM system.jobs ORDER BY job").await?, before);
        let shown = aggregator.api().get("/api/analytics/jobs/archive").await?.expect(200).json();
        assert_eq!(shown, archived, "after a restart");
        assert_eq!(aggregator.api().get("/api/analytics/retention").await?.expect(200).json(), rules);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_run_and_told_of() -> Result<()> {
    let aggregator = Aggregator::start(&FLAGS[2..]).await?;
    let api = aggregator.api();
    let listed = api.get("/api/analytics/jobs").await?.expect(200).json();
    let names: Vec<&str> =
        listed["data"].as_array().expect("a list").iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, ["compact", "rewrite", "archive", "retain", "vacuum"]);
    assert_eq!(listed["data"][4]["state"], "idle");

    for (method, path) in [("get", "/api/analytics/jobs/vacum"), ("post", "/api/analytics/jobs/vacum/run")] {
        let answer = if method == "get" { api.get(path).await? } else { api.post(path, &json!({})).await? };
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains("did you mean vacuum?") && detail.contains("compact, rewrite"), "{detail}");
        assert_eq!(answer.problem(404), "no-such-job");
    }
    api.post("/api/analytics/jobs/vacuum/run?wait=maybe", &json!({})).await?.problem(400);
    api.post("/api/analytics/jobs/vacuum/run?wait=false", &json!({})).await?.expect(202);
    assert!(run(&aggregator, "vacuum").await?["runs"].as_u64() >= Some(1));

    // No archive, no rule for it; every fault names its key.
    for (rules, key) in [
        (json!({ "events": { "archiveAfter": "30d" } }), "retention.events.archiveAfter"),
        (json!({ "events": { "dropAfter": "soon" } }), "retention.events.dropAfter"),
        (json!({ "evnts": { "dropAfter": "30d" } }), "retention.evnts"),
        (json!({ "events": 30 }), "retention.events"),
    ] {
        let answer = put(&aggregator, rules).await?;
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.starts_with(key), "{detail}");
        assert_eq!(answer.problem(400), "invalid-retention");
    }
    let metrics = api.get("/metrics").await?.expect(200).text();
    assert!(metrics.lines().any(|line| line.starts_with("ridealong_job_runs_total{job=\"vacuum\"} ")), "{metrics}");
    let health = api.get("/api/analytics/health").await?.json();
    let checks = health["checks"].as_array().expect("checks");
    assert!(checks.iter().any(|check| check["name"] == "jobs" && check["status"] == "ok"), "{health}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_names_is_deleted_when_it_is_old() -> Result<()> {
    let aggregator = Aggregator::start(&FLAGS).await?;
    send(&aggregator, [0, 1, 2].into_iter()).await?;
    aggregator.flush().await?;
    let table = aggregator.data().join("lake/default/events");
    let made = data_files(&table);
    let day = table.join("date=2026-01-01");
    std::fs::create_dir_all(&day)?;
    let long_ago = SystemTime::now() - Duration::from_secs(2 * 86_400);
    for (name, is_old) in [("old.parquet", true), ("young.parquet", false), ("begun.parquet#17", true)] {
        std::fs::write(day.join(name), "no table names it")?;
        if is_old {
            std::fs::File::options().write(true).open(day.join(name))?.set_modified(long_ago)?;
        }
    }
    let result = run(&aggregator, "vacuum").await?["lastResult"].clone();
    assert_eq!((&result["filesRemoved"], &result["bytes"]), (&json!(2), &json!(34)), "{result}");
    assert_eq!(data_files(&table), made + 1, "what the table names, and what is young");
    assert_eq!(aggregator.count("events").await?, 3);
    Ok(())
}

/// Every event is there once, or counted as dropped, after any number of kills; then the jobs complete what is left.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_killed_at_any_moment() -> Result<()> {
    let seed = std::process::id().into();
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let mut aggregator = Aggregator::start(&FLAGS).await?;
    let rules = json!({ "events": { "archiveAfter": "30d", "dropAfter": "100d" } });
    let (mut sent, mut cut_short) = (0, 0);
    for job in ["archive", "retain"] {
        for _ in 0..KILLS {
            // Twenty days, half of them older than is kept.
            send(&aggregator, (80..120).step_by(2).flat_map(|age| [age, age])).await?;
            sent += 40;
            aggregator.flush().await?;
            put(&aggregator, rules.clone()).await?.expect(200);
            let api = aggregator.api().clone();
            let path = format!("/api/analytics/jobs/{job}/run");
            let running = tokio::spawn(async move { api.post(&path, &json!({})).await.is_ok() });
            tokio::time::sleep(Duration::from_millis(random.u64(0..150))).await;
            aggregator.kill().await?;
            cut_short += u64::from(!running.await?);
            aggregator.restart().await?;
            let [all, ids] = aggregator.integers("SELECT count(*), count(DISTINCT event_id) FROM events").await?[..]
            else {
                anyhow::bail!("two numbers");
            };
            assert_eq!(all, ids, "none is there twice");
            assert_eq!(all as u64 + dropped(&aggregator).await?, sent);
            assert_balanced(&aggregator).await?;
        }
    }
    println!("{cut_short} of {} runs were cut short", 2 * KILLS);
    run(&aggregator, "archive").await?;
    run(&aggregator, "retain").await?;
    assert_balanced(&aggregator).await?;
    assert_eq!(aggregator.count("events").await? as u64 + dropped(&aggregator).await?, sent);
    assert_eq!(aggregator.count("events WHERE \"timestamp\" < now() - INTERVAL '102 days'").await?, 0);
    assert!(aggregator.count("events").await? > 0);
    run(&aggregator, "vacuum").await?;
    assert_balanced(&aggregator).await?;
    Ok(())
}

async fn dropped(aggregator: &Aggregator) -> Result<u64> {
    sum(aggregator, "table_name = 'events' AND outcome = 'dropped'").await
}
