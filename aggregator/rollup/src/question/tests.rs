use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp(1_763_712_000_000_000);

fn request(metrics: &[&str]) -> MetricsRequest {
    MetricsRequest {
        metrics: metrics.iter().map(ToString::to_string).collect(),
        dimensions: Vec::new(),
        filters: Vec::new(),
        from: Moment::Ago(Duration::from_secs(3_600)),
        to: Moment::Ago(Duration::ZERO),
        granularity: None,
        cache_ttl: None,
    }
}

fn filter(field: &str, op: &str, value: Value) -> AskedFilter {
    let value = if value.is_null() { None } else { Some(value) };
    AskedFilter { field: field.to_owned(), op: op.to_owned(), value }
}

fn fault(request: &MetricsRequest) -> (String, String) {
    match Question::check(request, NOW) {
        Err(MetricsError::Invalid { key, problem }) => (key, problem),
        other => panic!("{request:?} was not refused: {other:?}"),
    }
}

fn tables(request: &MetricsRequest) -> Vec<Table> {
    Question::check(request, NOW).expect("valid").parts.iter().map(|part| part.table).collect()
}

#[test]
fn what_is_unknown_is_named_with_what_is_like_it() {
    let (key, problem) = fault(&request(&["event_count", "latency_p59"]));
    assert_eq!(key, "metrics[1]");
    assert!(problem.contains("did you mean latency_p"), "{problem}");
    let mut asked = request(&["event_count"]);
    asked.dimensions = vec!["event_tipe".to_owned()];
    let (key, problem) = fault(&asked);
    assert_eq!(key, "dimensions[0]");
    assert!(problem.contains("did you mean event_type?") && problem.contains("event_count"), "{problem}");
    asked.dimensions = Vec::new();
    asked.filters = vec![filter("source", "=", json!("a")), filter("contry", "=", json!("a"))];
    assert_eq!(fault(&asked).0, "filters[1].field");
    asked.filters = vec![filter("source", "startswith", json!("a"))];
    let (key, problem) = fault(&asked);
    assert!(key == "filters[0]" && problem.contains("did you mean starts_with?"), "{key} {problem}");
}

#[test]
fn each_fault_has_its_key() {
    let changed = |change: fn(&mut MetricsRequest)| {
        let mut asked = request(&["request_count"]);
        change(&mut asked);
        fault(&asked).0
    };
    assert_eq!(changed(|asked| asked.metrics.clear()), "metrics");
    assert_eq!(changed(|asked| asked.metrics.push("request_count".into())), "metrics[1]");
    assert_eq!(changed(|asked| asked.dimensions = vec!["route".into(), "route".into()]), "dimensions[1]");
    assert_eq!(changed(|asked| asked.dimensions = vec!["timestamp".into()]), "dimensions[0]");
    assert_eq!(changed(|asked| asked.dimensions = vec!["sample_weight".into()]), "dimensions[0]");
    assert_eq!(changed(|asked| asked.dimensions = vec!["event_type".into()]), "dimensions[0]");
    assert_eq!(changed(|asked| asked.to = asked.from), "timeRange");
    assert_eq!(changed(|asked| asked.from = Moment::Ago(Duration::MAX)), "timeRange.from");
    assert_eq!(changed(|asked| asked.granularity = Some(Duration::from_millis(1_500))), "granularity");
    assert_eq!(changed(|asked| asked.granularity = Some(Duration::ZERO)), "granularity");
    assert_eq!(changed(|asked| asked.granularity = Some(Duration::MAX)), "granularity");
    assert_eq!(changed(|asked| asked.cache_ttl = Some(Duration::MAX)), "cacheTTL");
    let too_many = |asked: &mut MetricsRequest| {
        asked.from = Moment::Ago(Duration::from_secs(30 * 86_400));
        asked.granularity = Some(Duration::from_secs(60));
    };
    assert_eq!(changed(too_many), "granularity");
    for (op, value) in [
        ("=", json!("text")),
        ("=", Value::Null),
        ("in", json!(500)),
        ("in", json!(["a"])),
        ("contains", json!(5)),
        ("exists", json!("yes")),
    ] {
        let mut asked = request(&["request_count"]);
        asked.filters = vec![filter("status", op, value)];
        assert_eq!(fault(&asked).0, "filters[0]", "{op}");
    }
}

#[test]
fn requests_are_taken_from_summaries_as_far_as_these_go() {
    let mut asked = request(&["request_count", "latency_p95", "event_count"]);
    assert_eq!(tables(&asked), [Table::RequestSummaries, Table::Events]);
    asked.dimensions = vec!["service".into(), "version".into()];
    assert_eq!(tables(&asked), [Table::RequestSummaries, Table::Events]);
    asked.granularity = Some(Duration::from_secs(15));
    assert_eq!(tables(&asked), [Table::Requests, Table::Events], "summaries have intervals of 10 s");
    let mut asked = request(&["error_rate"]);
    asked.filters = vec![filter("path", "starts_with", json!("/admin"))];
    assert_eq!(tables(&asked), [Table::Requests]);
}

/// The source of an event and the service of a request are the same notion.
#[test]
fn a_service_is_a_source() {
    let mut asked = request(&["request_count", "event_count", "cpu_utilization"]);
    for name in ["service", "source"] {
        asked.dimensions = vec![name.to_owned()];
        let question = Question::check(&asked, NOW).expect("valid");
        let columns: Vec<&str> = question.parts.iter().map(|part| part.dimensions[0]).collect();
        assert_eq!(columns, ["service", "source", "service"]);
    }
}

#[test]
fn intervals_that_the_range_cuts_count_whole() {
    let mut asked = request(&["request_count", "event_count"]);
    let second = 1_000_000;
    asked.from = Moment::At(Timestamp(NOW.micros() + 3 * second));
    asked.to = Moment::At(Timestamp(NOW.micros() + 61 * second));
    let question = Question::check(&asked, NOW).expect("valid");
    assert_eq!(question.parts[0].window, (NOW.micros(), NOW.micros() + 70 * second));
    assert_eq!(question.parts[1].window, question.range);
    assert_eq!(question.answered(), question.parts[0].window);
    assert_eq!(question.seconds(&question.parts[0], 0), 70.0);
    assert_eq!(question.seconds(&question.parts[1], 0), 58.0);
}

#[test]
fn weeks_begin_on_monday() {
    let mut asked = request(&["event_count"]);
    asked.from = Moment::Ago(Duration::from_secs(30 * 86_400));
    asked.granularity = Some(Duration::from_secs(7 * 86_400));
    let question = Question::check(&asked, NOW).expect("valid");
    let start = question.buckets.start(question.buckets.of_time(NOW.micros()));
    assert_eq!(Timestamp(start).to_string(), "2025-11-17T00:00:00.000000Z");
}
