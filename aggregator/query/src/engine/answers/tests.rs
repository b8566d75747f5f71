//! An engine that keeps answers beside one that does not: over the same rows they never differ.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use ridealong_common::table::Table;
use ridealong_model::jobs::{Job, Worker};
use ridealong_model::mutation::{Mutate, MutationChange, MutationRequest};
use ridealong_model::query::{Param, QueryEngine as _, QueryRequest};
use ridealong_model::segment::{Segment, SegmentRules};
use ridealong_model::tenant::TenantId;
use serde_json::{Value, json};

use crate::engine::tests::Sandbox;

#[derive(Clone, Debug)]
enum Step {
    Track(u8, u8),
    Requests(u8),
    Flush,
    Delete(u8),
    Correct(u8, u8),
    Rewrite,
    Compact,
    Rules(u8),
    /// Asks one of the statements, several times.
    Ask(usize),
}

const STATEMENTS: [&str; 10] = [
    "SELECT count(*) AS c FROM events",
    "SELECT user_id, source, count(*) AS c FROM events GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT event_type FROM events WHERE user_id = 'u1' ORDER BY event_type, event_id LIMIT 3",
    "SELECT (SELECT count(*) FROM events) AS e, (SELECT count(*) FROM requests) AS r",
    "SELECT user_id, event_count, segment FROM users ORDER BY user_id",
    "SELECT user_id, event_count FROM sessions ORDER BY user_id, started_at",
    "SELECT count(*) AS c FROM quarantine",
    "WITH e AS (SELECT * FROM events) SELECT a.user_id, count(*) AS c FROM e a JOIN e b USING (user_id) GROUP BY 1 ORDER BY 1",
    "SELECT route, count(*) AS c FROM requests WHERE duration_us > $1 GROUP BY 1 ORDER BY 1",
    "SELECT count(*) AS c FROM system.ledger WHERE stage = 'lake' AND table_name = 'events'",
];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u8..4, 1u8..4).prop_map(|(user, count)| Step::Track(user, count)),
        1 => (1u8..5).prop_map(Step::Requests),
        2 => Just(Step::Flush),
        1 => (0u8..4).prop_map(Step::Delete),
        1 => (0u8..4, 0u8..3).prop_map(|(user, source)| Step::Correct(user, source)),
        1 => Just(Step::Rewrite),
        1 => Just(Step::Compact),
        1 => (0u8..3).prop_map(Step::Rules),
        12 => (0..STATEMENTS.len()).prop_map(Step::Ask),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Rules that change.
#[derive(Default)]
struct Rules(parking_lot::Mutex<Vec<Segment>>);

impl SegmentRules for Rules {
    fn segments(&self, _: &TenantId) -> Arc<[Segment]> {
        self.0.lock().clone().into()
    }
}

struct Trial {
    sandbox: Sandbox,
    uncached: crate::Engine,
    rules: Arc<Rules>,
    hits: usize,
}

impl Trial {
    fn new() -> Self {
        let rules = Arc::new(Rules::default());
        let with = Arc::clone(&rules);
        let sandbox = Sandbox::with(|engine| engine.with_segments(with));
        let uncached = crate::Engine::clone(&sandbox.engine).with_cache(0);
        Self { sandbox, uncached, rules, hits: 0 }
    }

    fn mutate(&self, user: u8, change: MutationChange) {
        let request = MutationRequest {
            tenant: TenantId::default_tenant(),
            table: Table::Events,
            condition: format!("user_id = 'u{user}'"),
            change,
            dry_run: false,
        };
        self.sandbox.runtime.block_on(self.sandbox.lake.mutate(request)).expect("mutated");
    }

    fn job(&self, job: Job) {
        self.sandbox.runtime.block_on(self.sandbox.lake.run(job)).expect("done");
    }

    fn ask(&mut self, statement: usize) -> Result<(), TestCaseError> {
        let request = QueryRequest::new(STATEMENTS[statement]);
        let request = if statement == 8 { request.param(Param::Integer(1)) } else { request };
        let tenant = TenantId::default_tenant();
        let asked = async {
            let fresh = self.uncached.query(&tenant, request.clone()).await.expect("answered");
            let first = self.sandbox.engine.query(&tenant, request.clone()).await.expect("answered");
            let second = self.sandbox.engine.query(&tenant, request.clone()).await.expect("answered");
            (fresh, first, second)
        };
        let (fresh, first, second) = self.sandbox.runtime.block_on(asked);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        for kept in [&first, &second] {
            prop_assert_eq!(text(&kept.rows_json), text(&fresh.rows_json), "{}", STATEMENTS[statement]);
            prop_assert_eq!(&kept.columns, &fresh.columns);
        }
        prop_assert!(!fresh.cache_hit);
        let varies = STATEMENTS[statement].contains("system.");
        prop_assert_eq!(second.cache_hit, !varies, "nothing happened since: {}", STATEMENTS[statement]);
        self.hits += usize::from(second.cache_hit);
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Track(user, count) => {
                let event = json!({ "eventType": "click", "userId": format!("u{user}"), "source": "web" });
                self.sandbox.track("default", &vec![event; usize::from(*count)]);
            }
            Step::Requests(count) => self.sandbox.requests(u64::from(*count)),
            Step::Flush => self.sandbox.flush(),
            Step::Delete(user) => self.mutate(*user, MutationChange::Delete),
            Step::Correct(user, source) => {
                let values = vec![("source".to_owned(), Param::Text(format!("s{source}")))];
                self.mutate(*user, MutationChange::Set(values));
            }
            Step::Rewrite => self.job(Job::Rewrite),
            Step::Compact => self.job(Job::Compact),
            Step::Rules(least) => {
                let rule = Segment { name: format!("from {least}"), condition: format!("event_count >= {least}") };
                *self.rules.0.lock() = vec![rule];
            }
            Step::Ask(statement) => self.ask(*statement)?,
        }
        Ok(())
    }
}

#[allow(clippy::disallowed_methods, reason = "how long a test runs is no setting of a program")]
fn cases() -> ProptestConfig {
    let cases = std::env::var("RIDEALONG_CACHE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(6);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_kept_answer_is_what_a_new_one_would_be(steps in steps()) {
        let mut trial = Trial::new();
        for step in &steps {
            trial.step(step)?;
        }
        for statement in 0..STATEMENTS.len() {
            trial.ask(statement)?;
        }
        prop_assert_eq!(trial.hits > 0, true);
        prop_assert_eq!(trial.sandbox.engine.status().cache_hits >= trial.hits as u64, true);
        trial.uncached.close();
    }
}

#[test]
fn what_depends_on_more_than_rows_is_not_kept() {
    let sandbox = Sandbox::new();
    sandbox.requests(3);
    for sql in [
        "SELECT now()",
        "SELECT random() AS r FROM requests",
        "SELECT uuid()",
        "SELECT current_date",
        "SELECT count(*) AS c FROM requests WHERE timestamp > now() - interval '1 day'",
        "SELECT count(*) AS c FROM (SELECT * FROM requests WHERE timestamp < current_timestamp)",
        "SELECT count(*) AS c FROM requests WHERE duration_us IN (SELECT 1 WHERE random() < 2)",
        "SELECT count(*) AS c FROM system.queries",
        "SELECT count(*) AS c FROM requests, system.jobs",
        "EXPLAIN SELECT count(*) FROM requests",
        "EXPLAIN ANALYZE SELECT count(*) FROM requests",
    ] {
        for _ in 0..2 {
            let answer = sandbox.ask("default", QueryRequest::new(sql)).expect(sql);
            assert!(!answer.cache_hit, "{sql}");
        }
    }
}

#[test]
fn statements_that_differ_in_anything_have_answers_of_their_own() {
    let sandbox = Sandbox::new();
    sandbox.requests(10);
    sandbox.track("other", &[json!({ "eventType": "secret" })]);
    let ask = |tenant: &str, request: QueryRequest| {
        let answer = sandbox.ask(tenant, request).expect("answered");
        (serde_json::from_slice::<Value>(&answer.rows_json).expect("JSON"), answer.cache_hit)
    };
    let count =
        |limit: i64| QueryRequest::new("SELECT count(*) AS c FROM requests WHERE duration_us <= $1").param(limit);
    assert_eq!(ask("default", count(5)), (json!([{ "c": 5 }]), false));
    assert_eq!(ask("default", count(6)), (json!([{ "c": 6 }]), false));
    assert_eq!(ask("default", count(5)), (json!([{ "c": 5 }]), true));
    let all = |rows_max| QueryRequest { rows_max, ..QueryRequest::new("SELECT duration_us FROM requests ORDER BY 1") };
    assert_eq!(ask("default", all(2)).0.as_array().map(Vec::len), Some(2));
    assert_eq!(ask("default", all(3)).0.as_array().map(Vec::len), Some(3));
    let events = || QueryRequest::new("SELECT count(*) AS c FROM events");
    assert_eq!(ask("other", events()), (json!([{ "c": 1 }]), false));
    assert_eq!(ask("default", events()), (json!([{ "c": 0 }]), false));
    assert_eq!(ask("other", events()), (json!([{ "c": 1 }]), true));
}

#[test]
fn kept_answers_have_a_limit_and_are_counted() {
    let sandbox = Sandbox::with(|engine| engine.with_cache(64 << 10));
    sandbox.requests(200);
    for number in 0..40 {
        let sql = format!("SELECT path, route, duration_us + {number} AS d FROM requests");
        sandbox.ask("default", QueryRequest::new(sql)).expect("answered");
        assert!(sandbox.engine.status().cache_bytes <= 64 << 10);
    }
    assert!(sandbox.engine.status().cache_bytes > 0);
    assert_eq!(sandbox.engine.options.budget.status().queries, sandbox.engine.status().cache_bytes);
}

/// Ten who ask the same at once share one run; those who leave do not end it for the others.
#[test]
fn the_same_question_at_the_same_time_is_worked_out_once() {
    let sandbox = Sandbox::new();
    for _ in 0..20 {
        sandbox.requests(5_000);
    }
    let sql = "SELECT sum(a.duration_us + b.duration_us) AS s FROM requests a, requests b WHERE b.duration_us <= 100";
    // What it reads is learnt first, as it is of every statement that is asked again.
    let tenant = TenantId::default_tenant();
    let ask = |timeout_ms| {
        let (engine, tenant) = (Arc::clone(&sandbox.engine), tenant.clone());
        let request = QueryRequest { timeout: Duration::from_millis(timeout_ms), ..QueryRequest::new(sql) };
        sandbox.runtime.spawn(async move { engine.query(&tenant, request).await })
    };
    let hasty = ask(1);
    let patient: Vec<_> = (0..10).map(|_| ask(30_000)).collect();
    let answers: Vec<_> = patient
        .into_iter()
        .map(|asked| sandbox.runtime.block_on(asked).expect("no panic").expect("answered"))
        .collect();
    assert!(sandbox.runtime.block_on(hasty).expect("no panic").is_err());
    assert!(answers.iter().all(|answer| answer.rows_json == answers[0].rows_json));
    assert!(sandbox.engine.status().shared > 0, "{:?}", sandbox.engine.status());
    let ids: std::collections::BTreeSet<&str> = answers.iter().map(|answer| answer.query_id.as_str()).collect();
    assert_eq!(ids.len(), 10, "each asked for itself");
}
