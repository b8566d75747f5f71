use super::*;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn stored(rows: &[(u128, u64)]) -> HashMap<String, u64> {
    rows.iter().map(|(number, rows)| (id(*number).to_string(), *rows)).collect()
}

#[test]
fn each_sent_and_stored_once_holds() {
    let verification = Verification::of_ids(&[id(1), id(2)], &stored(&[(1, 1), (2, 1)]));
    assert_eq!(verification, Verification { sent: 2, found: 2, missing: 0, duplicates: 0 });
    assert!(verification.holds());
}

#[test]
fn a_missing_one_does_not_hold_whatever_else_is_stored() {
    let verification = Verification::of_ids(&[id(1), id(2)], &stored(&[(1, 1), (3, 1), (4, 7)]));
    assert_eq!(verification, Verification { sent: 2, found: 1, missing: 1, duplicates: 0 });
    assert!(!verification.holds());
}

#[test]
fn one_that_is_stored_twice_does_not_hold() {
    let verification = Verification::of_ids(&[id(1), id(2)], &stored(&[(1, 3), (2, 1)]));
    assert_eq!(verification, Verification { sent: 2, found: 2, missing: 0, duplicates: 2 });
    assert!(!verification.holds());
}

#[test]
fn nothing_sent_holds() {
    assert!(Verification::of_ids(&[], &stored(&[(1, 2)])).holds());
    assert!(Verification::of_counts(0, 0, 0).holds());
}

#[test]
fn counts_must_agree_three_ways() {
    assert!(Verification::of_counts(5, 5, 5).holds());
    assert_eq!(Verification::of_counts(5, 4, 4), Verification { sent: 5, found: 4, missing: 1, duplicates: 0 });
    assert_eq!(Verification::of_counts(5, 6, 5), Verification { sent: 5, found: 5, missing: 0, duplicates: 1 });
    assert!(!Verification::of_counts(5, 6, 6).holds(), "a row that nobody counted");
}

#[test]
fn the_report_is_one_flat_line() {
    let measured = Measured { routes: vec![RouteRow::of("/cart", 3, 1, [1.5, 2.0, 2.250_49])], ..Measured::default() };
    let requests = Verification { sent: 3, found: 3, ..Verification::default() };
    let line = Report::new("demo", requests, Some(&Sent::default()), &measured).line();
    assert_eq!(
        line,
        concat!(
            r#"{"service":"demo","sent":3,"found":3,"missing":0,"duplicates":0,"errors":1,"unanswered":0,"#,
            r#""events_sent":0,"events_found":0,"#,
            r#""routes":[{"route":"/cart","requests":3,"errors":1,"p50_ms":1.5,"p95_ms":2.0,"p99_ms":2.25}]}"#
        )
    );
}

#[test]
fn an_event_that_is_missing_does_not_hold() {
    let measured = Measured { own_events: 1, ..Measured::default() };
    assert!(!Report::new("demo", Verification::default(), Some(&Sent::default()), &measured).holds());
    assert!(Report::new("shop", Verification::default(), None, &measured).holds());
}
