//! Statements that mean harm. Each must be answered, as a refusal or in time; afterwards nothing works on, and others are
//! answered as before.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ridealong_model::query::{QueryEngine as _, QueryError, QueryRequest};
use serde_json::json;

use crate::engine::tests::Sandbox;

/// What may be taken before a machine with other work to do is idle again.
const PATIENCE: Duration = Duration::from_secs(60);

/// CPU time of this process, in ticks of 10 ms.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("a /proc");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    fields[11].parse::<u64>().expect("ticks") + fields[12].parse::<u64>().expect("ticks")
}

/// Until this process takes less than a tenth of a processor.
fn wait_until_idle(sql: &str) {
    let begun = Instant::now();
    loop {
        let before = cpu_ticks();
        std::thread::sleep(Duration::from_millis(500));
        if cpu_ticks() - before <= 5 {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "something works on after: {sql}");
    }
}

fn request(sql: &str, timeout_ms: u64) -> QueryRequest {
    QueryRequest { timeout: Duration::from_millis(timeout_ms), ..QueryRequest::new(sql) }
}

/// Statements whose work has no end worth waiting for, over 100,000 rows.
const ENDLESS: [&str; 12] = [
    "SELECT sum(a.duration_us + b.duration_us) FROM requests a, requests b",
    "SELECT count(*) FROM requests a, requests b WHERE a.duration_us + b.duration_us < 0",
    "SELECT count(*) FROM requests a LEFT JOIN requests b ON a.duration_us * b.duration_us < 0",
    "SELECT count(*) FROM requests a FULL JOIN requests b ON a.duration_us * b.duration_us < 0",
    "SELECT count(*) FROM requests a JOIN requests b ON a.route = b.route",
    "SELECT count(*) FROM requests a JOIN requests b ON a.route = b.route AND a.duration_us * b.duration_us < 0",
    "SELECT count(*) FROM requests a WHERE EXISTS
        (SELECT 1 FROM requests b WHERE b.duration_us * a.duration_us < 0)",
    "SELECT a.path FROM requests a, requests b ORDER BY a.duration_us - b.duration_us",
    "WITH RECURSIVE n AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n",
    "WITH RECURSIVE n AS (SELECT 1 AS x UNION ALL SELECT x % 7 FROM n) SELECT max(x) FROM n",
    "WITH l AS (SELECT array_agg(duration_us) AS l FROM requests WHERE duration_us < 5000), a AS (SELECT l, unnest(l) FROM l),
        b AS (SELECT l, unnest(l) FROM a), c AS (SELECT l, unnest(l) FROM b) SELECT count(*) FROM c",
    "SELECT count(DISTINCT a.duration_us * 100000 + b.duration_us) FROM requests a, requests b",
];

#[test]
fn work_ends_with_its_query_and_others_go_on() {
    let sandbox = Sandbox::new();
    for _ in 0..20 {
        sandbox.requests(5_000);
    }
    for (number, sql) in ENDLESS.into_iter().enumerate() {
        if number == ENDLESS.len() / 2 {
            sandbox.flush();
        }
        let result = sandbox.ask("default", request(sql, 300));
        let is_stopped =
            matches!(result, Err(QueryError::TimedOut(_) | QueryError::TooLarge(_) | QueryError::Short(_)));
        assert!(is_stopped, "{sql}: {result:?}");
        let count = sandbox.rows("SELECT count(*) AS c FROM requests");
        assert_eq!(count, json!([{ "c": 100_000 }]), "after {sql}");
        wait_until_idle(sql);
    }
    assert_eq!(sandbox.engine.status().overdue_now, 0);
    assert_eq!(sandbox.engine.status().threads_replaced, 0);
}

#[test]
fn work_ends_when_whoever_asked_has_left() {
    let sandbox = Sandbox::new();
    for _ in 0..20 {
        sandbox.requests(5_000);
    }
    let sql = ENDLESS[1];
    let tenant = ridealong_model::tenant::TenantId::default_tenant();
    sandbox.runtime.block_on(async {
        let asking = sandbox.engine.query(&tenant, request(sql, 30_000));
        assert!(tokio::time::timeout(Duration::from_millis(300), asking).await.is_err());
    });
    wait_until_idle(sql);
    assert_eq!(sandbox.engine.status().cancelled, 1);
    let told =
        sandbox.rows("SELECT state FROM system.queries WHERE sql LIKE '%b.duration_us < 0%' AND state <> 'running'");
    assert_eq!(told, json!([{ "state": "cancelled" }]));
}

/// Each is refused or answered, and quickly; none takes the program with it.
#[test]
fn what_multiplies_is_bounded() {
    let sandbox = Sandbox::new();
    sandbox.requests(5_000);
    let tens = (0..12).fold("'aaaaaaaaaa'".to_owned(), |text, _| format!("replace({text}, 'a', 'aaaaaaaaaa')"));
    let patterns = (0..9).fold("'aaaaaaaaaa'".to_owned(), |text, _| {
        format!("regexp_replace({text}, '(.*)', '\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1')")
    });
    let ctes = (1..9).fold("WITH t0 AS (SELECT path || 'aaaaaaaaaa' AS t FROM requests)".to_owned(), |sql, level| {
        format!("{sql}, t{level} AS (SELECT t || t || t || t || t AS t FROM t{})", level - 1)
    });
    let doubled = (1..30).fold("WITH t0 AS (SELECT 1 AS x FROM requests)".to_owned(), |sql, level| {
        format!("{sql}, t{level} AS (SELECT a.x FROM t{0} a, t{0} b)", level - 1)
    });
    let columns: Vec<String> = (0..30).map(|column| format!("duration_us + {column}")).collect();
    let statements = [
        format!("SELECT {tens}"),
        format!("SELECT length({tens}) FROM requests"),
        format!("SELECT {patterns}"),
        format!("SELECT concat(path, {tens}) FROM requests"),
        format!("{ctes} SELECT max(length(t)) FROM t8"),
        format!("{doubled} SELECT count(*) FROM t29"),
        "WITH RECURSIVE n AS (SELECT 'aaaa' AS x UNION ALL SELECT x || x FROM n) SELECT max(length(x)) FROM n"
            .to_owned(),
        "WITH RECURSIVE n AS (SELECT 1 AS x UNION ALL SELECT a.x FROM n a, n b, requests c) SELECT count(*) FROM n"
            .to_owned(),
        format!("SELECT count(*) FROM requests GROUP BY CUBE({})", columns.join(", ")),
        "SELECT array_agg(path) OVER (ORDER BY duration_us) FROM requests".to_owned(),
        "SELECT string_agg(path, ',') OVER (ORDER BY duration_us) FROM requests".to_owned(),
        "SELECT levenshtein(a.t, a.t) FROM (SELECT string_agg(protocol || path || route, '') AS t FROM requests) a"
            .to_owned(),
        format!("SELECT count(*) FROM requests WHERE path LIKE '{}'", "%a".repeat(20_000)),
        "SELECT array_to_string(array_agg(path), '".to_owned() + &"x".repeat(60_000) + "') FROM requests",
        "SELECT count(*) FROM requests WHERE regexp_like(path, path || '((a{1000}){100}){100}')".to_owned(),
    ];
    for sql in &statements {
        let shown = &sql[..sql.len().min(120)];
        let result = sandbox.ask("default", request(sql, 2_000));
        assert!(!matches!(result, Ok(_) | Err(QueryError::Failed(_) | QueryError::Busy)), "{shown}: {result:?}");
        wait_until_idle(shown);
    }
    assert_eq!(sandbox.rows("SELECT count(*) AS c FROM requests"), json!([{ "c": 5_000 }]));
}

#[test]
fn what_joins_and_replaces_texts_does_as_it_should() {
    let sandbox = Sandbox::new();
    sandbox.requests(3);
    let rows = sandbox.twice(
        "SELECT method || ' ' || route AS a, method || NULL AS b, 1 || 'x' AS c, replace(route, 'r', 'rr') AS d,
            concat(method, NULL, 1) AS e, regexp_replace(route, '[0-9]', '<\\0>') AS f, [1] || [2] AS g
         FROM requests ORDER BY duration_us LIMIT 1",
    );
    let expected =
        json!([{ "a": "GET /r0", "b": null, "c": "1x", "d": "/rr0", "e": "GET1", "f": "/r<0>", "g": [1, 2] }]);
    assert_eq!(rows, expected);
    let names = sandbox.rows("SELECT method || route FROM requests LIMIT 1");
    assert!(names[0].as_object().is_some_and(|row| row.keys().all(|name| name.contains("||"))), "{names}");
}

/// Pieces are put together as if there had been one.
#[test]
fn a_call_in_pieces_gives_what_one_call_gives() {
    let sandbox = Sandbox::new();
    sandbox.requests(5_000);
    let long = "y".repeat(2_000);
    let sql = format!(
        "SELECT count(*) AS c, min(length(t)) AS least, max(length(t)) AS most, count(DISTINCT t) AS texts
         FROM (SELECT replace('x' || duration_us, 'x', '{long}') AS t FROM requests)"
    );
    assert_eq!(sandbox.twice(&sql), json!([{ "c": 5_000, "least": 2_001, "most": 2_004, "texts": 5_000 }]));
}

#[test]
fn deep_and_long_statements_are_refused_or_answered() {
    let sandbox = Sandbox::new();
    sandbox.requests(10);
    let ors = format!("SELECT count(*) FROM requests WHERE {}", vec!["status = 1"; 990].join(" OR "));
    let sums = format!("SELECT {}", vec!["1"; 1_990].join(" + "));
    let list = format!("SELECT count(*) FROM requests WHERE duration_us IN ({})", vec!["7"; 1_900].join(", "));
    let unions = vec!["SELECT 1"; 900].join(" UNION ALL ");
    let nots = format!("SELECT {} true", "NOT ".repeat(3_000));
    let minus = format!("SELECT {} 1", "- ".repeat(3_000));
    let cases = format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(60), " END".repeat(60));
    let nested = format!("SELECT * FROM {}requests{}", "(SELECT * FROM ".repeat(60), ") t".repeat(60));
    let arrays = format!("SELECT {}1{}", "[".repeat(2_000), "]".repeat(2_000));
    let concats = format!("SELECT {}", vec!["path"; 1_900].join(" || ")) + " FROM requests";
    let casts = format!("SELECT 1{}", "::text::bigint".repeat(600));
    for sql in [ors, sums, list, unions, nots, minus, cases, nested, arrays, concats, casts] {
        let shown = &sql[..sql.len().min(80)];
        let begun = Instant::now();
        let result = sandbox.ask("default", request(&sql, 5_000));
        println!("{:?} {shown}", begun.elapsed());
        assert!(!matches!(result, Err(QueryError::Failed(_))), "{shown}: {result:?}");
    }
}

/// The shared pool leaves room for those that have just begun.
#[test]
fn a_query_has_a_share_of_the_memory() {
    let sandbox = Sandbox::new();
    for _ in 0..20 {
        sandbox.requests(5_000);
    }
    let large = "SELECT count(*) FROM (SELECT DISTINCT a.duration_us, b.duration_us FROM requests a, requests b)";
    let engine = Arc::clone(&sandbox.engine);
    let tenant = ridealong_model::tenant::TenantId::default_tenant();
    let hogs: Vec<_> = (0..2)
        .map(|number| {
            let (engine, tenant) = (Arc::clone(&engine), tenant.clone());
            let sql = format!("{large} WHERE {number} = {number}");
            sandbox.runtime.spawn(async move { engine.query(&tenant, request(&sql, 8_000)).await })
        })
        .collect();
    let small = "SELECT route, count(DISTINCT duration_us) AS c FROM requests GROUP BY 1 ORDER BY 1";
    while !hogs.iter().all(tokio::task::JoinHandle::is_finished) {
        let answer = sandbox.ask("default", request(&format!("{small} LIMIT {}", another_number()), 30_000));
        assert!(answer.is_ok(), "{answer:?}");
    }
    for hog in hogs {
        let result = sandbox.runtime.block_on(hog).expect("no panic");
        assert!(result.is_err(), "{result:?}");
    }
}

/// Another number each time, so that no answer is one that was kept.
fn another_number() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_nanos() % 1_000_000 + 3
}

/// A sort for a far page neither keeps all rows in memory nor gives others.
#[test]
fn a_far_page_is_sorted_on_disk() {
    let sandbox = Sandbox::new();
    for start in 0..60 {
        sandbox.requests_from(start * 5_000, 5_000);
    }
    let sql = "SELECT duration_us FROM requests ORDER BY duration_us LIMIT 2 OFFSET 250000";
    assert_eq!(sandbox.twice(sql), json!([{ "duration_us": 250_001 }, { "duration_us": 250_002 }]));
}

/// Threads that no look at a permit can reach: others take their place.
#[test]
fn stuck_threads_are_replaced() {
    let sandbox = Sandbox::new();
    sandbox.requests(3);
    let (release, released) = std::sync::mpsc::sync_channel::<()>(1);
    let released = Arc::new(parking_lot::Mutex::new(released));
    let (stuck, begun) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    // What is spawned may wait behind one that is stuck already.
    while stuck.load(Ordering::SeqCst) < 2 {
        let (released, stuck) = (Arc::clone(&released), Arc::clone(&stuck));
        sandbox.engine.spawn_for_test(move || {
            stuck.fetch_add(1, Ordering::SeqCst);
            // An error is the end of the test.
            let _ = released.lock().recv();
        });
        std::thread::sleep(Duration::from_millis(10));
        assert!(begun.elapsed() < PATIENCE);
    }
    while sandbox.ask("default", request("SELECT count(*) AS c FROM requests", 1_000)).is_err() {
        assert!(begun.elapsed() < PATIENCE, "{:?}", sandbox.engine.status());
    }
    assert_eq!(sandbox.engine.status().threads_replaced, 1);
    drop(release);
}

/// Arguments at the edges of what functions take. Whatever becomes of one statement, the next is answered.
#[test]
fn functions_at_their_edges_harm_nobody() {
    const LEAST: &str = "(-9223372036854775807 - 1)";
    let sandbox = Sandbox::new();
    sandbox.requests(5);
    let calls = [
        "abs({})",
        "substr('abc', {})",
        "substr('abc', 1, {})",
        "left('abc', {})",
        "right('abc', {})",
        "split_part('a,b', ',', {})",
        "chr({})",
        "to_timestamp({})",
        "to_timestamp_micros({})",
        "from_unixtime({})",
        "round(1.5, {})",
        "trunc(1.5, {})",
        "factorial({})",
        "gcd({}, 0)",
        "lcm({}, 3)",
        "power({}, 9)",
        "to_hex({})",
        "1 << {}",
        "1 >> {}",
        "{} / -1",
        "{} % -1",
        "{} * {}",
        "-{}",
        "array_element([1, 2], {})",
        "array_slice([1, 2], {}, {})",
        "array_slice([1, 2, 3], 1, 3, {})",
        "array_position([1, 2], 2, {})",
        "array_remove_n([1, 2], 1, {})",
        "array_replace_n([1, 2], 1, 2, {})",
        "nth_value(duration_us, {}) OVER ()",
        "lag(duration_us, {}) OVER (ORDER BY duration_us)",
        "ntile({}) OVER ()",
        "sum(duration_us) OVER (ROWS BETWEEN 9223372036854775807 PRECEDING AND 9223372036854775807 FOLLOWING)",
        "to_char(timestamp, '%Q %E %:')",
        "to_char(timestamp, '')",
        "to_timestamp('x', '%Q')",
        "date_part('century', timestamp)",
        "date_bin(interval '0 seconds', timestamp)",
        "date_bin(interval '1 month', timestamp, timestamp)",
        "date_trunc('', timestamp)",
        "timestamp + interval '999999999 years'",
        "timestamp - interval '9999999999 days'",
        "make_date(999999, 99, 99)",
        "timestamp AT TIME ZONE 'Nowhere'",
        "decode('zz', 'hex')",
        "encode('a', 'no')",
        "regexp_replace('a', '(', 'b')",
        "regexp_count('a', '', {})",
        "regexp_like('a', 'a', 'zzz')",
        "'abc' SIMILAR TO '['",
        "'a' LIKE 'a' ESCAPE ''",
        "translate('a', '', 'b')",
        "overlay('abc' placing 'x' from {})",
        "strpos('', '')",
        "cast('NaN' AS bigint)",
        "cast(1e300 AS integer)",
        "'99999999999999999999'::bigint",
        "'x'::uuid",
        "{}::smallint",
        "percentile(0.5, {})",
        "approx_percentile_cont(duration_us, 2)",
        "percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_us)",
        "json_get('{', 'a')",
        "properties_missing",
        "'[1' -> 1",
        "json_length('nope')",
        "uuid_text(NULL)",
        "uuid_text('x')",
        "struct(1, 2)['c9']",
        "map(['a'], [1, 2])",
        "named_struct('a')",
        "unnest(NULL)",
        "flatten([[1], NULL])",
        "arrow_cast(1, 'Nonsense')",
        "arrow_cast('x', 'FixedSizeBinary(-1)')",
        "arrow_cast(1, 'Decimal128(76, -99)')",
        "greatest()",
        "coalesce()",
        "nullif(1, 'a')",
        "concat()",
        "concat_ws(NULL)",
        "levenshtein(NULL, 'a')",
        "string_to_array('a', '')",
        "array_to_string([1], NULL)",
        "range(5)",
        "cardinality(NULL)",
        "digest('a', 'no')",
        "corr(1, duration_us)",
        "stddev(duration_us) OVER (ROWS {} PRECEDING)",
        "bit_and({})",
        "first_value(1 ORDER BY 2)",
        "grouping(1)",
        "rank() OVER (RANGE BETWEEN '1' PRECEDING AND CURRENT ROW)",
        "current_time + interval '1 month'",
        "1.0 / 0",
        "1 / 0",
        "CAST(99999999999999999999999999999999999999 AS DECIMAL(38, 0)) * 99999999999999999999",
    ];
    let mut gave_up = Vec::new();
    for call in calls {
        for number in ["0", "-1", "2147483648", "9223372036854775807", LEAST, "NULL"] {
            let sql = format!("SELECT {} FROM requests", call.replace("{}", number));
            if let Err(QueryError::Failed(error)) = sandbox.ask("default", request(&sql, 10_000)) {
                gave_up.push(format!("{sql}: {error}"));
            }
            if !call.contains("{}") {
                break;
            }
        }
    }
    let invalid = sandbox.ask("default", request("SELECT regexp_replace(path, '(', 'b') FROM requests", 10_000));
    assert!(matches!(invalid, Err(QueryError::Invalid(_))), "{invalid:?}");
    println!("{} gave up\n{}", gave_up.len(), gave_up.join("\n"));
    assert_eq!(sandbox.rows("SELECT count(*) AS c FROM requests"), json!([{ "c": 5 }]));
    assert_eq!(sandbox.engine.status().overdue_now, 0);
}
