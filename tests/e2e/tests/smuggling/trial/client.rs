//! The client's side of a case: sends its bytes, keeps every answer, and sees whether the connection ends.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use ridealong_e2e::Wire;
use ridealong_e2e::wire::Message;

use crate::case::{Case, Outcome};

/// Within which an answer that nobody asked for would come.
const QUIET: Duration = Duration::from_millis(200);

/// Within which an answer that is due comes, even on a busy machine: no case asks for work.
const PATIENCE: Duration = Duration::from_secs(6);

/// What came of a case.
#[derive(Debug, Default)]
pub struct Got {
    pub answers: Vec<Message>,
    pub interim: Vec<u16>,
    pub closed: bool,
    /// Bytes that are no answer.
    pub rest: Vec<u8>,
}

impl Got {
    pub fn statuses(&self) -> Vec<u16> {
        self.answers.iter().filter_map(|answer| answer.head.status()).collect()
    }
}

pub async fn send(address: SocketAddr, case: &Case) -> Result<Got> {
    let mut wire = Wire::connect(address).await?.patient_for(PATIENCE);
    let mut got = Got::default();
    if case.outcome == Outcome::Anything {
        return anything(wire, case).await;
    }
    for (at, step) in case.steps.iter().enumerate() {
        wire.send(step).await;
        if case.half_closes {
            wire.finish().await;
        }
        if case.outcome == Outcome::Unfinished {
            // Time to say something about the beginning; then the end, to which it must say or do something.
            wire.is_silent(QUIET).await;
            wire.finish().await;
        }
        let is_last = at + 1 == case.steps.len();
        answers(&mut wire, case, if is_last { usize::MAX } else { at + 1 }, &mut got).await?;
        if got.closed {
            break;
        }
    }
    Ok(got)
}

/// Answers up to so many, or as many as the case expects; then whatever else comes.
async fn answers(wire: &mut Wire, case: &Case, up_to: usize, got: &mut Got) -> Result<()> {
    let expected = expected(case).min(up_to);
    while !got.closed {
        if got.answers.len() >= expected && wire.is_silent(QUIET).await {
            return Ok(());
        }
        let method = case.seen.get(got.answers.len()).map_or("GET", |seen| seen.method);
        match wire.response(method).await? {
            Some(answer) if answer.head.status() < Some(200) => got.interim.extend(answer.head.status()),
            Some(answer) => {
                // After an answer of its own the proxy closes: waited for here, so that no time is guessed.
                let ends = answer.head.get("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
                got.answers.push(answer);
                if ends {
                    got.rest = wire.rest().await?;
                    got.closed = true;
                }
            }
            None => {
                got.rest = wire.unread().to_vec();
                got.closed = true;
            }
        }
    }
    Ok(())
}

/// How many answers are waited for, however long they take.
fn expected(case: &Case) -> usize {
    match case.outcome {
        Outcome::Served => case.seen.len(),
        Outcome::Either(_) => 1,
        // To the end of the connection.
        _ => usize::MAX,
    }
}

/// Sends everything, lets the other side do what it likes, and leaves.
async fn anything(mut wire: Wire, case: &Case) -> Result<Got> {
    let mut got = Got::default();
    for step in &case.steps {
        wire.send(step).await;
        while !wire.is_silent(QUIET * 2).await {
            let before = got.rest.len();
            got.rest.extend(wire.some().await?);
            if got.rest.len() == before {
                got.closed = true;
                return Ok(got);
            }
        }
    }
    Ok(got)
}

/// Another client's request, which must be answered as if nothing had happened.
pub async fn after(address: SocketAddr, case: &Case, got: Result<Got>) -> Result<Got> {
    let got = got?;
    let mut wire = Wire::connect(address).await?.patient_for(PATIENCE);
    let path = format!("/{}/after", case.id);
    wire.send(format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")).await;
    let answer = wire.response("GET").await?.context("the next client gets no answer")?;
    let said = String::from_utf8_lossy(&answer.body);
    let is_its_own = answer.head.status() == Some(200) && said.starts_with(&format!("GET {path}"));
    anyhow::ensure!(is_its_own, "the next client gets {:?} {said:?}", answer.head.first_line);
    Ok(got)
}
