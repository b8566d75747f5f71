use super::*;

fn parameters(query: &str) -> Result<Wanted, Failure> {
    let uri = format!("/live?{query}").parse().expect("a path");
    let parameters = axum::extract::Query::<LiveParameters>::try_from_uri(&uri).expect("known parameters");
    parameters.0.wanted(None)
}

#[test]
fn without_parameters_all_numbers_come_each_second() {
    let wanted = parameters("").expect("valid");
    let numbers = wanted.numbers.expect("numbers");
    assert_eq!((numbers.metrics.len(), numbers.interval), (Metric::ALL.len(), Duration::from_secs(1)));
    assert!(wanted.events.is_none());
}

#[test]
fn a_service_narrows_numbers_and_events() {
    let wanted = parameters("events=true&service=shop&type=order_placed&user_id=ada&metrics=").expect("valid");
    let (numbers, events) = (wanted.numbers.expect("numbers"), wanted.events.expect("events"));
    assert!(numbers.metrics.is_empty());
    assert_eq!(numbers.scope.service.as_deref(), Some("shop"));
    let shop = EventFilter {
        event_type: Some("order_placed".into()),
        service: Some("shop".into()),
        user_id: Some("ada".into()),
        ..EventFilter::default()
    };
    assert_eq!(events.filter, shop);
}

#[test]
fn what_cannot_be_is_refused() {
    let long = "x".repeat(VALUE_BYTES_MAX + 1);
    let long = format!("events=true&type={long}");
    for query in ["interval=99ms", "interval=61s", "interval=soon", "after=7", "type=a", "metrics=latency", &long] {
        assert!(parameters(query).is_err(), "{query}");
    }
}
