use serde_json::{Value, json};

use super::*;
use crate::engine::tests::Sandbox;

#[test]
fn statements_that_differ_in_values_are_of_one_shape() {
    let first = shape("SELECT count(*) FROM events WHERE user_id = 'a' AND timestamp > '2024-01-01' LIMIT 5");
    assert_eq!(first, shape("SELECT count(*) FROM events WHERE user_id = 'b' AND timestamp > '2025-01-01' LIMIT 7"));
    assert_ne!(first, shape("SELECT count(*) FROM events WHERE source = 'a' AND timestamp > '2024-01-01' LIMIT 5"));
}

fn only(sql: &str) -> String {
    let mut found = alternatives(sql);
    assert_eq!(found.len(), 1, "{sql}: {found:?}");
    found.remove(0).sql
}

#[test]
fn requests_that_are_only_counted_may_be_summaries() {
    let sql = only(
        "SELECT route, count(*), avg(duration_us), percentile(0.95, duration_us) FROM requests
         WHERE service = 'shop' AND timestamp >= '2024-01-01' GROUP BY route ORDER BY count(*) DESC",
    );
    assert_eq!(
        sql,
        "SELECT route, (sum(count)), (sum(duration_sum_us) / CAST(sum(count) AS DOUBLE PRECISION)), \
         (percentile(0.95, duration_sketch)) FROM request_summaries \
         WHERE service = 'shop' AND timestamp >= '2024-01-01' GROUP BY route ORDER BY (sum(count)) DESC"
    );
    for not in [
        "SELECT path, count(*) FROM requests GROUP BY path",
        "SELECT route FROM requests",
        "SELECT count(*) FROM events",
        "SELECT count(*) FROM requests WHERE duration_us > 5",
        "SELECT count(DISTINCT route), count(*) FROM requests r JOIN requests s ON r.route = s.route",
        "SELECT count(*) FILTER (WHERE status = 500) FROM requests",
    ] {
        assert_eq!(alternatives(not), [], "{not}");
    }
}

#[test]
fn times_and_ids_are_compared_themselves() {
    let range = "SELECT user_id FROM events WHERE (timestamp >= TIMESTAMP '2024-05-01' AND timestamp < TIMESTAMP \
                 '2024-05-01' + INTERVAL '1 day')";
    assert_eq!(only("SELECT user_id FROM events WHERE date_trunc('day', timestamp) = '2024-05-01'"), range);
    assert_eq!(only("SELECT user_id FROM events WHERE timestamp::date = DATE '2024-05-01'"), range);
    let id = "SELECT user_id FROM events WHERE event_id = 'x'";
    assert_eq!(only("SELECT user_id FROM events WHERE lower(event_id) = 'x'"), id);
    assert_eq!(only("SELECT user_id FROM events WHERE event_id::text = 'x'"), id);
}

#[test]
fn what_is_not_clearly_faster_is_not_advised() {
    let ms = Duration::from_millis;
    assert_eq!(Advice::measured("so", ms(100), ms(95)), None);
    assert_eq!(Advice::measured("so", ms(100), ms(200)), None);
    let advice = Advice::measured("so", ms(100), ms(50)).expect("advice");
    assert_eq!(advice.effect.as_deref(), Some("measured: 100 ms as asked, 50 ms so"));
}

#[test]
fn what_is_known_of_a_shape_is_found_out_once() {
    let advisor = Advisor::default();
    assert_eq!(advisor.ask("a"), Known::Nothing);
    assert_eq!(advisor.ask("a"), Known::Advice(None), "somebody is at it");
    let advice = Advice { text: "so".into(), effect: None };
    advisor.learn("a", advice.clone());
    assert_eq!(advisor.ask("a"), Known::Advice(Some(advice)));
}

/// What is shown of the latest query that is like this, once there is advice.
fn advised(sandbox: &Sandbox, like: &str) -> Value {
    let sql = format!(
        "SELECT advice, advice_effect FROM system.queries WHERE advice IS NOT NULL AND sql LIKE '{like}%' LIMIT 1"
    );
    let begun = std::time::Instant::now();
    loop {
        let rows = sandbox.rows(&sql);
        if rows != json!([]) {
            return rows[0].clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "no advice for {like}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn another_way_to_ask_is_measured_before_it_is_advised() {
    let sandbox = Sandbox::with(|engine| engine.with_slow(Duration::ZERO));
    for _ in 0..20 {
        sandbox.requests(5_000);
    }
    sandbox.flush();
    let sql = "SELECT route, count(*) AS c, max(duration_us) AS most FROM requests GROUP BY route";
    sandbox.rows(sql);
    let advice = advised(&sandbox, "SELECT route, count");
    assert!(advice["advice"].as_str().is_some_and(|text| text.contains("FROM request_summaries")), "{advice}");
    assert!(advice["advice_effect"].as_str().is_some_and(|text| text.starts_with("measured: ")), "{advice}");
    // The next of its shape has it at once.
    sandbox.requests(1);
    sandbox.rows(sql);
    let count = "SELECT count(*) AS c FROM system.queries WHERE advice IS NOT NULL AND sql LIKE 'SELECT route, count%'";
    assert_eq!(sandbox.rows(count), json!([{ "c": 2 }]));
}

#[test]
fn files_that_a_range_of_time_would_leave_out_are_counted() {
    const DAY_US: u64 = 86_400_000_000;
    let sandbox = Sandbox::with(|engine| engine.with_slow(Duration::ZERO));
    for day in 0..3 {
        sandbox.requests_from(day * 2 * DAY_US, 10);
        sandbox.flush();
    }
    sandbox.rows("SELECT sum(duration_us) AS without FROM requests");
    let advice = advised(&sandbox, "SELECT sum(duration_us) AS without");
    assert_eq!(advice["advice_effect"], "counted: 2 of 3 files hold nothing of the last day");
    sandbox.rows("SELECT sum(duration_us) AS within FROM requests WHERE timestamp > '2023-01-01'");
    let with_range = "SELECT count(*) AS c FROM system.queries WHERE advice IS NOT NULL AND sql LIKE '%within%'";
    assert_eq!(sandbox.rows(with_range), json!([{ "c": 0 }]));
}
