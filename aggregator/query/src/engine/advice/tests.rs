use super::*;

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
