//! `--once`: some seconds, then the check that everything sent is found.

use std::time::Duration;

use anyhow::{Context, Result};

use super::live::totals;
use super::{Outcome, Session};
use crate::measurement::Observer;
use crate::screen::Screen;
use crate::signals::Signals;
use crate::table::{self, thousands};
use crate::traffic::{Sent, Traffic};
use crate::verification::{Report, Verification};

impl Session {
    pub(super) async fn once(
        &mut self,
        duration: Duration,
        screen: &mut Screen,
        signals: &mut Signals,
    ) -> Result<Outcome> {
        let seconds = duration.as_secs();
        let what = if self.traffic.is_some() { "traffic" } else { "waiting for your requests" };
        screen.say(&[format!("{seconds} s of {what} …"), String::new()]);
        let traffic = self.traffic.take();
        let checked = async {
            tokio::time::sleep(duration).await;
            check(&self.observer, traffic, duration, screen).await
        };
        match Self::unless_ended(&mut self.stack, signals, checked).await? {
            Some(outcome) => Ok(outcome),
            None => Ok(Outcome::interrupted("interrupted before anything was verified", screen)),
        }
    }
}

/// Stops the traffic, waits until all is delivered, compares, and prints the final table.
async fn check(
    observer: &Observer,
    traffic: Option<Traffic>,
    duration: Duration,
    screen: &mut Screen,
) -> Result<Outcome> {
    let sent = traffic.as_ref().map(|traffic| traffic.sent.clone());
    if let Some(traffic) = traffic {
        traffic.stop().await;
    }
    observer.settle().await?;
    let verification = match &sent {
        Some(sent) => observer.verify_ids(&sent.ids()).await?,
        None => observer.verify_counts().await?,
    };
    let sent = sent.as_deref();
    let measured = observer.measure().await.context("cannot measure")?;
    let paper = screen.paper(0);
    let paper = table::Paper { routes_max: usize::MAX, ..paper };
    let mut lines = table::lines(&measured.routes, &paper);
    lines.push(String::new());
    let rate = measured.requests() as f64 / duration.as_secs_f64();
    lines.extend(table::totals(&totals(sent, &measured, rate), &paper));
    lines.push(String::new());
    let report = Report::new(&observer.service, verification, sent, &measured);
    lines.extend(verdict(verification, sent, &report));
    screen.say(&lines);
    Ok(Outcome { holds: report.holds(), deserves_a_look: !report.holds(), last_line: Some(report.line()) })
}

/// The result in words.
fn verdict(verification: Verification, sent: Option<&Sent>, report: &Report<'_>) -> Vec<String> {
    let Verification { sent: requests, missing, duplicates, found } = verification;
    let mut lines = Vec::new();
    lines.push(if verification == Verification::default() {
        "no request came, so there was nothing to verify".to_owned()
    } else if verification.holds() {
        format!("verified: {} requests, each found by SQL exactly once", thousands(requests))
    } else {
        format!(
            "NOT verified: {} requests, {} found by SQL, {} missing, {} stored again",
            thousands(requests),
            thousands(found),
            thousands(missing),
            thousands(duplicates)
        )
    });
    if sent.is_some() && report.events_found != report.events_sent {
        lines.push(format!("NOT verified: {} events, {} found by SQL", report.events_sent, report.events_found));
    }
    lines
}
