use ridealong_model::query::QueryRequest;

use super::*;
use crate::engine::tests::Sandbox;

#[test]
fn a_plan_reads_from_top_to_bottom_with_rows_and_files() {
    const DAY_US: u64 = 86_400_000_000;
    let sandbox = Sandbox::new();
    for day in 0..3 {
        sandbox.requests_from(day * DAY_US, 100);
        sandbox.flush();
    }
    sandbox.requests(5);
    let sql = "SELECT route, count(*) AS c FROM requests WHERE timestamp < '2023-11-15' AND duration_us > 0
        GROUP BY route ORDER BY c DESC";
    let plan = sandbox.ask("default", QueryRequest::new(sql)).expect("answered").plan;
    let lines: Vec<&str> = plan.lines().collect();
    assert!(lines[0].contains(" of 3 files, 1 of 3 row groups, "), "{plan}");
    assert!(lines[0].contains(" to plan, ") && lines[0].contains("memory "), "{plan}");
    for said in [
        "read rows in memory  (5 rows",
        "files of requests for ",
        "keep rows where timestamp < ",
        "aggregate ",
        "(3 rows",
    ] {
        assert!(plan.contains(said), "{said}\n{plan}");
    }
    let depth = |said: &str| {
        let line = lines.iter().find(|line| line.contains(said)).expect(said);
        line.len() - line.trim_start().len()
    };
    assert!(depth("aggregate ") < depth("keep rows where "), "{plan}");
    assert!(depth("keep rows where ") < depth("files of requests"), "{plan}");
    assert!(lines.len() < 25 && lines.iter().all(|line| line.len() < 300), "{plan}");
    assert!(!plan.contains("Exec") && !plan.contains("Guarded"), "{plan}");
}

#[test]
fn explain_shows_the_plan_of_the_engine() {
    let sandbox = Sandbox::new();
    sandbox.requests(5);
    for verb in ["EXPLAIN", "EXPLAIN ANALYZE", "EXPLAIN VERBOSE", "EXPLAIN ANALYZE VERBOSE"] {
        let rows =
            sandbox.rows(&format!("{verb} SELECT max(duration_us) FROM requests WHERE status = 200")).to_string();
        assert!(rows.contains("AggregateExec") && rows.contains("FilterExec"), "{verb}: {rows}");
        assert!(!rows.contains("Guarded"), "{verb}: {rows}");
    }
}

#[test]
fn sizes_and_long_texts_are_short() {
    assert_eq!([bytes(7), bytes(2_048), bytes(5 << 20)], ["7 B", "2.0 KiB", "5.0 MiB"]);
    assert_eq!(plain("a@0 > 5 AND lower(b@12) = 'x@y' AND count(*)@3"), "a > 5 AND lower(b) = 'x@y' AND count(*)");
    assert_eq!(once("a AND b AND a"), "a AND b");
    assert_eq!(cut(&"ü".repeat(1_000)).chars().count(), DETAIL_CHARS_MAX + 1);
}
