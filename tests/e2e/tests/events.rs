//! Stored events as lists: whole and once under any disturbance, filtered and counted as SQL would, of one shape everywhere.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use ridealong_e2e::{Aggregator, Api, events};
use serde_json::{Value, json};

const EVENTS: &str = "/api/analytics/events";

/// Tracks `count` events at few times, so that many have the same; their ids.
async fn track(api: &Api, kind: &str, count: usize) -> Result<Vec<String>> {
    let (ids, mut batch) = events::batch(kind, count);
    for (at, event) in batch["events"].as_array_mut().expect("events").iter_mut().enumerate() {
        event["timestamp"] = json!(format!("2026-11-{:02}T08:15:30.12345{}Z", 1 + at % 3, at % 2));
        event["sessionId"] = json!(format!("s{}", at % 5));
        event["source"] = json!(["shop", "bank"][at % 2]);
        event["context"] =
            json!({ "location": { "country": "NL", "latitude": 52.1 }, "consent": { "analytics": true } });
    }
    api.post("/api/analytics/batch-track", &batch).await?.expect(200);
    Ok(ids)
}

/// All pages of a list, one request after the other.
async fn pages(api: &Api, filter: &str, limit: usize) -> Result<Vec<Value>> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("{EVENTS}?limit={limit}{filter}{cursor}")).await?.expect(200).json();
        found.extend(page["data"].as_array().context("no data")?.iter().cloned());
        let Some(next) = page["nextCursor"].as_str() else { return Ok(found) };
        assert_eq!(page["data"].as_array().map(Vec::len), Some(limit), "a page before the last is full");
        cursor = format!("&cursor={next}");
    }
}

fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["eventId"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_missed_or_twice_while_all_goes_on() -> Result<()> {
    let aggregator = Arc::new(Aggregator::start(&["--compact-every", "0s"]).await?);
    let mut there = Vec::new();
    for _ in 0..6 {
        there.extend(track(aggregator.api(), "before", 200).await?);
        aggregator.flush().await?;
    }
    there.extend(track(aggregator.api(), "before", 200).await?);
    let stop = Arc::new(AtomicBool::new(false));
    let disturbing = tokio::spawn({
        let (aggregator, stop) = (Arc::clone(&aggregator), Arc::clone(&stop));
        async move {
            while !stop.load(Ordering::Relaxed) {
                // As old as those that are read.
                track(aggregator.api(), "meanwhile", 50).await?;
                aggregator.flush().await?;
                aggregator.api().post("/api/analytics/jobs/compact/run", &json!({})).await?.expect(200);
            }
            anyhow::Ok(())
        }
    });
    for limit in [7, 100] {
        let found = pages(aggregator.api(), "", limit).await?;
        let unique: HashSet<&str> = ids(&found).into_iter().collect();
        assert_eq!(unique.len(), found.len(), "an event stands twice");
        let missed = there.iter().filter(|id| !unique.contains(id.as_str())).count();
        assert_eq!(missed, 0, "of {} events", there.len());
        let keys: Vec<(&str, &str)> = found
            .iter()
            .map(|event| (event["timestamp"].as_str().unwrap_or(""), event["eventId"].as_str().unwrap_or("")))
            .collect();
        assert!(keys.windows(2).all(|pair| pair[0] > pair[1]), "newest first, and by id");
    }
    stop.store(true, Ordering::Relaxed);
    disturbing.await??;
    Ok(())
}

#[tokio::test]
async fn filters_and_counts_are_those_of_sql() -> Result<()> {
    let aggregator = Aggregator::start(&[]).await?;
    track(aggregator.api(), "seen", 60).await?;
    aggregator.flush().await?;
    track(aggregator.api(), "it's; -- \"quoted\" %", 30).await?;
    let filters = [
        ("&type=seen", "event_type = 'seen'"),
        ("&type=it's;%20--%20%22quoted%22%20%25", "event_type LIKE 'it%'"),
        ("&service=shop&sessionId=s2", "source = 'shop' AND session_id = 's2'"),
        (
            "&from=2026-11-02T00:00:00Z&to=2026-11-03T08:15:30.123451Z",
            "\"timestamp\" >= '2026-11-02' AND \"timestamp\" < '2026-11-03T08:15:30.123451'",
        ),
        ("&from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59.999999Z", "true"),
        ("&to=0287-01-06T01:41:50Z", "false"),
        ("&category=none", "event_category = 'none'"),
        ("&from=2026-11-03T00:00:00Z&to=2026-11-02T00:00:00Z", "false"),
    ];
    for (filter, condition) in filters {
        let found = pages(aggregator.api(), filter, 11).await?;
        let mut expected = aggregator
            .rows(&format!("SELECT event_id FROM events WHERE {condition} ORDER BY \"timestamp\" DESC, event_id DESC"))
            .await?;
        let expected: Vec<String> =
            expected.iter_mut().filter_map(|row| row["event_id"].as_str().map(str::to_owned)).collect();
        assert_eq!(ids(&found), expected, "{filter}");
    }
    for (by, column) in [
        ("type", "event_type"),
        ("category", "event_category"),
        ("source", "source"),
        ("day", "CAST(\"timestamp\" AS DATE)"),
    ] {
        for (range, condition) in [("", "true"), ("&from=2026-11-02T00:00:00Z", "\"timestamp\" >= '2026-11-02'")] {
            let stats = aggregator.api().get(&format!("{EVENTS}/stats?by={by}{range}")).await?.expect(200).json();
            let expected = aggregator
                .rows(&format!("SELECT {column} AS it, count(*) AS n FROM events WHERE {condition} GROUP BY 1"))
                .await?;
            let expected: HashMap<String, i64> =
                expected.iter().map(|row| (row["it"].to_string(), row["n"].as_i64().unwrap_or(-1))).collect();
            let data = stats["data"].as_array().context("no data")?;
            let found: HashMap<String, i64> =
                data.iter().map(|row| (row[by].to_string(), row["count"].as_i64().unwrap_or(-1))).collect();
            assert_eq!((data.len(), &found), (expected.len(), &expected), "{by}{range}");
            assert_eq!(stats["total"].as_i64(), Some(expected.values().sum()), "{by}{range}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_event_has_one_shape() -> Result<()> {
    let aggregator = Aggregator::start(&[]).await?;
    let ids = track(aggregator.api(), "seen", 3).await?;
    let listed = pages(aggregator.api(), "", 50).await?;
    let recent = aggregator.api().get("/api/analytics/recent").await?.expect(200).json();
    assert_eq!(recent["events"].as_array(), Some(&listed));
    assert_eq!(listed.len(), ids.len());
    for event in &listed {
        let id = event["eventId"].as_str().context("no id")?;
        assert_eq!(&aggregator.api().get(&format!("{EVENTS}/{id}")).await?.expect(200).json(), event);
        assert_eq!(event["context"]["location"], json!({ "country": "NL", "latitude": 52.1 }));
        assert_eq!(event["context"]["consent"], json!({ "analytics": true }));
        assert_eq!(event["properties"]["plan"], "pro");
        assert!(event.get("userId").is_some() && event.get("anonymousId").is_none(), "{event}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_parameter_is_told() -> Result<()> {
    let aggregator = Aggregator::start(&[]).await?;
    for (query, named) in [
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("?limit=ten", "limit"),
        ("?cursor=MQ", "cursor"),
        ("?cursor=", "cursor"),
        ("?from=yesterday", "from"),
        ("?to=2026-11-20", "to"),
        ("?user=ada", "user"),
        ("?type=a&type=b", "type"),
        ("/stats?by=user", "user"),
        ("/stats?from=1", "from"),
    ] {
        let answer = aggregator.api().get(&format!("{EVENTS}{query}")).await?;
        assert_eq!(answer.problem(400), "invalid-parameter", "{query}");
        assert!(answer.text().contains(named), "{query}: {}", answer.text());
    }
    Ok(())
}
