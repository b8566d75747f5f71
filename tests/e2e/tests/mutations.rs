//! Rows that are deleted and corrected once they are stored: at once for every query, for good, and for nobody else.

#![allow(clippy::print_stdout, reason = "what a test measured is shown with it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use fastrand::Rng;
use ridealong_e2e::ledger::{assert_balanced, differences_sql};
use ridealong_e2e::{Aggregator, Api, events, eventually};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const EVENTS: &str = "/api/analytics/events";
const MUTATIONS: &str = "/api/analytics/mutations";
const PATIENCE: Duration = Duration::from_secs(30);

async fn track(aggregator: &Aggregator, user: &str, session: &str, count: usize) -> Result<Vec<String>> {
    let (ids, mut batch) = events::batch("seen", count);
    for event in batch["events"].as_array_mut().expect("events") {
        event["userId"] = json!(user);
        event["sessionId"] = json!(session);
    }
    aggregator.api().post("/api/analytics/batch-track", &batch).await?.expect(200);
    Ok(ids)
}

async fn run(api: &Api, job: &str) -> Result<Value> {
    Ok(api.post(&format!("/api/analytics/jobs/{job}/run"), &json!({})).await?.expect(200).json())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_is_read_corrected_and_deleted() -> Result<()> {
    let mut aggregator = Aggregator::start(&["--rewrite-every", "0s"]).await?;
    let ids = track(&aggregator, "ada", "s1", 3).await?;
    // One in a file, as are its neighbours; one in memory.
    aggregator.flush().await?;
    let more = track(&aggregator, "bob", "s2", 2).await?;
    for id in [&ids[0], &more[0]] {
        let path = format!("{EVENTS}/{id}");
        let event = aggregator.api().get(&path).await?.expect(200).json();
        assert_eq!((&event["eventId"], &event["eventType"]), (&json!(id), &json!("seen")));
        let change = json!({ "userId": "eve", "properties": { "plan": null, "tier": { "level": 2 } } });
        let changed = aggregator.api().patch(&path, &change).await?.expect(200).json();
        assert_eq!((&changed["userId"], &changed["sessionId"]), (&json!("eve"), &event["sessionId"]));
        let amount = &event["properties"]["amount"];
        assert_eq!(changed["properties"], json!({ "amount": amount, "tier": { "level": 2 } }));
        assert_eq!(aggregator.api().get(&path).await?.expect(200).json(), changed);
        for (change, status, what) in [
            (json!({ "eventId": "x" }), 400, "cannot be changed"),
            (json!({ "userId": [1] }), 400, "userId"),
            (json!([1]), 400, ""),
        ] {
            let answer = aggregator.api().patch(&path, &change).await?.expect(status);
            assert!(answer.text().contains(what), "{change}: {}", answer.text());
        }
        aggregator.api().delete(&path).await?.expect(200);
        for answer in [aggregator.api().get(&path).await?, aggregator.api().delete(&path).await?] {
            answer.expect(404);
        }
        aggregator.api().patch(&path, &json!({ "userId": "x" })).await?.expect(404);
    }
    assert_eq!(aggregator.integers("SELECT count(*), count(distinct event_id) FROM events").await?, [3, 3]);
    let pending = aggregator.api().get(MUTATIONS).await?.expect(200).json();
    assert!(pending["data"].as_array().expect("a list").iter().any(|it| it["filesLeft"] == 1), "{pending}");
    assert_balanced(&aggregator).await?;
    // A kill between what is promised and what the files say.
    aggregator.kill().await?;
    aggregator.restart().await?;
    assert_eq!(aggregator.integers("SELECT count(*), count(distinct event_id) FROM events").await?, [3, 3]);
    aggregator.flush().await?;
    run(aggregator.api(), "rewrite").await?;
    let pending = aggregator.api().get(MUTATIONS).await?.expect(200).json();
    assert_eq!(pending["data"], json!([]));
    let users = "SELECT user_id, event_count FROM users ORDER BY 1";
    let expected = json!([{ "user_id": "ada", "event_count": 2 }, { "user_id": "bob", "event_count": 1 }]);
    assert_eq!(json!(aggregator.rows(users).await?), expected);
    // What was deleted is not stored again.
    let again = json!({ "eventType": "seen", "eventId": ids[0], "userId": "ada" });
    let answer = aggregator.api().post("/api/analytics/track", &again).await?.expect(202).json();
    assert_eq!(answer["status"], "duplicate");
    assert_eq!(aggregator.stats().await?["deleted"], 2);
    assert_balanced(&aggregator).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_condition_are_changed_after_a_dry_run() -> Result<()> {
    let aggregator = Aggregator::start(&[]).await?;
    track(&aggregator, "ada", "s1", 30).await?;
    aggregator.flush().await?;
    track(&aggregator, "bob", "s2", 20).await?;
    let asked =
        json!({ "table": "events", "where": "user_id = 'ada' AND properties->>'plan' = 'pro'", "delete": true });
    let dry = aggregator.api().post(MUTATIONS, &asked).await?.expect(200).json();
    assert_eq!(dry, json!({ "mutation": null, "rows": 30, "dryRun": true }));
    assert_eq!(aggregator.count("events").await?, 50);
    let mut real = asked.clone();
    real["dryRun"] = json!(false);
    let done = aggregator.api().post(MUTATIONS, &real).await?.expect(200).json();
    assert_eq!(done, json!({ "mutation": 1, "rows": 30, "dryRun": false }));
    assert_eq!(aggregator.count("events").await?, 20);
    let set = json!({ "table": "events", "where": "true", "set": { "country": "NL" }, "dryRun": false });
    assert_eq!(aggregator.api().post(MUTATIONS, &set).await?.expect(200).json()["rows"], 20);
    assert_eq!(aggregator.count("events WHERE country = 'NL'").await?, 20);
    for (asked, what) in [
        (json!({ "table": "nothing", "where": "true", "delete": true }), "there are: requests, events"),
        (json!({ "table": "events", "where": "user_id =", "delete": true }), "cannot be read"),
        (json!({ "table": "events", "where": "true" }), "either"),
        (json!({ "table": "events", "where": "true", "delete": true, "set": {} }), "either"),
        (json!({ "table": "events", "where": "true", "set": { "event_id": "x" } }), "cannot be changed"),
        (json!({ "table": "events", "where": "now() > timestamp", "delete": true }), "must say the same"),
        (json!({ "table": "quarantine", "where": "true", "set": { "reason": "x" } }), "PATCH /quarantine"),
        (json!({ "table": "events", "where": "true", "delet": true }), "delet"),
    ] {
        let answer = aggregator.api().post(MUTATIONS, &asked).await?.expect(400);
        assert!(answer.text().contains(what), "{asked}: {}", answer.text());
    }
    assert_balanced(&aggregator).await
}

/// What one user's rows may be: how many, and their environment. More than one when an answer did not come.
type Possible = Vec<(i64, Option<String>)>;

/// Writes, deletes and corrects rows of users of its own, and looks at them.
struct Writer {
    api: Api,
    name: usize,
    random: Rng,
    users: Vec<Possible>,
    looks: Arc<AtomicU64>,
}

impl Writer {
    fn user(&self, at: usize) -> String {
        format!("w{}-{at}", self.name)
    }

    async fn step(&mut self) -> Result<()> {
        match self.random.u32(..10) {
            0..2 => self.write().await,
            2 => self.change(None).await,
            3 => {
                let environment = format!("e{}", self.random.u32(..1_000_000));
                self.change(Some(environment)).await
            }
            _ => self.look().await,
        }
    }

    async fn write(&mut self) -> Result<()> {
        let count = self.random.usize(1..20);
        let (_, mut batch) = events::batch("flow", count);
        for event in batch["events"].as_array_mut().context("events")? {
            event["userId"] = json!(self.user(self.users.len()));
            // Several days, so that there are several files.
            event["timestamp"] = json!(format!("2026-11-{:02}T10:00:00Z", self.random.u32(10..14)));
        }
        let answer = self.api.post("/api/analytics/batch-track", &batch).await;
        let stored = (count as i64, None);
        // Without an answer it is there or not; so it is once the aggregator is back.
        self.users.push(match answer {
            Ok(answer) if answer.status == 200 => vec![stored],
            _ => vec![(0, None), stored],
        });
        Ok(())
    }

    async fn change(&mut self, environment: Option<String>) -> Result<()> {
        if self.users.is_empty() {
            return Ok(());
        }
        let at = self.random.usize(..self.users.len());
        let condition = format!("user_id = '{}'", self.user(at));
        let mut asked = json!({ "table": "events", "where": condition, "dryRun": false });
        match &environment {
            Some(environment) => asked["set"] = json!({ "environment": environment }),
            None => asked["delete"] = json!(true),
        }
        let after: Possible = match environment {
            None => vec![(0, None)],
            Some(to) => self.users[at].iter().map(|(rows, _)| (*rows, (*rows > 0).then(|| to.clone()))).collect(),
        };
        match self.api.post(MUTATIONS, &asked).await {
            Ok(answer) if answer.status == 200 => self.users[at] = after,
            Ok(answer) if answer.status == 400 => anyhow::bail!("{}", answer.text()),
            _ => self.users[at].extend(after),
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<()> {
        if self.users.is_empty() {
            return Ok(());
        }
        let at = self.random.usize(..self.users.len());
        self.look_at(at).await
    }

    async fn look_at(&mut self, at: usize) -> Result<()> {
        let sql = format!(
            "SELECT count(*) AS rows, count(DISTINCT event_id) AS ids, min(environment) AS least,
                max(environment) AS greatest, count(environment) AS named FROM events WHERE user_id = '{}'",
            self.user(at)
        );
        let Ok(answer) = self.api.post("/api/analytics/query", &json!({ "sql": sql })).await else { return Ok(()) };
        if answer.status != 200 {
            return Ok(());
        }
        let row = answer.json()["data"][0].clone();
        let rows = row["rows"].as_i64().context("a count")?;
        assert_eq!(row["rows"], row["ids"], "a row is there twice: {row}");
        assert_eq!(row["least"], row["greatest"], "a correction is there in part: {row}");
        let found = (rows, row["least"].as_str().map(str::to_owned));
        assert!(found.1.is_none() || row["rows"] == row["named"], "a correction is there in part: {row}");
        assert!(self.users[at].contains(&found), "{}: {found:?} is none of {:?}", self.user(at), self.users[at]);
        self.users[at] = vec![found];
        self.looks.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

async fn keep_doing(api: Api, path: String, stop: Arc<AtomicBool>, pause_ms: u64) {
    while !stop.load(Ordering::SeqCst) {
        // The aggregator may be away.
        let _ = api.post(&path, &json!({})).await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(1..pause_ms))).await;
    }
}

/// How many queries are compared: `$RIDEALONG_LOOKS`.
#[allow(clippy::disallowed_methods, reason = "how long a test is to run is no setting of a program")]
fn looks_min() -> u64 {
    std::env::var("RIDEALONG_LOOKS").ok().and_then(|looks| looks.parse().ok()).unwrap_or(800)
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_queries_find_what_is_there_while_all_goes_on() -> Result<()> {
    const KILLS: u32 = 4;
    let looks_min = looks_min();
    let mut aggregator = Aggregator::start(&["--flush-rows", "300", "--flush-age", "1s"]).await?;
    let (stop, looks) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let mut around = JoinSet::new();
    for (path, pause_ms) in
        [("flush", 100), ("jobs/compact/run", 50), ("jobs/rewrite/run", 200), ("jobs/vacuum/run", 500)]
    {
        let (api, path) = (aggregator.api().clone(), format!("/api/analytics/{path}"));
        around.spawn(keep_doing(api, path, Arc::clone(&stop), pause_ms));
    }
    let mut writers = JoinSet::new();
    for name in 0..3 {
        let (api, stop, looks) = (aggregator.api().clone(), Arc::clone(&stop), Arc::clone(&looks));
        writers.spawn(async move {
            let random = Rng::with_seed(name as u64);
            let mut writer = Writer { api, name, random, users: Vec::new(), looks };
            while !stop.load(Ordering::SeqCst) {
                writer.step().await?;
            }
            anyhow::Ok(writer)
        });
    }
    let mut kills = 0_u32;
    while looks.load(Ordering::Relaxed) < looks_min {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Some(ended) = writers.try_join_next() {
            ended??;
            anyhow::bail!("a writer ended early");
        }
        if looks.load(Ordering::Relaxed) > looks_min * u64::from(kills + 1) / u64::from(KILLS + 1) {
            kills += 1;
            aggregator.kill().await?;
            aggregator.restart().await?;
        }
        if let Ok(answer) = aggregator.sql(&differences_sql()).await
            && answer.status == 200
        {
            assert_eq!(answer.json()["data"], json!([]), "books and tables differ");
        }
    }
    stop.store(true, Ordering::SeqCst);
    let mut expected = 0;
    let mut users = 0;
    while let Some(writer) = writers.join_next().await {
        let mut writer = writer??;
        users += writer.users.len();
        for at in 0..writer.users.len() {
            while writer.users[at].len() > 1 {
                writer.look_at(at).await?;
            }
            expected += writer.users[at][0].0;
        }
    }
    while around.join_next().await.is_some() {}
    aggregator.flush().await?;
    run(aggregator.api(), "rewrite").await?;
    eventually("no mutation is left", PATIENCE, async || {
        let left = aggregator.api().get(MUTATIONS).await.ok()?.json();
        (left["data"] == json!([])).then_some(())
    })
    .await;
    assert_eq!(
        aggregator.integers("SELECT count(*), count(distinct event_id) FROM events").await?,
        [expected, expected]
    );
    // Nothing is pending: users are those of the events that are left.
    let of_events = "SELECT user_id, count(*) AS n FROM events GROUP BY 1 ORDER BY 1";
    let of_users = "SELECT user_id, event_count AS n FROM users ORDER BY 1";
    assert_eq!(aggregator.rows(of_users).await?, aggregator.rows(of_events).await?);
    assert_balanced(&aggregator).await?;
    let stats = aggregator.stats().await?;
    println!("{users} users, {expected} rows left, {} deleted, {looks_min} queries, {kills} kills", stats["deleted"]);
    Ok(())
}
