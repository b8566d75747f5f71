use super::*;

fn of(table: &str, archive_after: Option<&str>, drop_after: Option<&str>) -> Retentions {
    let [archive_after, drop_after] = [archive_after, drop_after].map(|text| text.map(str::to_owned));
    [(table.to_owned(), TableRetention { archive_after, drop_after })].into()
}

#[test]
fn what_is_sound_is_in_force() {
    let days = |count: u64| Some(Duration::from_secs(count * 86_400));
    for (archive, drop, expected) in [
        (None, None, (None, None)),
        (Some("30d"), None, (days(30), None)),
        (None, Some("24h"), (None, days(1))),
        (Some("30d"), Some("365d"), (days(30), days(365))),
    ] {
        let retentions = of("events", archive, drop);
        assert_eq!(fault(&retentions), None);
        let rule = in_force(&retentions)[&Table::Events];
        assert_eq!((rule.archive_after, rule.drop_after), expected);
    }
}

#[test]
fn a_fault_names_its_key() {
    for (retentions, said) in [
        (of("event", None, Some("1d")), "retention.event: there is no such table, did you mean events?"),
        (of("visits", None, Some("1d")), "retention.visits: there is no such table"),
        (of("events", Some("a month"), None), "retention.events.archiveAfter must be a duration"),
        (of("events", None, Some("-1d")), "retention.events.dropAfter must be a duration"),
        (of("events", None, Some("1e300d")), "retention.events.dropAfter must be a duration"),
        (of("events", None, Some("59m")), "retention.events.dropAfter must be at least 1h"),
        (of("requests", Some("30d"), Some("30d")), "retention.requests.dropAfter must be longer than archiveAfter"),
    ] {
        let fault = fault(&retentions).expect("a fault");
        assert!(fault.starts_with(said), "{fault}");
        assert!(in_force(&retentions).is_empty());
    }
}
