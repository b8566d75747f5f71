//! Answers beside those of a naive list of rows, through flushes, merges, deletions, corrections and restarts.

mod model;
mod sandbox;

use std::time::Duration;

use ridealong_model::jobs::{Job, Worker as _};
use ridealong_model::lake::Lake as _;
use ridealong_model::metrics::{AskedFilter, Moment};
use ridealong_model::mutation::MutationChange;
use ridealong_model::query::Param;
use serde_json::{Value, json};

use self::model::{Event, Model, Summary, assert_alike};
use self::sandbox::{Sandbox, request};
use super::*;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
/// Midnight.
const START: i64 = 1_763_683_200 * SECOND;

/// Set to run another sequence, or more of them.
#[allow(clippy::disallowed_methods, reason = "not a setting: which sequences a test runs")]
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let first = number("RIDEALONG_METRICS_SEED").unwrap_or(1);
    first..first + number("RIDEALONG_METRICS_RUNS").unwrap_or(6)
}

#[test]
fn answers_are_those_of_a_list_of_rows() {
    for seed in seeds() {
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut sandbox = Sandbox::new();
        let mut model = Model::default();
        for _ in 0..24 {
            step(&mut random, &mut sandbox, &mut model);
            for _ in 0..4 {
                let asked = question(&mut random);
                let answer = sandbox.ask(asked.clone());
                assert_alike(&asked, &answer, &model);
            }
        }
    }
}

fn step(random: &mut fastrand::Rng, sandbox: &mut Sandbox, model: &mut Model) {
    match random.u32(0..16) {
        0..6 => {
            let events: Vec<Event> = (0..random.usize(1..400)).map(|_| Event::draw(random, START)).collect();
            sandbox.track(&events);
            model.events.extend(events);
        }
        6..9 => {
            let summaries: Vec<Summary> = (0..random.usize(1..120)).map(|_| Summary::draw(random, START)).collect();
            sandbox.summarise(&summaries);
            model.summaries.extend(summaries);
        }
        9..12 => sandbox.block_on(sandbox.lake.flush()).expect("flushed"),
        12 => drop(sandbox.block_on(sandbox.lake.run(Job::Compact)).expect("compacted")),
        13 => drop(sandbox.block_on(sandbox.lake.run(Job::Rewrite)).expect("rewritten")),
        14 if random.bool() => {
            let kind = random.u8(0..4);
            sandbox.mutate(&format!("event_type = '{}'", model::KINDS[usize::from(kind)]), MutationChange::Delete);
            model.events.retain(|event| event.kind != kind);
        }
        14 => {
            let kind = random.u8(0..4);
            let condition = format!("event_type = '{}' AND user_id IS NOT NULL", model::KINDS[usize::from(kind)]);
            let change = MutationChange::Set(vec![("version".into(), Param::Text("corrected".into()))]);
            sandbox.mutate(&condition, change);
            let corrected = model.events.iter_mut().filter(|event| event.kind == kind && event.user.is_some());
            corrected.for_each(|event| event.version = Some("corrected"));
        }
        _ => {
            if random.bool() {
                sandbox.wait_for_rollups();
            }
            sandbox.restart();
        }
    }
}

/// Of a random range, with random buckets, dimensions and filters.
fn question(random: &mut fastrand::Rng) -> MetricsRequest {
    let of_events = random.bool();
    let (metrics, known): (&[&str], &[&str]) = match of_events {
        true => (
            &["event_count", "unique_users", "unique_sessions"],
            &["source", "environment", "event_type", "country", "version", "user_id", "platform"],
        ),
        false => (
            &[
                "request_count",
                "error_count",
                "latency_p50",
                "latency_p95",
                "latency_p99",
                "latency_max",
                "response_bytes",
            ],
            &["service", "route", "status", "method", "environment"],
        ),
    };
    let mut asked = request(metrics);
    let from = START + random.i64(-30 * HOUR..60 * HOUR);
    asked.from = Moment::At(Timestamp(from));
    asked.to = Moment::At(Timestamp(from + random.i64(1..80 * HOUR)));
    let lengths = [10, 60, 420, 900, 3_600, 86_400, 7 * 86_400];
    if random.bool() {
        let Moment::At(to) = asked.to else { unreachable!("set above") };
        let fits = lengths.into_iter().filter(|length| (to.micros() - from) / (length * SECOND) < 9_000);
        let fits: Vec<i64> = fits.collect();
        asked.granularity = Some(Duration::from_secs(fits[random.usize(0..fits.len())] as u64));
    }
    let mut dimensions = known.to_vec();
    random.shuffle(&mut dimensions);
    asked.dimensions = dimensions[..random.usize(0..4)].iter().map(ToString::to_string).collect();
    if random.bool() {
        let (field, values): (&str, &[&str]) = match of_events {
            true => [("source", &model::SOURCES[..]), ("event_type", &model::KINDS), ("country", &model::COUNTRIES)]
                [random.usize(0..3)],
            false => ("route", &model::ROUTES),
        };
        let value = values[random.usize(0..values.len())];
        let (op, value) = match random.u32(0..5) {
            0 => ("=", json!(value)),
            1 => ("!=", json!(value)),
            2 => ("in", json!([value, "none"])),
            3 => ("starts_with", json!(value.chars().take(1).collect::<String>())),
            _ => ("exists", json!(random.bool())),
        };
        asked.filters.push(AskedFilter { field: field.into(), op: op.into(), value: Some(value) });
    }
    asked
}

/// What rollups say is what rows say: the same question with a filter that changes nothing, but that no rollup has.
#[test]
fn rollups_and_rows_answer_alike() {
    let sandbox = Sandbox::new();
    let mut random = fastrand::Rng::with_seed(7);
    let events: Vec<Event> = (0..20_000).map(|_| Event::draw(&mut random, START)).collect();
    sandbox.track(&events);
    for is_cold in [false, true] {
        if is_cold {
            sandbox.block_on(sandbox.lake.flush()).expect("flushed");
        }
        for granularity in [None, Some(60), Some(3_600), Some(86_400)] {
            let mut asked = request(&["event_count", "unique_users", "unique_sessions"]);
            asked.from = Moment::At(Timestamp(START));
            asked.to = Moment::At(Timestamp(START + 36 * HOUR));
            asked.granularity = granularity.map(Duration::from_secs);
            asked.dimensions = vec!["source".into()];
            let rolled = sandbox.ask(asked.clone());
            // So few events by minute are as many cells as rows, which does not pay.
            if !(is_cold && granularity == Some(60)) {
                assert_eq!((rolled.source.as_str(), rolled.work.rows), ("rollups", 0), "{granularity:?}");
            }
            asked.filters.push(AskedFilter { field: "event_id".into(), op: "exists".into(), value: None });
            let read = sandbox.ask(asked);
            assert_eq!((read.source.as_str(), read.work.cells), ("rows", 0));
            assert_eq!(rows(&rolled), rows(&read), "{granularity:?}");
        }
    }
}

fn rows(answer: &MetricsAnswer) -> Value {
    serde_json::from_slice(&answer.rows_json).expect("JSON")
}

#[test]
fn an_answer_is_given_again_until_its_rows_change() {
    let sandbox = Sandbox::new();
    let mut random = fastrand::Rng::with_seed(3);
    let events: Vec<Event> = (0..50).map(|_| Event::draw(&mut random, START)).collect();
    sandbox.track(&events);
    let mut asked = request(&["event_count"]);
    asked.from = Moment::At(Timestamp(START - 100 * HOUR));
    asked.to = Moment::At(Timestamp(START + 100 * HOUR));
    let first = sandbox.ask(asked.clone());
    assert!(!first.cache_hit);
    let again = sandbox.ask(asked.clone());
    assert!(again.cache_hit && again.query_id != first.query_id && again.freshness < Duration::from_secs(1));
    // Rows outside of the range change nothing, one in it does.
    let far = Event { at: START + 1_000 * HOUR, ..events[0].clone() };
    sandbox.track(std::slice::from_ref(&far));
    let mut yesterday = asked.clone();
    yesterday.to = Moment::At(Timestamp(START + 99 * HOUR));
    sandbox.ask(yesterday);
    sandbox.track(&events[..1]);
    let more = sandbox.ask(asked.clone());
    assert_eq!((more.cache_hit, rows(&more)), (false, json!([{ "event_count": 51 }])));
    sandbox.block_on(sandbox.lake.flush()).expect("flushed");
    assert!(sandbox.ask(asked.clone()).rows == 1, "another snapshot");
    assert!(sandbox.ask(asked.clone()).cache_hit);
    let cold = Event { at: START + 2_000 * HOUR, ..far };
    sandbox.track(std::slice::from_ref(&cold));
    assert!(sandbox.ask(asked.clone()).cache_hit, "a row outside of the range");
    // By a caller's leave an answer may be old.
    asked.cache_ttl = Some(Duration::from_secs(60));
    sandbox.track(&events[1..2]);
    let old = sandbox.ask(asked.clone());
    assert_eq!((old.cache_hit, rows(&old)), (true, json!([{ "event_count": 51 }])));
    asked.cache_ttl = None;
    assert_eq!(rows(&sandbox.ask(asked)), json!([{ "event_count": 52 }]));
}

/// A minute that is asked for again is read once, and what has changed in it meanwhile is seen.
#[test]
fn ends_of_ranges_are_read_once_and_never_stale() {
    let sandbox = Sandbox::new();
    let mut random = fastrand::Rng::with_seed(11);
    let events: Vec<Event> =
        (0..3_000).map(|n| Event { at: START + n * SECOND / 10, ..Event::draw(&mut random, START) }).collect();
    sandbox.track(&events);
    sandbox.block_on(sandbox.lake.flush()).expect("flushed");
    let mut model = Model { events, ..Model::default() };
    for turn in 0..2 {
        for cut in [1, 3, 12_345_678, 59_999_999, 61_000_001] {
            let mut asked = request(&["event_count", "unique_users", "unique_sessions"]);
            asked.dimensions = vec!["source".into(), "user_id".into()];
            asked.from = Moment::At(Timestamp(START + cut));
            asked.to = Moment::At(Timestamp(START + cut + 45 * SECOND));
            assert_alike(&asked, &sandbox.ask(asked.clone()), &model);
            asked.dimensions.pop();
            assert_alike(&asked, &sandbox.ask(asked.clone()), &model);
        }
        if turn == 0 {
            sandbox.mutate("event_type = 'click'", MutationChange::Delete);
            model.events.retain(|event| event.kind != 0);
        }
    }
}

/// What was made before a restart is read from the disk; what is damaged there is made again; what is of no file goes.
#[test]
fn rollups_outlive_a_restart_and_may_be_lost() {
    let mut sandbox = Sandbox::new();
    let mut random = fastrand::Rng::with_seed(5);
    let events: Vec<Event> = (0..5_000).map(|_| Event::draw(&mut random, START)).collect();
    sandbox.track(&events);
    sandbox.block_on(sandbox.lake.flush()).expect("flushed");
    let mut asked = request(&["event_count", "unique_users"]);
    asked.dimensions = vec!["source".into(), "event_type".into()];
    asked.from = Moment::At(Timestamp(START - 1_000 * HOUR));
    asked.to = Moment::At(Timestamp(START + 1_000 * HOUR));
    let expected = rows(&sandbox.ask(asked.clone()));
    sandbox.wait_for_rollups();
    let stored = sandbox.stored();
    assert!(!stored.is_empty());
    for damage in [0, 12, 40, 400] {
        sandbox.restart();
        assert_eq!(rows(&sandbox.ask(asked.clone())), expected);
        for file in &stored {
            let mut bytes = std::fs::read(file).expect("read");
            let at = damage.min(bytes.len() - 1);
            bytes[at] ^= 0x55;
            std::fs::write(file, bytes).expect("written");
        }
    }
    let stray = stored[0].with_file_name("stray-00000000.rollup");
    std::fs::write(&stray, "nothing").expect("written");
    sandbox.restart();
    sandbox.wait_until("the stray is gone", || !stray.exists());
    assert_eq!(rows(&sandbox.ask(asked)), expected);
}

#[test]
fn sampled_requests_count_as_many_as_they_stand_for() {
    let sandbox = Sandbox::new();
    sandbox.requests(&[("/a", 200, 100, 4.0), ("/a", 500, 900, 1.0), ("/b", 200, 50, 2.5)], START);
    let mut asked = request(&["request_count", "error_count", "error_rate", "latency_p50", "latency_max"]);
    asked.dimensions = vec!["path".into()];
    asked.from = Moment::At(Timestamp(START));
    asked.to = Moment::At(Timestamp(START + HOUR));
    for _ in 0..2 {
        let answer = sandbox.ask(asked.clone());
        assert_eq!(answer.source, "rows");
        let rows = rows(&answer);
        assert_eq!((&rows[0]["request_count"], &rows[0]["error_count"]), (&json!(5), &json!(1)));
        assert_eq!((&rows[0]["error_rate"], &rows[0]["latency_max"]), (&json!(0.2), &json!(0.9)));
        assert_eq!(rows[1]["request_count"], json!(2.5));
        let median = rows[0]["latency_p50"].as_f64().expect("a number");
        assert!((median - 0.1).abs() <= 0.001, "{median}");
        sandbox.block_on(sandbox.lake.flush()).expect("flushed");
    }
}

#[test]
fn metrics_of_several_tables_are_joined() {
    let sandbox = Sandbox::new();
    let mut random = fastrand::Rng::with_seed(9);
    let event = Event { at: START + SECOND, source: Some(0), ..Event::draw(&mut random, START) };
    sandbox.track(&[event.clone(), event]);
    let summary = Summary { at: START, service: 0, ..Summary::draw(&mut random, START) };
    sandbox.summarise(std::slice::from_ref(&summary));
    let other = Summary { at: START + 60 * SECOND, ..summary };
    sandbox.summarise(std::slice::from_ref(&other));
    let mut asked = request(&["event_count", "request_count", "latency_p99", "events_per_second", "cpu_utilization"]);
    asked.dimensions = vec!["service".into()];
    asked.granularity = Some(Duration::from_secs(60));
    asked.from = Moment::At(Timestamp(START));
    asked.to = Moment::At(Timestamp(START + HOUR));
    let answer = sandbox.ask(asked);
    assert_eq!(answer.source, "rollups+summaries");
    let rows = rows(&answer);
    let count = other.values.len();
    assert_eq!((&rows[0]["event_count"], &rows[0]["request_count"]), (&json!(2), &json!(count)));
    assert_eq!(rows[0]["events_per_second"], json!(2.0 / 60.0));
    assert_eq!((&rows[1]["event_count"], &rows[1]["request_count"]), (&json!(0), &json!(count)));
    assert_eq!((&rows[1]["cpu_utilization"], rows.as_array().map(Vec::len)), (&Value::Null, Some(2)));
}

#[test]
fn nothing_is_a_row_of_zeros_without_dimensions_and_none_with_them() {
    let sandbox = Sandbox::new();
    let mut asked = request(&["event_count", "unique_users", "error_rate", "latency_p95", "requests_per_second"]);
    let answer = rows(&sandbox.ask(asked.clone()));
    let zeros = json!([{
        "event_count": 0, "unique_users": 0, "error_rate": null, "latency_p95": null, "requests_per_second": 0.0,
    }]);
    assert_eq!(answer, zeros);
    asked.dimensions = vec!["version".into()];
    assert_eq!(rows(&sandbox.ask(asked)), json!([]));
}
