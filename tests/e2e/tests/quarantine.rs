//! What is faulty is set aside, looked at, corrected and let in again, once, across a SIGKILL; what a tenant switches on
//! stays on; what can be known of a sender stands beside what it said.

use anyhow::Result;
use ridealong_e2e::{Aggregator, package_folder};
use serde_json::{Value, json};

const TRACK: &str = "/api/analytics/track";
const BATCH: &str = "/api/analytics/batch-track";
const QUARANTINE: &str = "/api/analytics/quarantine";
const REPLAY: &str = "/api/analytics/quarantine/replay";
const CONFIG: &str = "/api/analytics/config";

async fn listed(aggregator: &Aggregator, query: &str) -> Result<Vec<Value>> {
    let answer = aggregator.api().get(&format!("{QUARANTINE}{query}")).await?.expect(200).json();
    Ok(answer["data"].as_array().expect("a list").clone())
}

async fn patch(aggregator: &Aggregator, id: &str, change: Value) -> Result<ridealong_e2e::Answer> {
    let api = aggregator.api();
    api.send(api.client().patch(api.url(&format!("{QUARANTINE}/{id}"))).json(&change)).await
}

async fn put(aggregator: &Aggregator, change: Value) -> Result<ridealong_e2e::Answer> {
    let api = aggregator.api();
    api.send(api.client().put(api.url(CONFIG)).json(&change)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_aside_is_corrected_and_replayed_once() -> Result<()> {
    let mut aggregator = Aggregator::start(&[]).await?;
    let faulty = json!({ "eventId": "order-1", "eventType": "order_placed", "timestamp": "soon", "userId": "u1" });
    let receipt = aggregator.api().post(TRACK, &faulty).await?.expect(202).json();
    assert_eq!(receipt["status"], "quarantined");
    assert!(receipt["error"].as_str().is_some_and(|text| text.starts_with("timestamp must be RFC 3339")), "{receipt}");
    let id = receipt["eventId"].as_str().expect("an id").to_owned();
    assert_eq!(aggregator.api().post(TRACK, &faulty).await?.expect(202).json()["status"], "duplicate");
    let batch = json!({ "events": [
        { "eventType": "a" },
        { "eventType": "timing", "properties": { "operation": "pay", "durationMs": -4 } },
        { "userId": "u" },
    ] });
    let receipts = aggregator.api().post(BATCH, &batch).await?.expect(200).json();
    let statuses: Vec<_> =
        receipts["results"].as_array().expect("results").iter().map(|it| it["status"].clone()).collect();
    assert_eq!(statuses, ["stored", "quarantined", "refused"]);
    assert_eq!((&receipts["successfulEvents"], &receipts["failedEvents"]), (&json!(1), &json!(2)));

    // By SQL, before and after a crash.
    let by_sql = "SELECT event_id, reason, payload FROM quarantine ORDER BY reason";
    let rows = aggregator.rows(by_sql).await?;
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0]["reason"], &rows[1]["reason"]), (&json!("bad_time"), &json!("out_of_range")));
    let payload: Value = serde_json::from_str(rows[0]["payload"].as_str().expect("a text"))?;
    assert_eq!(payload, faulty);
    aggregator.kill().await?;
    aggregator.restart().await?;
    assert_eq!(aggregator.rows(by_sql).await?, rows);
    // In the books, for ever: what came is what was stored, came before or was set aside.
    let stats = aggregator.stats().await?;
    let books = ["received", "stored", "duplicate", "quarantined"].map(|key| stats[key].as_u64());
    assert_eq!(books, [4, 1, 1, 2].map(Some), "{stats}");

    // By the API: filters, pages, one, what is none.
    assert_eq!(listed(&aggregator, "").await?.len(), 2);
    assert_eq!(listed(&aggregator, "?reason=bad_time&table=events").await?.len(), 1);
    assert_eq!(listed(&aggregator, "?to=2000-01-01T00:00:00Z").await?.len(), 0);
    let first = aggregator.api().get(&format!("{QUARANTINE}?limit=1")).await?.expect(200).json();
    let cursor = first["nextCursor"].as_str().expect("a cursor");
    let second = aggregator.api().get(&format!("{QUARANTINE}?limit=1&cursor={cursor}")).await?.expect(200).json();
    assert_ne!(first["data"][0]["eventId"], second["data"][0]["eventId"]);
    assert_eq!(second["nextCursor"], Value::Null);
    assert_eq!(aggregator.api().get(&format!("{QUARANTINE}/none")).await?.problem(404), "not-in-quarantine");
    for bad in ["?limit=0", "?cursor=x", "?status=gone", "?from=today", "?colour=red"] {
        assert_eq!(
            aggregator.api().get(&format!("{QUARANTINE}{bad}")).await?.problem(400),
            "invalid-parameter",
            "{bad}"
        );
    }

    // A replay of what is still faulty leaves it; a dry run of what is mended stores nothing; then once for ever.
    let replay =
        async |body: Value| -> Result<Value> { Ok(aggregator.api().post(REPLAY, &body).await?.expect(200).json()) };
    let still = replay(json!({ "all": true, "dryRun": false })).await?;
    assert_eq!((&still["total"], &still["quarantined"]), (&json!(2), &json!(2)));
    let mended =
        json!({ "payload": { "eventType": "order_placed", "timestamp": "2026-11-20T08:15:30Z", "userId": "u1" } });
    let corrected = patch(&aggregator, &id, mended).await?.expect(200).json();
    assert_eq!((&corrected["status"], &corrected["revision"]), (&json!("corrected"), &json!(2)));
    let dry = replay(json!({ "ids": [id] })).await?;
    assert_eq!((&dry["dryRun"], &dry["wouldStore"], &dry["stored"]), (&json!(true), &json!(1), &json!(0)));
    assert_eq!(aggregator.count("events").await?, 1);
    let done = replay(json!({ "reason": "bad_time", "dryRun": false })).await?;
    assert_eq!((&done["stored"], &done["results"][0]["eventId"]), (&json!(1), &json!(id)));
    assert_eq!(replay(json!({ "all": true, "ids": [id], "dryRun": false })).await?["total"], 0);
    assert_eq!(aggregator.count(&format!("events WHERE event_id = '{id}' AND user_id = 'u1'")).await?, 1);
    assert_eq!(listed(&aggregator, "").await?.len(), 1);
    assert_eq!(listed(&aggregator, "?status=replayed").await?[0]["eventId"], json!(id));
    assert_eq!(patch(&aggregator, &id, json!({ "status": "discarded" })).await?.problem(409), "already-replayed");

    let other = listed(&aggregator, "").await?[0]["eventId"].as_str().expect("an id").to_owned();
    patch(&aggregator, &other, json!({ "status": "discarded" })).await?.expect(200);
    assert_eq!(listed(&aggregator, "").await?.len(), 0);
    aggregator.flush().await?;
    aggregator.kill().await?;
    aggregator.restart().await?;
    assert_eq!(listed(&aggregator, "").await?.len(), 0);
    assert_eq!(listed(&aggregator, "?status=all").await?.len(), 2);
    let standings = "SELECT status, revision FROM quarantine ORDER BY status";
    let expected = [json!({ "status": "discarded", "revision": 2 }), json!({ "status": "replayed", "revision": 3 })];
    assert_eq!(aggregator.rows(standings).await?, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_on_stays_on_and_changes_are_logged() -> Result<()> {
    let mut aggregator = Aggregator::start(&[]).await?;
    let config = aggregator.api().get(CONFIG).await?.expect(200).json();
    assert_eq!(config["corrections"]["casing"], false);
    let wrong = put(&aggregator, json!({ "corrections": { "casings": true } })).await?;
    assert!(wrong.text().contains("did you mean casing?"), "{}", wrong.text());
    assert_eq!(wrong.problem(400), "invalid-setting");
    let segments = json!([{ "name": "dutch", "when": "country = 'NL'" }]);
    let change = json!({ "corrections": { "casing": true }, "segments": segments });
    put(&aggregator, change).await?.expect(200);
    let no_rule = json!({ "segments": [{ "name": "bad", "when": "no_such_column > 1" }] });
    assert_eq!(put(&aggregator, no_rule).await?.problem(400), "invalid-setting");
    aggregator.kill().await?;
    aggregator.restart().await?;
    let config = aggregator.api().get(CONFIG).await?.expect(200).json();
    assert_eq!((&config["corrections"]["casing"], &config["segments"]), (&json!(true), &segments));
    let event = json!({ "eventType": "a", "environment": "PROD", "userId": "u1", "context": { "location": { "country": "nl" } } });
    aggregator.api().post(TRACK, &event).await?.expect(202);
    let rows = aggregator.rows("SELECT environment, country, corrections FROM events").await?;
    assert_eq!((&rows[0]["environment"], &rows[0]["country"]), (&json!("prod"), &json!("NL")));
    let corrections: Value = serde_json::from_str(rows[0]["corrections"].as_str().expect("a log"))?;
    let change = json!({ "field": "environment", "rule": "casing", "before": "PROD", "after": "prod" });
    assert!(corrections.as_array().expect("a list").contains(&change), "{corrections}");
    let users = aggregator.rows("SELECT user_id, segment FROM users").await?;
    assert_eq!(users[0]["segment"], "dutch");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_a_sender_stands_in_the_row() -> Result<()> {
    let places = package_folder().join("../../aggregator/enrich/src/place/fixture/GeoIP2-City-Test.mmdb");
    let mut aggregator = Aggregator::start(&["--geo-file", &places.display().to_string()]).await?;
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let context = json!({ "userAgent": firefox, "ipAddress": "2.125.160.216" });
    let event = json!({ "eventType": "a", "timestamp": "2026-11-22T23:15:00+01:00", "context": context });
    aggregator.api().post(TRACK, &event).await?.expect(202);
    let sql = "SELECT device_type, platform, browser, is_bot, country, region, hour, weekday FROM events";
    let expected = json!({
        "device_type": "desktop", "platform": "Linux", "browser": "Firefox", "is_bot": false,
        "country": "GB", "region": "ENG", "hour": 22, "weekday": 7,
    });
    assert_eq!(aggregator.rows(sql).await?, std::slice::from_ref(&expected));
    aggregator.flush().await?;
    assert_eq!(aggregator.rows(sql).await?, [expected]);
    aggregator.terminate().await?;
    let file = aggregator.data().join("places.mmdb");
    std::fs::write(&file, "no places")?;
    let started = Aggregator::start(&["--geo-file", file.to_str().expect("a name")]).await;
    let error = started.err().expect("no start");
    assert!(format!("{error:#}").contains("is no MaxMind DB file"), "{error:#}");
    Ok(())
}
