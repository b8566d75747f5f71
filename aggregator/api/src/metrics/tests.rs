use super::*;

#[test]
fn moments_are_times_or_so_long_ago() {
    assert_eq!(moment("from", "now").ok(), Some(Moment::Ago(Duration::ZERO)));
    assert_eq!(moment("from", "now-6h").ok(), Some(Moment::Ago(Duration::from_secs(21_600))));
    assert_eq!(moment("from", "1970-01-01T00:00:01+00:00").ok(), Some(Moment::At(Timestamp(1_000_000))));
    for text in ["", "now+1h", "now-", "now-6", "-6h", "yesterday", "2026-11-20"] {
        assert!(moment("from", text).is_err(), "{text}");
    }
}

#[test]
fn a_question_is_read_with_what_it_may_leave_out() {
    let body = json!({ "metrics": ["event_count"], "timeRange": { "from": "now-1h", "to": "now" } });
    let request = checked(read_json(body.to_string().as_bytes()).expect("JSON")).expect("valid");
    assert_eq!((request.dimensions.len(), request.granularity, request.cache_ttl), (0, None, None));
    let range = json!({ "from": "now-1h", "to": "now" });
    let more = json!({
        "metrics": ["event_count"], "dimensions": ["source"], "timeRange": range, "granularity": "15m", "cacheTTL": 2.5,
        "filters": [{ "field": "source", "op": "exists" }],
    });
    let request = checked(read_json(more.to_string().as_bytes()).expect("JSON")).expect("valid");
    assert_eq!(request.granularity, Some(Duration::from_secs(900)));
    assert_eq!(request.cache_ttl, Some(Duration::from_millis(2_500)));
    assert_eq!(request.filters[0].value, None);
    for (key, value) in [("granularity", json!("15 minutes")), ("cacheTTL", json!(-1)), ("limit", json!(1))] {
        let mut wrong = more.clone();
        wrong[key] = value;
        let read: Result<MetricsBody, Failure> = read_json(wrong.to_string().as_bytes());
        assert!(read.and_then(checked).is_err(), "{key}");
    }
}
