use super::*;

const DAY_US: i64 = 86_400_000_000;

fn file(name: &str) -> ColdFile {
    ColdFile {
        store: Arc::from("file:///"),
        path: format!("x/{name}"),
        name: name.to_owned(),
        archived: false,
        pending: Arc::default(),
        masked: 0,
        bytes: 1,
        rows: 1,
        modified_ms: 0,
        timestamps: None,
    }
}

#[test]
fn a_day_goes_when_its_end_is_older_than_the_limit() {
    let old = file("date=1970-01-10/a.parquet");
    let (end, age) = (10 * DAY_US, Duration::from_secs(3 * 86_400));
    for (now, expected) in [(end, false), (end + 3 * DAY_US - 1, false), (end + 3 * DAY_US, true), (end - 1, false)] {
        assert_eq!(is_older(&old, age, now), expected, "{now}");
    }
    assert!(!is_older(&old, Duration::MAX, i64::MAX));
    assert!(is_older(&file("date=-0001-01-01/a.parquet"), age, end), "before the year 0");
}

#[test]
fn a_file_without_a_day_stays() {
    for name in ["a.parquet", "date=/a", "date=1970-13-01/a", "day=1970-01-01/a", "date=__HIVE_DEFAULT_PARTITION__/a"] {
        assert_eq!(day_in(name), None, "{name}");
        assert!(!is_older(&file(name), Duration::from_secs(1), i64::MAX));
    }
    assert_eq!(day_in("date=1970-01-02/a"), Some(1));
}

#[test]
fn the_first_failure_is_told_and_the_rest_is_done() {
    let key = |tenant: &str| TableKey { tenant: Arc::from(tenant), table: ridealong_common::table::Table::Events };
    let mut sum = Sum::default();
    sum.add(&key("a"), Ok(Outcome { rows: 1, ..Outcome::default() }));
    sum.add(&key("b"), Err(JobFailure("one".into())));
    sum.add(&key("c"), Err(JobFailure("two".into())));
    assert_eq!(sum.done(), Err(JobFailure("events of b: one".into())));
}
