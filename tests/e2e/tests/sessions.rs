//! `sessions` and `users` of a real aggregator: made of what was tracked, exact under late events, repeats and a kill.

use anyhow::Result;
use ridealong_e2e::aggregator::Aggregator;
use serde_json::{Value, json};

fn event(id: u32, user: &str, time: &str) -> Value {
    json!({ "eventId": format!("event-{id}"), "eventType": "page_view", "userId": user, "timestamp": time,
            "context": { "platform": "web", "location": { "country": "DE" } } })
}

async fn track(aggregator: &Aggregator, event: &Value) -> Result<Value> {
    Ok(aggregator.api().post("/api/analytics/track", event).await?.expect(202).json()["status"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_users_follow_late_events_and_survive_a_kill() -> Result<()> {
    let mut aggregator = Aggregator::start(&[]).await?;
    assert_eq!((aggregator.count("sessions").await?, aggregator.count("users").await?), (0, 0));
    let early = event(1, "ada", "2026-11-18T08:00:00Z");
    for event in [&early, &event(2, "ada", "2026-11-18T08:50:00Z"), &event(3, "bob", "2026-11-09T23:59:59Z")] {
        assert_eq!(track(&aggregator, event).await?, "stored");
    }
    let of_ada =
        "SELECT session_count, event_count, page_count, cohort, country, segment FROM users WHERE user_id = 'ada'";
    let ada = |sessions: u32, events: u32| {
        vec![json!({ "session_count": sessions, "event_count": events, "page_count": events, "cohort": "2026-11-16",
                     "country": "DE", "segment": null })]
    };
    assert_eq!(aggregator.rows(of_ada).await?, ada(2, 2));
    aggregator.flush().await?;
    aggregator.kill().await?;
    aggregator.restart().await?;
    assert_eq!(track(&aggregator, &early).await?, "duplicate");
    assert_eq!(aggregator.rows(of_ada).await?, ada(2, 2));
    // Between the two: they are one session now, hot beside cold, and again after a kill.
    assert_eq!(track(&aggregator, &event(4, "ada", "2026-11-18T08:25:00Z")).await?, "stored");
    assert_eq!(aggregator.rows(of_ada).await?, ada(1, 3));
    aggregator.kill().await?;
    aggregator.restart().await?;
    assert_eq!(aggregator.rows(of_ada).await?, ada(1, 3));
    let sessions = "SELECT user_id, event_count, duration_us FROM sessions ORDER BY user_id";
    let expected = [
        json!({ "user_id": "ada", "event_count": 3, "duration_us": 3_000_000_000i64 }),
        json!({ "user_id": "bob", "event_count": 1, "duration_us": 0 }),
    ];
    assert_eq!(aggregator.rows(sessions).await?, expected);
    let joined = "SELECT u.cohort, count(*) AS events FROM events e JOIN users u USING (user_id) GROUP BY 1 ORDER BY 1";
    let expected = [json!({ "cohort": "2026-11-09", "events": 1 }), json!({ "cohort": "2026-11-16", "events": 3 })];
    assert_eq!(aggregator.rows(joined).await?, expected);
    Ok(())
}
