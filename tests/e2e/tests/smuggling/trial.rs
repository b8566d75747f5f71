//! Sends the cases of a group through an agent and judges what the client got and what the service saw.

mod client;
mod verdict;

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::StreamExt;
use ridealong_e2e::real_origin::{Kind, Understood};
use ridealong_e2e::{Agent, Aggregator, RawOrigin, RealOrigin, raw_origin};

use crate::case::{Case, Outcome};
use client::{Got, after, send};

/// Nobody listens there: rows stay in the spool, which is not this test's concern.
const NO_AGGREGATOR: &str = "http://127.0.0.1:9";
/// Cases at once. Few connections to the service, so that what one case leaves behind would be the next one's.
const AT_ONCE: usize = 8;
/// For a service's note of what it has answered, or of what broke off.
const SETTLED: Duration = Duration::from_secs(20);

/// A request as some service understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    pub method: String,
    pub target: String,
    pub body: Option<String>,
    pub complete: Option<bool>,
}

pub async fn before_a_strict_reader(cases: Vec<Case>) -> Result<()> {
    let origin = RawOrigin::start().await?;
    let agent = Agent::start(&origin.url(), NO_AGGREGATOR, &["--threads", "1"]).await?;
    let got = send_all(&agent, &cases).await;
    let notes = || Ok(origin.heard().into_iter().map(Noted::from).collect());
    let notes = settled(&cases, notes).await?;
    let mut faults = verdict::on(&cases, &got, &notes, true);
    faults.extend(verdict::checks(&cases, &origin.heard()));
    faults.extend(origin.faults().into_iter().map(|fault| format!("the strict reader: {fault}")));
    report(&cases, faults);
    Ok(())
}

pub async fn before(kind: Kind, cases: Vec<Case>) -> Result<()> {
    let origin = RealOrigin::start(kind).await?;
    let agent = Agent::start(&origin.url(), NO_AGGREGATOR, &["--threads", "1"]).await?;
    let got = send_all(&agent, &cases).await;
    let notes = || Ok(origin.understood()?.into_iter().filter_map(Noted::of).collect());
    let notes = settled(&cases, notes).await?;
    let mut faults = verdict::on(&cases, &got, &notes, false);
    // What it refused itself can be told apart from nothing but the cases that may be refused.
    let refused: Vec<_> = origin.understood()?.into_iter().filter_map(|line| line.refused).collect();
    let may_be = cases.iter().filter(|case| case.service_may_refuse).count();
    if refused.len() > may_be {
        faults.push(format!("{kind:?} refused {}, at most {may_be} of these cases may be: {refused:?}", refused.len()));
    }
    report(&cases, faults);
    Ok(())
}

/// Of these cases, those that are refused before they are requests: they are counted, and no row is made of them.
pub async fn makes_no_rows(cases: Vec<Case>) -> Result<()> {
    let refused = |case: &Case| matches!(case.outcome, Outcome::Refused(_)) && case.error.is_none();
    let cases: Vec<Case> = cases.into_iter().filter(refused).collect();
    let (origin, aggregator) = (RawOrigin::start().await?, Aggregator::start(&[]).await?);
    let agent = Agent::start(&origin.url(), &aggregator.url(), &["--threads", "1"]).await?;
    for (case, got) in cases.iter().zip(send_all(&agent, &cases).await) {
        let answer = got?.answers;
        let bare = answer.iter().all(|answer| answer.head.get("x-request-id").is_none());
        assert!(bare, "{}: no request has an id: {answer:?}", case.id);
    }
    agent.flush().await?;
    let rows = aggregator.rows("SELECT path, status FROM requests WHERE path NOT LIKE '%/after'").await?;
    assert!(rows.is_empty(), "{} cases made {rows:?}", cases.len());
    assert_eq!(aggregator.count("requests").await?, cases.len() as i64, "one request after each case");
    let counted = agent.stats().await?["proxy"]["headsRefused"].as_u64();
    assert_eq!(counted, Some(cases.len() as u64), "heads refused");
    Ok(())
}

async fn send_all(agent: &Agent, cases: &[Case]) -> Vec<Result<Got>> {
    let address = agent.proxy_address();
    let one = |case: Case| async move {
        let got = send(address, &case).await;
        after(address, &case, got).await
    };
    futures::stream::iter(cases.to_vec()).map(one).buffered(AT_ONCE).collect().await
}

/// The notes, once the request after each case is among them and nothing new comes.
async fn settled(cases: &[Case], notes: impl Fn() -> Result<Vec<Noted>>) -> Result<Vec<Noted>> {
    let started = Instant::now();
    let mut before = notes()?;
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = notes()?;
        let ends = now.iter().filter(|note| note.target.ends_with("/after")).count();
        if now == before && (ends >= cases.len() || started.elapsed() > SETTLED) {
            return Ok(now);
        }
        before = now;
    }
}

fn report(cases: &[Case], faults: Vec<String>) {
    let count = cases.len();
    assert!(faults.is_empty(), "{} faults in {count} cases:\n  {}\n", faults.len(), faults.join("\n  "));
}

impl From<raw_origin::Heard> for Noted {
    fn from(heard: raw_origin::Heard) -> Self {
        let body = heard.message.body.iter().map(|byte| char::from(*byte)).collect();
        let complete = Some(heard.message.complete);
        Self { method: heard.method, target: heard.target, body: Some(body), complete }
    }
}

impl Noted {
    fn of(line: Understood) -> Option<Self> {
        if line.refused.is_some() {
            return None;
        }
        // Where a service did not take the request, it did not read its body either.
        let body = line.complete.is_some().then_some(line.body);
        Some(Self { method: line.method, target: line.target, body, complete: line.complete })
    }
}
