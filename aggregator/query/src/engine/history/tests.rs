use serde_json::json;

use super::*;
use crate::engine::tests::Sandbox;
use ridealong_model::query::QueryRequest;

#[test]
fn what_ran_is_there_with_how_it_ended_and_what_it_read() {
    let sandbox = Sandbox::new();
    sandbox.requests(500);
    sandbox.flush();
    sandbox.rows("SELECT count(*) AS c FROM requests WHERE duration_us > 5");
    sandbox.rows("SELECT count(*) AS c FROM requests WHERE duration_us > 5");
    let capped = QueryRequest { rows_max: 3, ..QueryRequest::new("SELECT path FROM requests") };
    sandbox.ask("default", capped).expect("answered");
    sandbox.ask("default", QueryRequest::new("SELECT nothing FROM requests")).expect_err("no such column");
    sandbox.ask("other", QueryRequest::new("SELECT 'of another tenant'")).expect("answered");
    let rows = sandbox.rows(
        "SELECT state, sql, rows, files_read, files_total, rows_scanned, cache_hit, bytes_scanned > 0 AS has_bytes,
            error IS NOT NULL AS has_error, duration_ms > 0 AS has_time
         FROM system.queries WHERE state <> 'running' ORDER BY started_at, query_id",
    );
    let counted = "SELECT count(*) AS c FROM requests WHERE duration_us > 5";
    let expected = json!([
        { "state": "done", "sql": counted, "rows": 1, "files_read": 1, "files_total": 1, "rows_scanned": 500,
          "cache_hit": false, "has_bytes": true, "has_error": false, "has_time": true },
        { "state": "done", "sql": counted, "rows": 1, "files_read": null, "files_total": null, "rows_scanned": null,
          "cache_hit": true, "has_bytes": null, "has_error": false, "has_time": true },
        { "state": "truncated", "sql": "SELECT path FROM requests", "rows": 3, "files_read": 1, "files_total": 1,
          "rows_scanned": 4, "cache_hit": false, "has_bytes": true, "has_error": false, "has_time": true },
        { "state": "failed", "sql": "SELECT nothing FROM requests", "rows": null, "files_read": null,
          "files_total": null, "rows_scanned": null, "cache_hit": false, "has_bytes": null, "has_error": true,
          "has_time": true },
    ]);
    assert_eq!(rows, expected);
}

#[test]
fn old_queries_and_tenants_are_forgotten() {
    let history = Arc::new(History::default());
    let tenant = |number: usize| TenantId::parse(&format!("t{number}")).expect("a tenant");
    for number in 0..QUERIES_MAX + 10 {
        drop(history.begin(&tenant(0), &format!("SELECT {number}")));
    }
    let kept = history.of(&tenant(0));
    assert_eq!(kept.len(), QUERIES_MAX);
    assert_eq!(&*kept[0].sql, format!("SELECT {}", QUERIES_MAX + 9), "the newest first");
    for number in 1..=TENANTS_MAX {
        drop(history.begin(&tenant(number), "SELECT 1"));
    }
    assert_eq!(history.of(&tenant(0)).len(), 0);
    assert_eq!(history.of(&tenant(1)).len(), 1);
    assert_eq!(history.ended(State::Cancelled), (QUERIES_MAX + 10 + TENANTS_MAX) as u64);
}

#[test]
fn long_statements_are_cut() {
    let history = Arc::new(History::default());
    let tenant = TenantId::default_tenant();
    drop(history.begin(&tenant, &"ü".repeat(SQL_BYTES_MAX)));
    assert!(history.of(&tenant)[0].sql.len() <= SQL_BYTES_MAX);
}
