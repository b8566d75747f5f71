//! Tables in a bucket: written, read, started again; and with everything that a store may do to a request, before and after
//! it had its effect. Whatever happens, each acknowledged event is there once.

#![allow(clippy::print_stdout, reason = "what a test measured is shown with it")]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use hyper::Method;
use ridealong_e2e::faulty::{Fault, Reach, Then};
use ridealong_e2e::process::run;
use ridealong_e2e::wait::free_address;
use ridealong_e2e::{Agent, Aggregator, Faulty, Moto, Scripted, Upstream, events, eventually};
use serde_json::json;

const BUCKET: &str = "tables";
const PLACE: &str = "s3://tables/our/lake";
const PATIENCE: Duration = Duration::from_secs(90);
const CREDENTIALS: [(&str, &str); 4] = [
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

#[allow(clippy::disallowed_methods, reason = "a test's length and seed are no configuration of the product")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn environment(endpoint: &str) -> Vec<(&str, &str)> {
    CREDENTIALS.into_iter().chain([("AWS_ENDPOINT_URL", endpoint)]).collect()
}

/// Ids of events that were acknowledged.
#[derive(Default)]
struct Sent(Vec<String>);

impl Sent {
    async fn send(&mut self, aggregator: &Aggregator, count: usize) -> Result<()> {
        let (ids, batch) = events::batch("s3", count);
        aggregator.api().post("/api/analytics/batch-track", &batch).await?.expect(200);
        self.0.extend(ids);
        Ok(())
    }

    /// Each is there once, and nothing else is.
    async fn assert_found(&self, aggregator: &Aggregator, when: &str) -> Result<()> {
        let found = aggregator.column("events", "event_id").await?;
        let distinct: HashSet<&String> = found.iter().collect();
        assert_eq!(distinct.len(), found.len(), "{when}: events are there twice");
        assert_eq!(distinct, self.0.iter().collect(), "{when}");
        Ok(())
    }
}

/// Flushes until it is done: a failed flush is the answer to a fault, and tried again.
async fn flush(aggregator: &Aggregator) {
    eventually("a flush", PATIENCE, async || {
        let answer = aggregator.api().post("/api/analytics/flush", &json!({})).await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_lie_in_the_bucket_and_are_read_from_it() -> Result<()> {
    let moto = Moto::start(BUCKET).await?;
    let upstream = Upstream::start().await?;
    let mut aggregator = Aggregator::start_at(PLACE, &environment(&moto.url()), &[]).await?;
    let agent = Agent::start(&upstream.url(), &aggregator.url(), &[]).await?;
    let mut sent = Sent::default();
    sent.send(&aggregator, 300).await?;
    for _ in 0..20 {
        agent.proxy().get("/users/7").await?.expect(200);
    }
    agent.flush().await?;
    aggregator.flush().await?;
    sent.send(&aggregator, 50).await?;
    sent.assert_found(&aggregator, "flushed and hot").await?;
    assert_eq!(aggregator.count("requests").await?, 20);
    assert_eq!(aggregator.count("users").await?, aggregator.count("(SELECT DISTINCT user_id FROM events)").await?);

    let keys = moto.keys(BUCKET, "our/lake/default/events/").await?;
    assert!(keys.iter().any(|key| key.ends_with("_delta_log/00000000000000000001.json")), "{keys:?}");
    assert!(keys.iter().any(|key| key.ends_with(".parquet")), "{keys:?}");
    assert!(!aggregator.folder().join("state/lake").exists() && aggregator.folder().join("state/log").is_dir());

    let (status, _) = aggregator.terminate().await?;
    assert!(status.success());
    aggregator.restart().await?;
    sent.assert_found(&aggregator, "started again").await?;
    aggregator.kill().await?;
    aggregator.restart().await?;
    sent.send(&aggregator, 10).await?;
    aggregator.flush().await?;
    sent.assert_found(&aggregator, "killed and flushed").await?;
    assert_eq!(aggregator.count("requests").await?, 20);
    Ok(())
}

/// What the jobs do to tables in a folder they do to those in a bucket, and the archive may be one as well.
#[tokio::test(flavor = "multi_thread")]
async fn tables_in_a_bucket_are_tended() -> Result<()> {
    let moto = Moto::start(BUCKET).await?;
    let archive = ["--archive", "s3://tables/our/archive"];
    let mut aggregator = Aggregator::start_at(PLACE, &environment(&moto.url()), &archive).await?;
    let mut sent = Sent::default();
    for day in [10, 10, 10, 11, 11, 12] {
        let (ids, mut batch) = events::batch("old", 20);
        for event in batch["events"].as_array_mut().expect("events") {
            event["timestamp"] = json!(format!("2025-11-{day}T10:00:00Z"));
        }
        aggregator.api().post("/api/analytics/batch-track", &batch).await?.expect(200);
        sent.0.extend(ids);
        aggregator.flush().await?;
    }
    sent.send(&aggregator, 30).await?;
    let gone: Vec<String> = [0, 50, 130].iter().rev().map(|at| sent.0.swap_remove(*at)).collect();
    for id in &gone {
        aggregator.api().delete(&format!("/api/analytics/events/{id}")).await?.expect(200);
    }
    sent.assert_found(&aggregator, "deleted").await?;
    aggregator.kill().await?;
    aggregator.restart().await?;
    sent.assert_found(&aggregator, "deleted, and started again").await?;
    aggregator.flush().await?;
    let rule = json!({ "events": { "archiveAfter": "30d" } });
    aggregator.api().put("/api/analytics/retention", &rule).await?.expect(200);
    for job in ["rewrite", "compact", "archive", "vacuum"] {
        let path = format!("/api/analytics/jobs/{job}/run");
        aggregator.api().post(&path, &json!({})).await?.expect(200);
        sent.assert_found(&aggregator, job).await?;
    }
    let archived = moto.keys(BUCKET, "our/archive/default/events/date=2025").await?;
    assert!(!archived.is_empty(), "nothing was archived");
    aggregator.kill().await?;
    aggregator.restart().await?;
    sent.assert_found(&aggregator, "tended, and started again").await?;
    ridealong_e2e::ledger::assert_balanced(&aggregator).await
}

/// What is wrong with the bucket, the credentials or the endpoint is said with how to mend it, and ends the start.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_cannot_be_used_ends_the_start_with_why() -> Result<()> {
    let moto = Moto::start(BUCKET).await?;
    // It takes everything, whatever the condition.
    let careless = Scripted::always("HTTP/1.1 200 OK\r\netag: \"1\"\r\ncontent-length: 0\r\n\r\n").await?;
    let refusing = Scripted::always("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await?;
    let nowhere = format!("http://{}", free_address()?);
    for (place, endpoint, environment, said) in [
        ("s3://absent/lake", moto.url(), &CREDENTIALS[..], &["no bucket absent", "make it"][..]),
        (PLACE, moto.url(), &CREDENTIALS[2..], &["no credentials", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"]),
        (PLACE, nowhere.clone(), &CREDENTIALS[..], &["cannot be reached", "AWS_ENDPOINT_URL", &nowhere]),
        (PLACE, careless.url(), &CREDENTIALS[..], &["If-None-Match", "newer version"]),
        (PLACE, refusing.url(), &CREDENTIALS[..], &["does not let these credentials", "s3:PutObject"]),
    ] {
        let folder = tempfile::tempdir()?;
        let isolated = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_CONFIG_FILE", "none"),
            ("AWS_SHARED_CREDENTIALS_FILE", "none"),
        ];
        let environment: Vec<_> = environment.iter().copied().chain(isolated).collect();
        let arguments = ["serve", "--data", place, "--listen", "127.0.0.1:0"];
        let ended = run("ridealong-aggregator", folder.path(), &arguments, &environment).await?;
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        for part in said.iter().chain(&[place]) {
            assert!(ended.stderr.contains(part), "{part:?} is not in: {}", ended.stderr);
        }
    }
    Ok(())
}

/// The others' tables lie in a folder.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_tables_lie_in_the_bucket_that_was_set_for_it() -> Result<()> {
    let moto = Moto::start(BUCKET).await?;
    let mut aggregator = Aggregator::start_at("data", &environment(&moto.url()), &[]).await?;
    let location = json!({ "location": "s3://tables/of/one" });
    let put = async |aggregator: &Aggregator| {
        let api = aggregator.api();
        api.send(api.client().put(api.url("/api/analytics/config")).json(&location)).await
    };
    assert_eq!(put(&aggregator).await?.expect(200).json()["location"], location["location"]);
    let mut sent = Sent::default();
    sent.send(&aggregator, 30).await?;
    aggregator.flush().await?;
    sent.send(&aggregator, 3).await?;
    sent.assert_found(&aggregator, "in the bucket and in memory").await?;
    assert!(put(&aggregator).await?.problem(400) == "invalid-setting", "it has rows by now");
    let keys = moto.keys(BUCKET, "of/one/events/_delta_log/").await?;
    assert!(!keys.is_empty() && !aggregator.data().join("lake/default").exists(), "{keys:?}");
    aggregator.kill().await?;
    aggregator.restart().await?;
    sent.assert_found(&aggregator, "started again").await
}

/// Keys in a file, as `aws configure` writes them.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_and_endpoint_come_from_a_profile() -> Result<()> {
    let moto = Moto::start(BUCKET).await?;
    let folder = tempfile::tempdir()?;
    let (config, keys) = (folder.path().join("config"), folder.path().join("credentials"));
    std::fs::write(&config, format!("[profile lake]\nregion = eu-west-1\nendpoint_url = {}\n", moto.url()))?;
    std::fs::write(&keys, "[lake]\naws_access_key_id = test\naws_secret_access_key = test\n")?;
    let environment = [
        ("AWS_PROFILE", "lake"),
        ("AWS_CONFIG_FILE", config.to_str().unwrap_or_default()),
        ("AWS_SHARED_CREDENTIALS_FILE", keys.to_str().unwrap_or_default()),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let aggregator = Aggregator::start_at(PLACE, &environment, &[]).await?;
    let mut sent = Sent::default();
    sent.send(&aggregator, 10).await?;
    aggregator.flush().await?;
    sent.assert_found(&aggregator, "flushed").await
}

/// Each way to lose the answer to a put, on commits and on files, of a new table and of one that is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_put_whose_answer_is_lost_is_neither_lost_nor_doubled() -> Result<()> {
    let moto = Moto::start(BUCKET).await?;
    let faulty = Faulty::start(moto.address(), 0).await?;
    let mut aggregator = Aggregator::start_at(PLACE, &environment(&faulty.url()), &[]).await?;
    let mut sent = Sent::default();
    let (commits, files) = ("_delta_log/0", ".parquet");
    let mut faults = Vec::new();
    for reach in [Reach::First, Reach::Never, Reach::Later(Duration::from_millis(300))] {
        for then in [409, 412, 500, 503].map(Then::Answer).into_iter().chain([Then::Cut]) {
            faults.extend([commits, files].map(|path| Fault { method: Method::PUT, path, reach, then, times: 1 }));
        }
    }
    // More often than anybody tries again.
    for (reach, status) in [(Reach::First, 409), (Reach::First, 503), (Reach::Never, 409), (Reach::Never, 503)] {
        let (method, then) = (Method::PUT, Then::Answer(status));
        faults.push(Fault { method, path: commits, reach, then, times: 9 });
    }
    for fault in faults {
        let when = format!("{fault:?}");
        let before = faulty.done();
        faulty.add(fault);
        sent.send(&aggregator, 5).await?;
        flush(&aggregator).await;
        assert!(faulty.done() > before, "it did not happen: {when}");
        faulty.forget();
        sent.assert_found(&aggregator, &when).await?;
    }
    // What queries said was in memory and in the bucket; now only the bucket is left.
    aggregator.kill().await?;
    aggregator.restart().await?;
    sent.assert_found(&aggregator, "started again").await
}

/// A put that is not answered for longer than anybody waits, and arrives when the next was made, or never.
#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_arrives_late_is_neither_lost_nor_doubled() -> Result<()> {
    let moto = Moto::start(BUCKET).await?;
    let faulty = Faulty::start(moto.address(), 0).await?;
    let mut aggregator = Aggregator::start_at(PLACE, &environment(&faulty.url()), &[]).await?;
    let mut sent = Sent::default();
    sent.send(&aggregator, 5).await?;
    flush(&aggregator).await;
    let path = "events/_delta_log/0";
    let cut = |after| Fault {
        method: Method::PUT,
        path,
        reach: Reach::Later(Duration::from_millis(after)),
        then: Then::Cut,
        times: 1,
    };
    // In the same process, with more rows in the next flush than in the one that arrives.
    for after in [0, 50, 200, 1_000, 2_500] {
        faulty.add(cut(after));
        sent.send(&aggregator, 5).await?;
        let _ = aggregator.api().post("/api/analytics/flush", &json!({})).await?;
        sent.send(&aggregator, 5).await?;
        flush(&aggregator).await;
        sent.assert_found(&aggregator, &format!("{after} ms late")).await?;
        faulty.forget();
    }
    // The process that made it is gone: the rows come again from the log.
    for after in [0, 50, 200, 1_000, 2_500] {
        faulty.add(cut(after));
        sent.send(&aggregator, 5).await?;
        let api = aggregator.api().clone();
        let flushing = tokio::spawn(async move { api.post("/api/analytics/flush", &json!({})).await.is_ok() });
        eventually("the fault", PATIENCE, async || (faulty.planned() == 0).then_some(())).await;
        // These are read from the log in one piece with those that are on their way.
        sent.send(&aggregator, 5).await?;
        aggregator.kill().await?;
        flushing.await?;
        aggregator.restart().await?;
        sent.send(&aggregator, 5).await?;
        tokio::time::sleep(Duration::from_millis(after)).await;
        sent.assert_found(&aggregator, &format!("{after} ms late, after a kill")).await?;
        flush(&aggregator).await;
        sent.assert_found(&aggregator, &format!("{after} ms late, after a kill, flushed")).await?;
    }
    // Never answered, and put or not.
    for reach in [Reach::First, Reach::Never] {
        faulty.add(Fault { method: Method::PUT, path, reach, then: Then::Hang, times: 1 });
        sent.send(&aggregator, 5).await?;
        flush(&aggregator).await;
        sent.assert_found(&aggregator, &format!("{reach:?} and never answered")).await?;
    }
    Ok(())
}

/// The store is away: what comes is acknowledged and read from memory, health says so, and nobody has to do anything when
/// it is back.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_store_it_takes_events_says_so_and_recovers_alone() -> Result<()> {
    let moto = Moto::start(BUCKET).await?;
    let faulty = Faulty::start(moto.address(), 0).await?;
    let aggregator = Aggregator::start_at(PLACE, &environment(&faulty.url()), &["--flush-age", "1s"]).await?;
    let mut sent = Sent::default();
    sent.send(&aggregator, 500).await?;
    flush(&aggregator).await;
    // Of the whole it may be that the disk of this machine is nearly full.
    let health = async || {
        let health = aggregator.api().get("/api/analytics/health").await.ok()?.json();
        let checks = health["checks"].as_array()?.iter();
        checks.filter(|check| check["name"] == "lake").find_map(|check| check["status"].as_str().map(str::to_owned))
    };

    faulty.down(true);
    sent.send(&aggregator, 100).await?;
    eventually("health degraded", PATIENCE, async || (health().await? == "degraded").then_some(())).await;
    sent.send(&aggregator, 100).await?;
    let asked = json!({ "sql": "SELECT sum(length(event_id)) FROM events" });
    let answer = aggregator.api().post("/api/analytics/query", &asked).await?;
    assert_eq!(answer.problem(503), "store-unreachable", "{}", answer.text());
    assert!(answer.text().contains("events"), "it names the file: {}", answer.text());

    faulty.down(false);
    eventually("health ok", PATIENCE, async || (health().await? == "ok").then_some(())).await;
    let committed = async || (aggregator.stats().await.ok()?["lake"]["hotRows"] == 0).then_some(());
    eventually("all rows in the bucket", PATIENCE, committed).await;
    sent.assert_found(&aggregator, "recovered").await
}

/// Faults of all kinds, at random, while events come in and the aggregator is killed and started again.
///
/// `RIDEALONG_S3_KILLS` (6) and `RIDEALONG_S3_SEED` (drawn, printed) choose how long and which moments.
#[tokio::test(flavor = "multi_thread")]
async fn under_load_with_faults_and_kills_nothing_is_lost_or_doubled() -> Result<()> {
    let seed = number("RIDEALONG_S3_SEED").unwrap_or_else(|| fastrand::u64(..));
    let kills = number("RIDEALONG_S3_KILLS").unwrap_or(6);
    println!("RIDEALONG_S3_SEED={seed} RIDEALONG_S3_KILLS={kills}");
    let mut random = fastrand::Rng::with_seed(seed);
    let moto = Moto::start(BUCKET).await?;
    let faulty = Faulty::start(moto.address(), seed).await?;
    let flags = ["--flush-age", "300ms"];
    let mut aggregator = Aggregator::start_at(PLACE, &environment(&faulty.url()), &flags).await?;
    let (mut sent, mut unknown) = (Sent::default(), HashSet::new());
    for _ in 0..kills {
        faulty.randomly(4);
        let until = Instant::now() + Duration::from_millis(random.u64(500..4_000));
        while Instant::now() < until {
            sent.send(&aggregator, 7).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Right into a flush, and with a batch on its way.
        let (ids, batch) = events::batch("s3", 7);
        let api = aggregator.api().clone();
        let posting = tokio::spawn(async move { api.post("/api/analytics/batch-track", &batch).await });
        tokio::time::sleep(Duration::from_millis(random.u64(0..10))).await;
        aggregator.kill().await?;
        match posting.await? {
            Ok(answer) if answer.status == 200 => sent.0.extend(ids),
            _ => unknown.extend(ids),
        }
        // A start asks the store, and gives up when that fails.
        faulty.randomly(0);
        aggregator.restart().await?;
    }
    flush(&aggregator).await;
    let found = aggregator.column("events", "event_id").await?;
    let distinct: HashSet<&String> = found.iter().collect();
    println!("{} faults, {} sent, {} unknown, {} found", faulty.done(), sent.0.len(), unknown.len(), found.len());
    assert_eq!(distinct.len(), found.len(), "events are there twice");
    assert!(sent.0.iter().all(|id| distinct.contains(id)), "acknowledged events are lost");
    assert!(found.iter().all(|id| unknown.contains(id) || sent.0.contains(id)), "events that nobody sent");
    assert!(faulty.done() > 0);
    Ok(())
}
