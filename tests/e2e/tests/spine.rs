//! One request, one event, one host sample: all the way from the client to SQL, at once, through flushes and restarts.

use std::time::Duration;

use anyhow::Result;
use ridealong_e2e::load::Shape;
use ridealong_e2e::{Agent, Aggregator, Load, Upstream, events, eventually};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_request_through_the_proxy_is_found_by_sql() -> Result<()> {
    let upstream = Upstream::start().await?;
    let aggregator = Aggregator::start(&[]).await?;
    let flags = ["--environment", "test", "--service-version", "1.2.3"];
    let agent = Agent::start(&upstream.url(), &aggregator.url(), &flags).await?;
    let client = agent.proxy().client();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = client.post(agent.proxy().url("/users/7/orders?secret=1")).header("traceparent", trace).body("12345");
    let answer = agent.proxy().send(request.header("x-request-id", "mine-1")).await?.expect(200);
    assert_eq!(answer.text(), "hello, 5 bytes\n");
    assert_eq!(answer.headers["x-request-id"], "mine-1");
    assert!(answer.headers["server-timing"].to_str()?.starts_with("ridealong;dur="));
    assert!(answer.headers["x-response-time"].to_str()?.ends_with("ms"));
    assert!(!answer.headers.contains_key("x-ridealong-error"));
    let unnamed = agent.proxy().get("/status/503").await?.expect(503);
    agent.flush().await?;

    let rows = aggregator.rows("SELECT * FROM requests ORDER BY timestamp").await?;
    assert_eq!(rows.len(), 2, "{rows:?}");
    let row = &rows[0];
    for (column, expected) in [
        ("service", json!("shop")),
        ("environment", json!("test")),
        ("version", json!("1.2.3")),
        ("method", json!("POST")),
        ("path", json!("/users/7/orders")),
        ("route", json!("/users/{id}/orders")),
        ("status", json!(200)),
        ("protocol", json!("HTTP/1.1")),
        ("request_bytes", json!(5)),
        ("response_bytes", json!(15)),
        ("error", Value::Null),
        ("request_id", json!("mine-1")),
        ("trace_id", json!("4bf92f3577b34da6a3ce929d0e0e4736")),
        ("sample_weight", json!(1.0)),
    ] {
        assert_eq!(row[column], expected, "{column}");
    }
    assert!(row["host"].is_string());
    assert!(row["ttfb_us"].as_i64() <= row["duration_us"].as_i64());
    assert!(row["timestamp"].as_str() < row["received_at"].as_str());
    // A request without an id of its own is found by the one that the proxy made.
    assert_eq!(rows[1]["event_id"], unnamed.headers["x-request-id"].to_str()?);
    assert_eq!((&rows[1]["request_id"], &rows[1]["status"]), (&Value::Null, &json!(503)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn summaries_add_up_to_the_requests() -> Result<()> {
    let upstream = Upstream::start().await?;
    let aggregator = Aggregator::start(&[]).await?;
    let agent = Agent::start(&upstream.url(), &aggregator.url(), &["--host-interval", "1s"]).await?;
    let shape = Shape::new(4, Duration::ZERO).path(|n| match n % 10 {
        0 => "/status/500".into(),
        1 => "/status/404".into(),
        n => format!("/users/{n}"),
    });
    let load = Load::start(agent.proxy(), "sum", &shape);
    eventually("2,000 answers", PATIENCE, async || (load.answered() > 2_000).then_some(())).await;
    let sent = load.stop().await?.len() as i64;
    agent.flush().await?;
    let by = "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
    let requests = format!(
        "SELECT route, method, status, count(*) AS n, sum(CASE WHEN status >= 500 THEN 1 ELSE 0 END) AS errors,
         sum(duration_us) AS us, max(duration_us) AS max, sum(request_bytes) AS i, sum(response_bytes) AS o
         FROM requests {by}"
    );
    let summaries = format!(
        "SELECT route, method, status, sum(count) AS n, sum(error_count) AS errors, sum(duration_sum_us) AS us,
         max(duration_max_us) AS max, sum(request_bytes) AS i, sum(response_bytes) AS o FROM request_summaries {by}"
    );
    assert_eq!(aggregator.count("requests").await?, sent);
    assert_eq!(aggregator.rows(&requests).await?, aggregator.rows(&summaries).await?);
    let quantiles = "SELECT (SELECT percentile(0.9, duration_us) FROM requests) /
                            (SELECT percentile(0.9, duration_sketch) FROM request_summaries) AS ratio";
    let ratio = aggregator.rows(quantiles).await?[0]["ratio"].as_f64().unwrap_or(0.0);
    assert!((0.97..1.03).contains(&ratio), "{ratio}");
    let host = eventually("a host sample", PATIENCE, async || {
        aggregator.rows("SELECT * FROM host_metrics").await.ok()?.first().cloned()
    });
    let host = host.await;
    for column in ["memory_used_bytes", "memory_total_bytes", "disk_used_bytes", "disk_total_bytes"] {
        assert!(host[column].as_i64() > Some(0), "{column} in {host}");
    }
    assert!((0.0..=1.0).contains(&host["cpu_utilization"].as_f64().unwrap_or(-1.0)), "{host}");
    assert_eq!(host["service"], "shop");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_at_the_agent_is_found_by_sql() -> Result<()> {
    let upstream = Upstream::start().await?;
    let aggregator = Aggregator::start(&[]).await?;
    let agent = Agent::start(&upstream.url(), &aggregator.url(), &[]).await?;
    let (id, event) = events::event("order_placed");
    let answer = agent.api().post("/api/analytics/track", &event).await?.expect(202).json();
    assert_eq!(answer, json!({ "eventId": id, "status": "spooled" }));
    let (ids, mut batch) = events::batch("page_view", 3);
    batch["events"][1] = json!({ "eventId": "no type" });
    let answer = agent.api().post("/api/analytics/batch-track", &batch).await?.expect(200).json();
    assert_eq!((&answer["totalEvents"], &answer["successfulEvents"]), (&json!(3), &json!(2)));
    assert_eq!((&answer["failedEvents"], &answer["results"][1]["success"]), (&json!(1), &json!(false)));
    agent.flush().await?;
    let found = "SELECT event_type, source, user_id, properties->>'plan' AS plan FROM events WHERE event_id = ";
    let rows = aggregator.rows(&format!("{found}'{id}'")).await?;
    assert_eq!(
        rows,
        [json!({ "event_type": "order_placed", "source": "shop", "user_id": event["userId"], "plan": "pro" })]
    );
    assert_eq!(aggregator.rows(&format!("{found}'{}'", ids[2])).await?.len(), 1);
    assert_eq!(aggregator.count("events").await?, 3);
    let recent = agent.api().get("/api/analytics/recent?limit=2").await?.expect(200).json();
    assert_eq!(recent["events"][0]["eventId"], json!(ids[2]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_the_aggregator_tell_stored_from_duplicate() -> Result<()> {
    let aggregator = Aggregator::start(&[]).await?;
    let track = async |event: &Value| aggregator.api().post("/api/analytics/track", event).await;
    let (id, event) = events::event("signup");
    for status in ["stored", "duplicate", "duplicate"] {
        let answer = track(&event).await?.expect(202).json();
        assert_eq!(answer, json!({ "eventId": id, "status": status }));
    }
    let (mut ids, mut batch) = events::batch("mixed", 4);
    batch["events"][0] = event;
    batch["events"][2] = json!(7);
    batch["events"][3]["eventId"] = json!("order-17");
    let answer = aggregator.api().post("/api/analytics/batch-track", &batch).await?.expect(200).json();
    ids[0] = id;
    let statuses: Vec<&Value> = (0..4).map(|at| &answer["results"][at]["status"]).collect();
    assert_eq!(statuses, ["duplicate", "stored", "refused", "stored"]);
    assert_eq!((&answer["successfulEvents"], &answer["failedEvents"]), (&json!(3), &json!(1)));
    assert_eq!(answer["results"][0]["success"], true, "a repeat is a success");
    assert_eq!((&answer["results"][0]["eventId"], &answer["results"][1]["eventId"]), (&json!(ids[0]), &json!(ids[1])));
    // The UUIDv5 of a name, as in RFC 9562.
    let named = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, b"order-17").to_string();
    assert_eq!(answer["results"][3]["eventId"], json!(named));
    assert_eq!(aggregator.count("events").await?, 3);
    assert_eq!(track(&json!([1])).await?.problem(400), "invalid-event");
    let faulty = track(&json!({ "eventType": "x", "timestamp": "yesterday" })).await?.expect(202).json();
    assert_eq!(faulty["status"], "quarantined", "it is an event, and is kept to be mended");
    assert_eq!(track(&json!({ "event_type": "snake", "user_id": "u" })).await?.expect(202).json()["status"], "stored");
    let empty = aggregator.api().post("/api/analytics/batch-track", &json!({ "events": [] })).await?.expect(200).json();
    assert_eq!(empty["totalEvents"], 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_in_the_next_answer() -> Result<()> {
    let aggregator = Aggregator::start(&["--flush-rows", "40"]).await?;
    for expected in 1..=150 {
        let (id, event) = events::event("at_once");
        aggregator.api().post("/api/analytics/track", &event).await?.expect(202);
        let sql = format!("SELECT count(*), max(CASE WHEN event_id = '{id}' THEN 1 END) FROM events");
        assert_eq!(aggregator.integers(&sql).await?, [expected, 1]);
        if expected % 50 == 0 {
            aggregator.flush().await?;
            assert_eq!(aggregator.count("events").await?, expected);
        }
    }
    let lake = aggregator.stats().await?["lake"].clone();
    assert!(lake["flushes"].as_u64() >= Some(3), "{lake}");
    Ok(())
}
