mod isolation;

use std::sync::Arc;

use ridealong_catalog::Catalog;
use ridealong_common::event::{Defaults, TrackedEvent};
use ridealong_common::ids::EventId;
use ridealong_common::rows::{RequestRow, Resource};
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;
use ridealong_ingest::{Enricher, Ingest};
use ridealong_lake::LakeOptions;
use ridealong_model::lake::Lake as _;
use ridealong_wal::disk::memory::MemoryDisk;
use ridealong_wal::{NewEntry, Wal, WalOptions};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::*;

fn catalog() -> Catalog {
    Catalog::open(Arc::new(MemoryDisk::default())).expect("a catalog")
}

pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
    pub runtime: Runtime,
    wal: Wal,
    pub lake: Lake,
    pub engine: Arc<Engine>,
}

impl Sandbox {
    pub fn new() -> Self {
        Self::with(|engine| engine)
    }

    pub fn with(change: impl FnOnce(Engine) -> Engine) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (wal, _) = Wal::open(WalOptions::new(folder.path().join("log"))).expect("a log");
        let journal = Arc::new(ridealong_wal::disk::RealDisk::new(&folder.path().join("journal")).expect("a folder"));
        let lake = Lake::open(
            LakeOptions::new(ridealong_lake::Place::folder(folder.path().join("lake")), journal),
            wal.clone(),
        )
        .expect("a lake");
        let options = EngineOptions {
            threads: 2,
            memory_bytes: 64 << 20,
            queries_max: 4,
            budget: ridealong_model::budget::Budget::new(u64::MAX),
        };
        let engine = Engine::start(lake.clone(), options).expect("an engine");
        let engine = engine.with_ledger(Arc::new(Ingest::new(wal.clone(), catalog(), Enricher::default())));
        let engine = Arc::new(change(engine));
        let runtime = Runtime::new().expect("a runtime");
        Self { folder, runtime, wal, lake, engine }
    }

    fn append(&self, tenant: &str, table: Table, rows: u32, payload: Vec<u8>) {
        let entry = NewEntry { tenant: Arc::from(tenant), ..numberless(table, rows, payload) };
        self.runtime.block_on(self.wal.append(entry)).expect("appended");
    }

    pub fn track(&self, tenant: &str, events: &[Value]) {
        let rows: Vec<TrackedEvent> = events
            .iter()
            .map(|event| TrackedEvent::from_json(event, &Defaults::default(), Timestamp(0)).expect("an event"))
            .collect();
        let payload = TrackedEvent::block(&rows).encode().expect("encodes");
        self.append(tenant, Table::Events, rows.len() as u32, payload);
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub fn flush(&self) {
        self.runtime.block_on(self.lake.flush()).expect("flushed");
    }

    pub fn requests(&self, count: u64) {
        self.requests_from(0, count);
    }

    pub fn requests_from(&self, first: u64, count: u64) {
        let rows: Vec<RequestRow> = (first..first + count).map(request).collect();
        let payload = RequestRow::block(&rows, &Resource { service: "shop".into(), ..Resource::default() });
        self.append("default", Table::Requests, count as u32, payload.encode().expect("encodes"));
    }

    pub fn ask(&self, tenant: &str, request: QueryRequest) -> Result<QueryAnswer, QueryError> {
        let tenant = TenantId::parse(tenant).expect("a tenant");
        self.runtime.block_on(self.engine.query(&tenant, request))
    }

    pub fn rows(&self, sql: &str) -> Value {
        let answer = self.ask("default", QueryRequest::new(sql)).expect(sql);
        serde_json::from_slice(&answer.rows_json).expect("JSON")
    }

    /// The answer with all rows hot, and again with all rows cold.
    pub fn twice(&self, sql: &str) -> Value {
        let hot = self.rows(sql);
        self.runtime.block_on(self.lake.flush()).expect("flushed");
        assert_eq!(self.rows(sql), hot, "{sql}: cold differs from hot");
        hot
    }
}

impl Engine {
    /// Keeps one of its threads busy.
    pub fn spawn_for_test(&self, work: impl FnOnce() + Send + 'static) {
        self.watchdog.handle().expect("it runs").spawn(async move { work() });
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.engine.close();
        self.lake.close();
        self.wal.close();
    }
}

fn request(number: u64) -> RequestRow {
    RequestRow {
        event_id: EventId::from_u128(0x0190_c0de_0000_7000_8000_0000_0000_0000 + u128::from(number)),
        timestamp: Timestamp(1_700_000_000_000_000 + number as i64),
        method: "GET".into(),
        route: format!("/r{}", number % 3).into(),
        path: "/".into(),
        status: Some(200),
        protocol: "HTTP/1.1",
        duration_us: 1 + number,
        ttfb_us: None,
        request_bytes: 0,
        response_bytes: 10,
        sample_weight: 1.0,
        ..RequestRow::default()
    }
}

#[test]
fn hot_and_cold_rows_answer_alike() {
    let sandbox = Sandbox::new();
    sandbox.requests(1_000);
    let counts =
        sandbox.twice("SELECT route, count(*) AS c, sum(duration_us) AS d FROM requests GROUP BY 1 ORDER BY 1");
    assert_eq!(counts[0], json!({ "route": "/r0", "c": 334, "d": 167_167 }));
    let by_id = "SELECT event_id, timestamp FROM requests WHERE event_id = '0190c0de-0000-7000-8000-000000000007'";
    let expected =
        json!([{ "event_id": "0190c0de-0000-7000-8000-000000000007", "timestamp": "2023-11-14T22:13:20.000007Z" }]);
    assert_eq!(sandbox.twice(by_id), expected);
    let listed = "SELECT count(*) AS c FROM requests WHERE event_id IN
        ('0190c0de-0000-7000-8000-000000000001', '0190C0DE-0000-7000-8000-000000000002', 'none')";
    assert_eq!(sandbox.twice(listed), json!([{ "c": 1 }]), "ids are lower-case text, as they are shown");
    assert_eq!(sandbox.twice("SELECT count(*) AS c FROM requests WHERE event_id > 'f'"), json!([{ "c": 0 }]));
    assert_eq!(sandbox.twice("SELECT count(*) AS c FROM requests WHERE error IS NOT NULL"), json!([{ "c": 0 }]));
}

#[test]
fn hot_and_cold_rows_answer_as_one() {
    let sandbox = Sandbox::new();
    sandbox.track("default", &[json!({ "eventType": "a" }), json!({ "eventType": "b" })]);
    sandbox.runtime.block_on(sandbox.lake.flush()).expect("flushed");
    sandbox.track("default", &[json!({ "eventType": "c" })]);
    let types = sandbox.rows("SELECT event_type FROM events ORDER BY event_type DESC LIMIT 2");
    assert_eq!(types, json!([{ "event_type": "c" }, { "event_type": "b" }]));
    assert_eq!(sandbox.rows("SELECT count(*) AS c FROM events WHERE event_type <> 'a'"), json!([{ "c": 2 }]));
}

/// A limit must not stop a scan whose filter runs above it.
#[test]
fn a_limit_with_a_filter_finds_what_lies_deep() {
    let sandbox = Sandbox::new();
    sandbox.requests(5_000);
    let sql = "SELECT duration_us FROM requests WHERE duration_us = 4999 LIMIT 1";
    assert_eq!(sandbox.twice(sql), json!([{ "duration_us": 4_999 }]));
}

#[test]
fn properties_are_read_by_key_and_parameters_are_values() {
    let sandbox = Sandbox::new();
    sandbox.track(
        "default",
        &[
            json!({ "eventType": "order", "properties": { "total": 12.5, "städte": ["Zürich"] } }),
            json!({ "eventType": "order", "properties": { "total": 7 } }),
        ],
    );
    let rows = sandbox.twice(
        "SELECT event_id, properties->>'total' AS total FROM events WHERE properties->>'total' = '12.5'
         ORDER BY timestamp DESC LIMIT 5",
    );
    assert_eq!(rows[0]["total"], "12.5");
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
    let values = sandbox.twice(
        "SELECT properties->'total' AS total, properties->'städte' AS cities, properties->'none' AS none
         FROM events ORDER BY properties->>'total' LIMIT 1",
    );
    assert_eq!(values, json!([{ "total": "12.5", "cities": r#"["Zürich"]"#, "none": null }]));
    let request = QueryRequest::new("SELECT count(*) AS c FROM events WHERE event_type = $1").param("' OR true --");
    let answer = sandbox.ask("default", request).expect("answered");
    assert_eq!(answer.rows_json, br#"[{"c":0}]"#);
}

#[test]
fn percentiles_are_within_one_per_cent() {
    let sandbox = Sandbox::new();
    sandbox.requests(1_000);
    let rows =
        sandbox.twice("SELECT percentile(0.5, duration_us) AS p50, percentile(0.99, duration_us) AS p99 FROM requests");
    for (name, exact) in [("p50", 500.0), ("p99", 990.0)] {
        let found = rows[0][name].as_f64().expect("a number");
        assert!((found - exact).abs() <= exact * 0.011, "{name}: {found}");
    }
    let error = sandbox.ask("default", QueryRequest::new("SELECT percentile(2.0, duration_us) FROM requests"));
    assert!(matches!(error, Err(QueryError::Invalid(_))), "{error:?}");
}

#[test]
fn a_tenant_reaches_its_own_tables_and_nothing_else() {
    let sandbox = Sandbox::new();
    sandbox.track("other", &[json!({ "eventType": "secret" })]);
    assert_eq!(sandbox.rows("SELECT count(*) AS c FROM events"), json!([{ "c": 0 }]));
    for sql in [
        "SELECT * FROM other.events",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM generate_series(1, 10)",
        "SELECT * FROM range(1, 10)",
        "SELECT * FROM information_schema.tables",
    ] {
        let error = sandbox.ask("default", QueryRequest::new(sql));
        assert!(matches!(error, Err(QueryError::Invalid(_))), "{sql}: {error:?}");
    }
}

#[test]
fn rows_past_the_cap_are_cut_and_said_to_be() {
    let sandbox = Sandbox::new();
    sandbox.requests(100);
    let request = QueryRequest { rows_max: 7, ..QueryRequest::new("SELECT path FROM requests") };
    let answer = sandbox.ask("default", request).expect("answered");
    assert_eq!((answer.rows, answer.truncated), (7, true));
    let request = QueryRequest { rows_max: 100, ..QueryRequest::new("SELECT path FROM requests") };
    let answer = sandbox.ask("default", request).expect("answered");
    assert_eq!((answer.rows, answer.truncated), (100, false));
}

#[test]
fn a_query_past_its_time_is_stopped_and_the_next_one_runs() {
    let sandbox = Sandbox::new();
    sandbox.requests(3_000);
    let endless = "SELECT count(*) FROM requests a, requests b, requests c WHERE a.duration_us + b.duration_us + c.duration_us = 1";
    let request = QueryRequest { timeout: Duration::from_millis(200), ..QueryRequest::new(endless) };
    assert!(matches!(sandbox.ask("default", request), Err(QueryError::TimedOut(_))));
    assert_eq!(sandbox.rows("SELECT count(*) AS c FROM requests"), json!([{ "c": 3_000 }]));
}

#[test]
fn keys_stand_in_the_order_of_the_select_and_types_are_named() {
    let sandbox = Sandbox::new();
    let answer = sandbox.ask("default", QueryRequest::new("SELECT 'x' AS z, 1 AS a, NULL AS m, 9007199254740993 AS b"));
    let answer = answer.expect("answered");
    assert_eq!(answer.rows_json, br#"[{"z":"x","a":1,"m":null,"b":9007199254740993}]"#);
    let kinds: Vec<&str> = answer.columns.iter().map(|column| column.kind.as_str()).collect();
    assert_eq!(kinds, ["text", "bigint", "null", "bigint"]);
}

/// What the ledger says was stored is what the same query finds, and so is what it says lies in memory and in Delta.
#[test]
fn the_ledger_is_of_the_moment_of_the_query() {
    let sandbox = Sandbox::new();
    sandbox.track("other", &[json!({ "eventType": "secret" })]);
    sandbox.track("default", &[json!({ "eventType": "a" }), json!({ "eventType": "b" })]);
    let sql = "SELECT (SELECT count(*) FROM events) AS found,
        (SELECT sum(count) FROM system.ledger WHERE outcome = 'stored' AND table_name = 'events') AS stored,
        (SELECT sum(count) FROM system.ledger WHERE stage = 'lake' AND table_name = 'events') AS readable";
    assert_eq!(sandbox.twice(sql), json!([{ "found": 2, "stored": 2, "readable": 2 }]));
    let rows = sandbox.rows("SELECT stage, door, producer, table_name, outcome, reason, unit, count, position FROM system.ledger WHERE stage = 'log'");
    let expected = json!([{ "stage": "log", "door": "events", "producer": null, "table_name": "events",
        "outcome": "stored", "reason": null, "unit": "rows", "count": 2, "position": 2 }]);
    assert_eq!(rows, expected);
    // The name alone is no table, and nothing else is in the schema.
    for sql in ["SELECT * FROM ledger", "SELECT * FROM system.secrets", "SELECT * FROM other.ledger"] {
        assert!(matches!(sandbox.ask("default", QueryRequest::new(sql)), Err(QueryError::Invalid(_))), "{sql}");
    }
}

/// While rows come in and are flushed, each query sees one moment: the books say what it finds, to the row.
#[test]
fn the_ledger_balances_while_rows_come_in() {
    let sandbox = Sandbox::new();
    let (wal, lake) = (sandbox.wal.clone(), sandbox.lake.clone());
    let writing = sandbox.runtime.spawn(async move {
        for number in 0..400_u32 {
            let rows: Vec<RequestRow> = (0..5).map(request).collect();
            let payload = RequestRow::block(&rows, &Resource::default()).encode().expect("encodes");
            let entry = numberless(Table::Requests, 5, payload);
            wal.append(entry).await.expect("appended");
            if number % 50 == 0 {
                lake.flush().await.expect("flushed");
            }
        }
    });
    let mut found = 0;
    while !writing.is_finished() || found < 2_000 {
        let sql = "SELECT (SELECT count(*) FROM requests) AS found,
            (SELECT sum(count) FROM system.ledger WHERE outcome = 'stored' AND table_name = 'requests') AS stored";
        let row = sandbox.rows(sql)[0].clone();
        found = row["found"].as_u64().expect("a count");
        assert_eq!(row["stored"].as_u64().unwrap_or(0), found, "{row}");
    }
    sandbox.runtime.block_on(writing).expect("written");
}

fn numberless(table: Table, rows: u32, payload: Vec<u8>) -> NewEntry {
    NewEntry {
        tenant: Arc::from("default"),
        table,
        received_at_us: 1_700_000_000_000_000,
        numbers: None,
        announced: 0,
        rows,
        event_ids: None,
        quarantined_rows: Vec::new(),
        in_place_of_events: false,
        payload: payload.into(),
    }
}
