use std::path::{Path, PathBuf};
use std::sync::Arc;

use ridealong_common::event::{Defaults, TrackedEvent};
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;
use ridealong_lake::{Lake, LakeOptions};
use ridealong_model::lake::Lake as _;
use ridealong_model::query::{QueryAnswer, QueryEngine as _, QueryRequest};
use ridealong_model::segment::{Segment, SegmentRules};
use ridealong_model::tenant::TenantId;
use ridealong_wal::{NewEntry, Wal, WalOptions};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{Engine, EngineOptions};

mod model;
mod property;

pub(crate) const MINUTE_US: i64 = 60_000_000;

/// A whole lake with SQL over it, which may be stopped, or copied as a crash would leave it, and opened again.
pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
    runtime: Runtime,
    running: Option<Running>,
    rules: Arc<[Segment]>,
}

struct Running {
    wal: Wal,
    lake: Lake,
    engine: Engine,
}

struct Fixed(Arc<[Segment]>);

impl SegmentRules for Fixed {
    fn segments(&self, _: &TenantId) -> Arc<[Segment]> {
        Arc::clone(&self.0)
    }
}

impl Sandbox {
    pub fn new() -> Self {
        Self::with_rules(&[])
    }

    pub fn with_rules(rules: &[(&str, &str)]) -> Self {
        let rule = |(name, condition): &(&str, &str)| Segment { name: (*name).into(), condition: (*condition).into() };
        let rules: Arc<[Segment]> = rules.iter().map(rule).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let running = Some(open(folder.path(), &rules));
        Self { folder, runtime: Runtime::new().expect("a runtime"), running, rules }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    pub fn engine(&self) -> &Engine {
        &self.running().engine
    }

    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub fn track(&self, events: &[TrackedEvent]) {
        self.track_as("default", events);
    }

    pub fn track_as(&self, tenant: &str, events: &[TrackedEvent]) {
        let entry = NewEntry {
            tenant: Arc::from(tenant),
            table: Table::Events,
            received_at_us: 1_700_000_000_000_000,
            numbers: None,
            announced: 0,
            rows: events.len() as u32,
            event_ids: Some(events.iter().map(|event| event.event_id).collect()),
            quarantined_rows: Vec::new(),
            in_place_of_events: false,
            payload: TrackedEvent::block(events).encode().expect("encodes").into(),
        };
        self.wait(self.running().wal.append(entry)).expect("appended");
    }

    pub fn flush(&self) {
        self.wait(self.running().lake.flush()).expect("flushed");
    }

    pub fn restart(&mut self) {
        self.running.take().expect("it runs").close();
        self.running = Some(open(self.folder.path(), &self.rules));
    }

    /// Goes on with what is on the disk now; nothing has been closed.
    pub fn crash(&mut self) {
        let left = tempfile::tempdir().expect("a folder");
        copy(self.folder.path(), left.path());
        self.running.take().expect("it runs").close();
        self.folder = left;
        self.running = Some(open(self.folder.path(), &self.rules));
    }

    pub fn ask(&self, tenant: &str, sql: &str) -> QueryAnswer {
        let tenant = TenantId::parse(tenant).expect("a tenant");
        self.wait(self.engine().query(&tenant, QueryRequest::new(sql))).expect(sql)
    }

    pub fn rows(&self, sql: &str) -> Value {
        serde_json::from_slice(&self.ask("default", sql).rows_json).expect("JSON")
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.running.take().into_iter().for_each(Running::close);
    }
}

impl Running {
    fn close(self) {
        self.engine.close();
        self.lake.close();
        self.wal.close();
    }
}

fn open(folder: &Path, rules: &Arc<[Segment]>) -> Running {
    let (wal, _) = Wal::open(WalOptions::new(folder.join("log"))).expect("a log");
    let journal = ridealong_wal::disk::RealDisk::new(&folder.join("journal")).expect("a folder");
    let options = LakeOptions::new(ridealong_lake::Place::folder(folder.join("lake")), Arc::new(journal));
    let lake = Lake::open(options, wal.clone()).expect("a lake");
    let options = EngineOptions {
        threads: 2,
        memory_bytes: 64 << 20,
        queries_max: 4,
        budget: ridealong_model::budget::Budget::new(u64::MAX),
    };
    let engine = Engine::start(lake.clone(), options).expect("an engine");
    Running { wal, lake, engine: engine.with_segments(Arc::new(Fixed(Arc::clone(rules)))) }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let (path, copied): (PathBuf, PathBuf) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            std::fs::create_dir(&copied).expect("made");
            copy(&path, &copied);
        } else {
            std::fs::copy(&path, &copied).expect("copied");
        }
    }
}

pub(crate) fn event(value: Value, at_us: i64) -> TrackedEvent {
    TrackedEvent::from_json(&value, &Defaults::default(), Timestamp(at_us)).expect("an event")
}

fn click(user: &str, minute: i64) -> TrackedEvent {
    event(json!({ "eventType": "click", "userId": user }), minute * MINUTE_US)
}

#[test]
fn both_are_there_and_empty_from_the_first_start() {
    let sandbox = Sandbox::new();
    for table in ["sessions", "users"] {
        assert_eq!(sandbox.rows(&format!("SELECT * FROM {table}")), json!([]), "{table}");
        assert_eq!(sandbox.rows(&format!("SELECT count(*) AS c FROM {table}")), json!([{ "c": 0 }]), "{table}");
    }
    let tenant = TenantId::default_tenant();
    for sql in
        ["SELECT * FROM visits", "SELECT * FROM named", "SELECT stamped(now(), 'x')", "SELECT * FROM public.visits"]
    {
        assert!(sandbox.wait(sandbox.engine().query(&tenant, QueryRequest::new(sql))).is_err(), "{sql}");
    }
}

#[test]
fn a_late_event_makes_one_session_of_two() {
    let sandbox = Sandbox::new();
    let sessions =
        "SELECT started_at, event_count, duration_us / 60000000 AS minutes FROM sessions ORDER BY started_at";
    sandbox.track(&[click("u", 0), click("u", 20)]);
    sandbox.track(&[click("u", 60), click("u", 61)]);
    let two = json!([
        { "started_at": "1970-01-01T00:00:00.000000Z", "event_count": 2, "minutes": 20 },
        { "started_at": "1970-01-01T01:00:00.000000Z", "event_count": 2, "minutes": 1 }
    ]);
    assert_eq!(sandbox.rows(sessions), two);
    let before = sandbox.rows("SELECT session_id FROM sessions ORDER BY started_at");
    sandbox.flush();
    assert_eq!(sandbox.rows(sessions), two);
    assert_eq!(sandbox.rows("SELECT session_count FROM users"), json!([{ "session_count": 2 }]));
    sandbox.track(&[click("u", 40)]);
    let one = json!([{ "started_at": "1970-01-01T00:00:00.000000Z", "event_count": 5, "minutes": 61 }]);
    assert_eq!(sandbox.rows(sessions), one);
    assert_eq!(sandbox.rows("SELECT session_count FROM users"), json!([{ "session_count": 1 }]));
    assert_eq!(sandbox.rows("SELECT session_id FROM sessions"), json!([before[0]]), "the first one's id is kept");
}

#[test]
fn users_and_sessions_are_joined_to_events() {
    let sandbox = Sandbox::new();
    let page = |user: &str, session: &str, minute: i64| {
        let context = json!({ "country": "DE" });
        let value = json!({ "eventType": "page_view", "userId": user, "sessionId": session,
            "context": { "location": context, "platform": "web" } });
        event(value, minute * MINUTE_US)
    };
    sandbox.track(&[page("a", "s1", 0), page("a", "s1", 5), page("b", "s2", 7), click("c", 9)]);
    for _ in 0..2 {
        let by_user = sandbox.rows(
            "SELECT e.user_id, u.country, u.cohort, count(*) AS n FROM events e JOIN users u USING (user_id)
             GROUP BY 1, 2, 3 ORDER BY 1",
        );
        let expected = json!([
            { "user_id": "a", "country": "DE", "cohort": "1969-12-29", "n": 2 },
            { "user_id": "b", "country": "DE", "cohort": "1969-12-29", "n": 1 },
            { "user_id": "c", "country": null, "cohort": "1969-12-29", "n": 1 }
        ]);
        assert_eq!(by_user, expected);
        let by_session = sandbox.rows(
            "SELECT session_id, s.page_count, count(*) AS n FROM events JOIN sessions s USING (session_id)
             WHERE s.platform = 'web' GROUP BY 1, 2 ORDER BY 1",
        );
        let expected =
            json!([{ "session_id": "s1", "page_count": 2, "n": 2 }, { "session_id": "s2", "page_count": 1, "n": 1 }]);
        assert_eq!(by_session, expected);
        let both = "SELECT u.user_id, count(*) AS n FROM users u LEFT JOIN sessions s ON s.user_id = u.user_id
            WHERE u.session_count = 1 GROUP BY 1 ORDER BY 1 LIMIT 1";
        assert_eq!(sandbox.rows(both), json!([{ "user_id": "a", "n": 1 }]));
        sandbox.flush();
    }
}

#[test]
fn tenants_do_not_see_each_others_users() {
    let sandbox = Sandbox::new();
    sandbox.track_as("one", &[click("u", 0)]);
    sandbox.track_as("two", &[click("u", 0), click("v", 0)]);
    for (tenant, users) in [("one", 1), ("two", 2), ("three", 0)] {
        assert_eq!(sandbox.ask(tenant, "SELECT * FROM users").rows, users, "{tenant}");
    }
}

/// Years that some engines cannot count in nanoseconds.
#[test]
fn the_first_and_the_last_moment_have_cohorts() {
    let sandbox = Sandbox::new();
    for (user, time) in [("a", "0001-01-01T00:00:00Z"), ("b", "9999-12-31T23:59:59.999999Z")] {
        let at = Timestamp::parse(time).expect("a time").micros();
        sandbox.track(&[event(json!({ "eventType": "x", "userId": user }), at)]);
    }
    let cohorts = sandbox.rows("SELECT cohort, cohort_day FROM users ORDER BY user_id");
    let expected = json!([
        { "cohort": "0001-01-01", "cohort_day": "0001-01-01" },
        { "cohort": "9999-12-27", "cohort_day": "9999-12-31" }
    ]);
    assert_eq!(cohorts, expected);
    assert_eq!(sandbox.rows("SELECT count(*) AS c FROM sessions"), json!([{ "c": 2 }]));
}

#[test]
fn what_a_filter_fixes_is_looked_up_and_not_added_up() {
    let sandbox = Sandbox::new();
    let named = |user: &str, session: &str| {
        event(json!({ "eventType": "x", "userId": user, "sessionId": session, "anonymousId": "n" }), 0)
    };
    sandbox.track(&[named("a", "s"), named("b", "t"), click("a", 0), click("b", 0)]);
    sandbox.flush();
    for (sql, guaranteed, scans) in [
        ("SELECT * FROM users WHERE user_id = 'a'", "user_id in (a)", 1),
        ("SELECT * FROM users WHERE user_id IN ('a', 'b')", "user_id in (a, b)", 1),
        ("SELECT count(*) FROM events e JOIN users u USING (user_id) WHERE e.user_id = 'a'", "user_id in (a)", 1),
        ("SELECT * FROM sessions WHERE session_id = 's'", "session_id in (s)", 1),
        // The visits that tell the sessions, and those without a session; the third is joined to the first.
        ("SELECT * FROM sessions WHERE user_id = 'a'", "user_id in (a)", 3),
    ] {
        let explained = sandbox.rows(&format!("EXPLAIN {sql}"));
        let plan =
            explained.as_array().expect("rows").iter().filter_map(|row| row["plan"].as_str()).collect::<String>();
        let found: Vec<&str> = plan.lines().filter(|line| line.contains("/visits/")).collect();
        assert_eq!(found.len(), scans, "{sql}\n{plan}");
        let guaranteed = found.iter().filter(|line| line.contains(guaranteed)).count();
        assert_eq!(guaranteed, scans.min(2), "{sql}\n{plan}");
        assert_eq!(plan.matches("join_type=LeftSemi").count() + plan.matches("join_type=RightSemi").count(), scans / 2);
    }
}

#[test]
fn a_plan_is_explained_and_shows_no_rows_of_others() {
    let sandbox = Sandbox::new();
    sandbox.track(&[click("a", 0)]);
    for table in ["users", "sessions"] {
        let explained = sandbox.rows(&format!("EXPLAIN SELECT * FROM {table}")).to_string();
        assert!(explained.contains("AggregateExec"), "{explained}");
    }
}

/// `cargo nextest run -p ridealong-query --run-ignored only --no-capture`
#[test]
#[ignore = "prints what answers cost; asserts nothing about it"]
fn the_cost_of_half_a_million_events() {
    const BATCHES: i64 = 100;
    const ROWS: i64 = 5_000;
    const USERS: i64 = 20_000;
    let sandbox = Sandbox::new();
    for batch in 0..BATCHES {
        let events = (batch * ROWS..(batch + 1) * ROWS).map(|row| {
            let user = row.wrapping_mul(2_654_435_761).rem_euclid(USERS);
            let session = (row % 2 == 0).then(|| format!("s{user}-{}", batch / 20));
            let value = json!({ "eventType": "x", "userId": format!("user-{user}"), "sessionId": session,
                "context": { "platform": "web", "location": { "country": "DE" } } });
            event(value, batch * 30 * MINUTE_US + row)
        });
        sandbox.track(&events.collect::<Vec<_>>());
    }
    for state in ["hot", "cold"] {
        for sql in [
            "SELECT count(*) AS c FROM events",
            "SELECT count(*) AS c FROM users",
            "SELECT cohort, count(*), avg(session_count), avg(event_count) FROM users GROUP BY 1",
            "SELECT * FROM users WHERE user_id = 'user-77'",
            "SELECT count(*), avg(duration_us) FROM sessions",
            "SELECT platform, country, count(*), sum(event_count) FROM sessions GROUP BY 1, 2",
            "SELECT * FROM sessions WHERE session_id = 's77-1'",
            "SELECT * FROM sessions WHERE user_id = 'user-77'",
            "SELECT u.cohort, count(*) FROM events JOIN users u USING (user_id) GROUP BY 1",
        ] {
            let answer = sandbox.ask("default", sql);
            println!("{state} {:>8.1?} {:>6} rows  {sql}", answer.execution, answer.rows);
        }
        sandbox.flush();
    }
}
