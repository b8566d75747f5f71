//! What the panels of dashboards ask, at a steady rate whatever the answers take.

use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use reqwest::Client;
use ridealong_common::time::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::target::client;

/// Ranges end at whole ten seconds, as panels that refresh each ten seconds ask.
const STEP_US: i64 = 10_000_000;
const HOUR_US: i64 = 3_600_000_000;
/// Questions that wait for their answer at once; a load generator that piles up more measures itself.
const WAITING_MAX: usize = 4_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mix {
    /// POST /query
    Sql,
    /// POST /metrics
    Metrics,
    Both,
}

/// How one question was answered.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub name: String,
    /// From when it was due, sorted.
    pub answered_after: Vec<Duration>,
    /// Answered 429 or 503.
    pub put_off: u64,
    pub faults: u64,
}

/// One panel.
#[derive(Clone, Copy)]
struct Question {
    name: &'static str,
    path: &'static str,
    body: fn(&str, i64) -> Value,
}

fn time(micros: i64) -> String {
    Timestamp(micros).to_string()
}

fn sql(text: &str, service: &str, from: i64, to: i64) -> Value {
    json!({ "sql": text, "params": [service, time(from), time(to)] })
}

const SQL: [Question; 5] = [
    Question {
        name: "query: latency a minute, 1 h",
        path: "/query",
        body: |service, now| {
            let text = "SELECT date_trunc('minute', timestamp) AS minute, percentile(0.95, duration_us) AS p95, \
                count(*) AS n FROM requests WHERE service = $1 AND timestamp >= $2::timestamp AND \
                timestamp < $3::timestamp GROUP BY 1 ORDER BY 1";
            sql(text, service, now - HOUR_US, now)
        },
    },
    Question {
        name: "query: errors by route, 6 h",
        path: "/query",
        body: |service, now| {
            let text = "SELECT route, count(*) AS n, avg(CASE WHEN status >= 500 THEN 1.0 ELSE 0.0 END) AS errors \
                FROM requests WHERE service = $1 AND timestamp >= $2::timestamp AND timestamp < $3::timestamp \
                GROUP BY 1 ORDER BY 2 DESC LIMIT 10";
            sql(text, service, now - 6 * HOUR_US, now)
        },
    },
    Question {
        name: "query: events by type and minute, 15 min",
        path: "/query",
        body: |service, now| {
            let text = "SELECT date_trunc('minute', timestamp) AS minute, event_type, count(*) AS n FROM events \
                WHERE source = $1 AND timestamp >= $2::timestamp AND timestamp < $3::timestamp GROUP BY 1, 2 ORDER BY 1, 2";
            sql(text, service, now - HOUR_US / 4, now)
        },
    },
    Question {
        name: "query: users in 1 h",
        path: "/query",
        body: |service, now| {
            let text = "SELECT count(DISTINCT user_id) AS users FROM events WHERE source = $1 AND \
                timestamp >= $2::timestamp AND timestamp < $3::timestamp";
            sql(text, service, now - HOUR_US, now)
        },
    },
    Question {
        name: "query: newest 50 requests",
        path: "/query",
        body: |service, now| {
            let text = "SELECT timestamp, route, status, duration_us FROM requests WHERE service = $1 AND \
                timestamp >= $2::timestamp AND timestamp < $3::timestamp ORDER BY timestamp DESC LIMIT 50";
            sql(text, service, now - 24 * HOUR_US, now)
        },
    },
];

const METRICS: [Question; 4] = [
    Question {
        name: "metrics: requests and p95 a minute, 1 h",
        path: "/metrics",
        body: |service, now| {
            panel(&["request_count", "latency_p95"], &[], ("service", service), now - HOUR_US, now, Some("1m"))
        },
    },
    Question {
        name: "metrics: error rate by route, 1 d",
        path: "/metrics",
        body: |service, now| {
            panel(&["request_count", "error_rate"], &["route"], ("service", service), now - 24 * HOUR_US, now, None)
        },
    },
    Question {
        name: "metrics: events by type and hour, 3 d",
        path: "/metrics",
        body: |service, now| {
            panel(&["event_count"], &["event_type"], ("source", service), now - 72 * HOUR_US, now, Some("1h"))
        },
    },
    Question {
        name: "metrics: users an hour, 1 d",
        path: "/metrics",
        body: |service, now| panel(&["unique_users"], &[], ("source", service), now - 24 * HOUR_US, now, Some("1h")),
    },
];

fn panel(
    metrics: &[&str],
    dimensions: &[&str],
    (field, service): (&str, &str),
    from: i64,
    to: i64,
    granularity: Option<&str>,
) -> Value {
    let filters = json!([{ "field": field, "op": "=", "value": service }]);
    let range = json!({ "from": time(from), "to": time(to) });
    let mut body = json!({ "metrics": metrics, "dimensions": dimensions, "filters": filters, "timeRange": range });
    if let Some(granularity) = granularity {
        body["granularity"] = json!(granularity);
    }
    body
}

/// Asks for so long; the last line is of all questions together.
pub async fn ask(url: &str, service: &str, mix: Mix, rate: u64, time: Duration) -> Result<Vec<Asked>> {
    let questions: Vec<Question> = match mix {
        Mix::Sql => SQL.to_vec(),
        Mix::Metrics => METRICS.to_vec(),
        Mix::Both => SQL.into_iter().chain(METRICS).collect(),
    };
    let (client, started) = (client()?, Instant::now());
    let base: Arc<str> = format!("{url}/api/analytics").into();
    let said = Arc::new(Once::new());
    let mut waiting: JoinSet<(usize, Duration, Answer)> = JoinSet::new();
    let mut asked: Vec<Asked> = questions.iter().map(|question| named(question.name)).collect();
    for number in 0..rate * time.as_secs() {
        let due = started + Duration::from_secs_f64(number as f64 / rate as f64);
        tokio::time::sleep_until(due.into()).await;
        while let Some(done) = waiting.try_join_next() {
            note(&mut asked, done.context("a question panicked")?);
        }
        ensure!(waiting.len() < WAITING_MAX, "{WAITING_MAX} questions wait for an answer: the aggregator is overrun");
        let at = number as usize % questions.len();
        let now = Timestamp::now().micros().div_euclid(STEP_US) * STEP_US;
        let (question, body) = (questions[at], (questions[at].body)(service, now));
        let (client, base, said) = (client.clone(), Arc::clone(&base), Arc::clone(&said));
        waiting.spawn(async move {
            let answer = answer(&client, &format!("{base}{}", question.path), &body, &said).await;
            (at, due.elapsed(), answer)
        });
    }
    while let Some(done) = waiting.join_next().await {
        note(&mut asked, done.context("a question panicked")?);
    }
    let mut all = named("all");
    for each in &mut asked {
        each.answered_after.sort_unstable();
        all.answered_after.extend(&each.answered_after);
        all.put_off += each.put_off;
        all.faults += each.faults;
    }
    all.answered_after.sort_unstable();
    asked.push(all);
    Ok(asked)
}

fn named(name: &str) -> Asked {
    Asked { name: name.to_owned(), ..Asked::default() }
}

enum Answer {
    Given,
    PutOff,
    Fault,
}

#[allow(clippy::print_stderr, reason = "the first fault says what is wrong with the run")]
async fn answer(client: &Client, url: &str, body: &Value, said: &Once) -> Answer {
    let told = async {
        let answer = client.post(url).json(body).send().await?;
        let status = answer.status().as_u16();
        Ok::<_, reqwest::Error>((status, answer.text().await?))
    };
    match told.await {
        Ok((200, _)) => Answer::Given,
        Ok((429 | 503, _)) => Answer::PutOff,
        Ok((status, text)) => {
            said.call_once(|| eprintln!("{body} was answered {status}: {text:.400}"));
            Answer::Fault
        }
        Err(error) => {
            said.call_once(|| eprintln!("{body} was not answered: {error}"));
            Answer::Fault
        }
    }
}

fn note(asked: &mut [Asked], (at, took, answer): (usize, Duration, Answer)) {
    match answer {
        Answer::Given => asked[at].answered_after.push(took),
        Answer::PutOff => asked[at].put_off += 1,
        Answer::Fault => asked[at].faults += 1,
    }
}
