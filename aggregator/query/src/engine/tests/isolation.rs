//! Whatever a tenant asks, no answer and no error holds a row of another: statements made at random from all that might
//! reach one, over two tenants whose rows are marked.
//!
//! `RIDEALONG_ISOLATION_STATEMENTS=100000 RIDEALONG_ISOLATION_SEED=7` tries more.

use serde_json::json;

use super::*;

/// In every row of the other tenant, in its statements and its errors; in no statement of ours.
const MARK: &str = "mark7f3a";
const OTHER: &str = "zother";
const STATEMENTS: usize = 300;

/// Numbers at random, always the same of one seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// So many of the tables are what a caller would name.
const PLAIN: usize = 9;

const TABLES: [&str; 44] = [
    "events",
    "requests",
    "users",
    "sessions",
    "quarantine",
    "system.queries",
    "public.events",
    "\"events\"",
    "datafusion.public.events",
    "host_metrics",
    "request_summaries",
    "visits",
    "system.ledger",
    "system.jobs",
    "datafusion.system.queries",
    "zother.events",
    "zother.public.events",
    "datafusion.zother.events",
    "\"zother\".\"events\"",
    "\"zother/events\"",
    "\"../zother/events\"",
    "\"public\".\"zother.events\"",
    "information_schema.tables",
    "information_schema.columns",
    "information_schema.df_settings",
    "pg_catalog.pg_class",
    "named",
    "unnamed",
    "'{lake}/zother/events/'",
    "'{lake}/zother/events/*.parquet'",
    "\"file://{lake}/zother/events/\"",
    "\"{lake}/zother/events/_delta_log/00000000000000000000.json\"",
    "read_parquet('{lake}/zother/events/')",
    "parquet_metadata('{lake}/zother/events/')",
    "metadata_cache()",
    "statistics_cache()",
    "generate_series(1, 3)",
    "unnest([1, 2])",
    "(VALUES ('zother'), ('default')) v",
    "(SELECT * FROM events)",
    "LATERAL (SELECT * FROM zother.events)",
    "TABLE(zother.events)",
    "events@zother",
    "events FOR SYSTEM_TIME AS OF '2020-01-01'",
];

const COLUMNS: [&str; 30] = [
    "*",
    "count(*)",
    "event_type",
    "user_id",
    "properties",
    "properties->>'k'",
    "properties->'zother'",
    "source",
    "route",
    "sql",
    "error",
    "advice",
    "detail",
    "payload",
    "segment",
    "t0.*",
    "max(event_type)",
    "array_agg(user_id)",
    "string_agg(source, ',')",
    "first_value(user_id) OVER (ORDER BY timestamp)",
    "lag(sql) OVER (ORDER BY started_at)",
    "zother.events.user_id",
    "current_schema()",
    "version()",
    "current_user",
    "arrow_typeof(user_id)",
    "input_file_name()",
    "getenv('HOME')",
    "pg_read_file('{lake}/zother')",
    "(SELECT max(user_id) FROM zother.events)",
];

const CONDITIONS: [&str; 16] = [
    "true",
    "1 = 1 OR user_id = 'x'",
    "user_id IS NOT NULL",
    "user_id LIKE '%7f%'",
    "properties->>'k' IS NOT NULL",
    "user_id IN (SELECT user_id FROM zother.events)",
    "EXISTS (SELECT 1 FROM zother.public.events)",
    "source = ANY (SELECT source FROM users)",
    "tenant = 'zother'",
    "event_type::bigint > 0",
    "user_id::timestamp IS NULL",
    "1 / (CASE WHEN user_id = 'x' THEN 1 ELSE 0 END) > 0",
    "date_trunc(user_id, timestamp) IS NULL",
    "regexp_like(user_id, user_id || '(')",
    "timestamp < now()",
    "duration_us >= 0",
];

fn query(chance: &mut Chance, depth: usize) -> String {
    let with = match chance.below(8) {
        0 => "WITH events AS (SELECT * FROM zother.events) ",
        1 => "WITH zother AS (SELECT * FROM events), users AS (SELECT * FROM zother) ",
        2 => {
            "WITH RECURSIVE r AS (SELECT user_id FROM events UNION SELECT e.user_id FROM r JOIN zother.events e ON true) "
        }
        _ => "",
    };
    // Often something plain, or nothing would be answered.
    let columns: Vec<&str> = match chance.below(2) {
        0 => vec![chance.one(&COLUMNS[..2])],
        _ => (0..1 + chance.below(3)).map(|_| chance.one(&COLUMNS)).collect(),
    };
    let table = if depth > 0 && chance.below(4) == 0 {
        format!("({}) t0", query(chance, depth - 1))
    } else if chance.below(2) == 0 {
        chance.one(&TABLES[..PLAIN]).to_owned()
    } else {
        chance.one(&TABLES).to_owned()
    };
    let join = match chance.below(8) {
        0 => format!(" JOIN {} ON true", chance.one(&TABLES)),
        1 => format!(", {} t1", chance.one(&TABLES)),
        _ => String::new(),
    };
    let condition = match chance.below(5) {
        0..3 => String::new(),
        3 => format!(" WHERE {}", chance.one(&CONDITIONS)),
        _ => format!(" WHERE {} AND NOT ({})", chance.one(&CONDITIONS), chance.one(&CONDITIONS)),
    };
    let rest = chance.one(&["", "", " LIMIT 5", " ORDER BY 1", " GROUP BY ALL", " GROUP BY 1"]);
    let select = format!("{with}SELECT {} FROM {table}{join}{condition}{rest}", columns.join(", "));
    match chance.below(10) {
        0 if depth > 0 => format!("{select} UNION ALL {}", query(chance, depth - 1)),
        1 => format!("EXPLAIN {select}"),
        2 => format!("EXPLAIN ANALYZE VERBOSE {select}"),
        _ => select,
    }
}

fn marked(number: usize) -> Value {
    json!({ "eventType": MARK, "eventCategory": MARK, "userId": format!("{MARK}-{number}"), "sessionId": MARK,
        "source": MARK, "environment": MARK, "properties": { "k": MARK, "zother": [MARK] },
        "context": { "referrer": MARK, "platform": MARK, "deviceType": MARK, "userAgent": MARK } })
}

/// Two tenants; of each some rows in memory and some in files.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let ours = json!({ "eventType": "ours", "userId": "us", "source": "ours", "properties": { "k": "ours" } });
    for round in 0..2 {
        sandbox.track(OTHER, &(0..5).map(|number| marked(round * 5 + number)).collect::<Vec<_>>());
        sandbox.track("default", &vec![ours.clone(); 5]);
        sandbox.requests(5);
        if round == 0 {
            sandbox.flush();
        }
    }
    sandbox.ask(OTHER, QueryRequest::new(format!("SELECT '{MARK}'"))).expect("answered");
    sandbox.ask(OTHER, QueryRequest::new(format!("SELECT {MARK}"))).expect_err("no such column");
    sandbox
}

/// All that comes back, whether an answer or an error.
fn told(sandbox: &Sandbox, tenant: &str, sql: &str) -> String {
    let request = QueryRequest { timeout: Duration::from_secs(10), ..QueryRequest::new(sql) };
    match sandbox.ask(tenant, request) {
        Ok(answer) => {
            format!("{}{:?}{}", String::from_utf8_lossy(&answer.rows_json), answer.columns, answer.plan)
        }
        Err(error) => {
            assert!(!matches!(error, QueryError::Failed(_)), "{sql}: {error}");
            error.to_string()
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "how long a test runs is no setting of a program")]
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

#[test]
fn nothing_that_is_asked_tells_of_another_tenant() {
    let sandbox = sandbox();
    let lake = sandbox.folder().join("lake").display().to_string();
    let seed = number("RIDEALONG_ISOLATION_SEED", 0x5eed_1234);
    println!("RIDEALONG_ISOLATION_SEED={seed}");
    let mut chance = Chance(seed.max(1));
    let (mut answered, mut reached) = (0, 0);
    for _ in 0..number("RIDEALONG_ISOLATION_STATEMENTS", STATEMENTS as u64) {
        let sql = query(&mut chance, 2).replace("{lake}", &lake);
        // The other asks first: nothing that was kept for it may be given to us.
        reached += usize::from(told(&sandbox, OTHER, &sql).contains(MARK));
        let ours = told(&sandbox, "default", &sql);
        assert!(!ours.contains(MARK), "{sql}\n{ours}");
        answered += usize::from(ours.starts_with('['));
    }
    println!("{answered} answered, {reached} told their own tenant of its rows");
    assert!(answered > 5 && reached > 5, "{answered} answered, {reached} told their own tenant of its rows");
}
