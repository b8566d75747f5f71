//! The live table, until somebody presses Ctrl-C.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Outcome, Session};
use crate::api::ApiError;
use crate::measurement::{Measured, Observer};
use crate::screen::Screen;
use crate::signals::Signals;
use crate::table;
use crate::traffic::Sent;

const REFRESH: Duration = Duration::from_secs(1);
/// The rate is that of the last refreshes, so that it is neither jumpy nor stale.
const RATE_REFRESHES: usize = 5;
/// For the last rows to arrive, once it is over. What is not there by then stays out of the table.
const LAST_LOOK: Duration = Duration::from_secs(5);
/// Lines of the block beside the routes: header, blank line, totals of a narrow terminal, a problem.
const OTHER_LINES: usize = 7;

impl Session {
    pub(super) async fn live(&mut self, screen: &mut Screen, signals: &mut Signals) -> Result<Outcome> {
        let sent = self.traffic.as_ref().map(|traffic| Arc::clone(&traffic.sent));
        let mut view = View::new(&self.observer, sent.clone());
        Self::unless_ended(&mut self.stack, signals, view.watch(screen)).await?;
        let traffic = self.traffic.take();
        let closing = async {
            if let Some(traffic) = traffic {
                traffic.stop().await;
            }
            // It is over anyway: a last look that fails leaves the table as it was.
            let _ = tokio::time::timeout(LAST_LOOK, view.observer.settle()).await;
            view.refresh(screen).await;
            Ok(())
        };
        Self::unless_ended(&mut self.stack, signals, closing).await?;
        Ok(Outcome { holds: true, deserves_a_look: false, last_line: None })
    }
}

/// What is painted, and from what.
struct View<'a> {
    observer: &'a Observer,
    sent: Option<Arc<Sent>>,
    measured: Measured,
    problem: Option<String>,
    /// When how many requests had been found.
    history: VecDeque<(Instant, u64)>,
}

impl<'a> View<'a> {
    fn new(observer: &'a Observer, sent: Option<Arc<Sent>>) -> Self {
        let history = VecDeque::from([(Instant::now(), 0)]);
        Self { observer, sent, measured: Measured::default(), problem: None, history }
    }

    /// Returns when nobody looks any more.
    async fn watch(&mut self, screen: &mut Screen) -> Result<()> {
        let mut ticks = interval(REFRESH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !screen.is_gone() {
            tokio::select! {
                _ = ticks.tick() => self.refresh(screen).await,
                () = screen.resized() => {
                    self.paint(screen);
                }
            }
        }
        Ok(())
    }

    async fn refresh(&mut self, screen: &mut Screen) {
        self.take(self.observer.measure().await);
        self.paint(screen);
    }

    fn take(&mut self, measured: Result<Measured, ApiError>) {
        match measured {
            Ok(measured) => {
                self.history.push_back((Instant::now(), measured.requests()));
                if self.history.len() > RATE_REFRESHES + 1 {
                    self.history.pop_front();
                }
                self.measured = measured;
                self.problem = None;
            }
            Err(error) => self.problem = Some(format!("no new numbers: {error}")),
        }
    }

    fn paint(&self, screen: &mut Screen) {
        let paper = screen.paper(OTHER_LINES);
        let mut block = table::lines(&self.measured.routes, &paper);
        if self.measured.routes.is_empty() {
            let hint = if self.sent.is_some() { "no requests yet" } else { "no requests yet: send some to the proxy" };
            block.extend(table::totals(&[hint.to_owned()], &paper));
        }
        block.push(String::new());
        block.extend(table::totals(&self.totals(), &paper));
        screen.paint(&block);
    }

    fn totals(&self) -> Vec<String> {
        let mut parts = totals(self.sent.as_deref(), &self.measured, self.rate());
        parts.extend(self.problem.clone());
        parts
    }

    fn rate(&self) -> f64 {
        let (Some((from, before)), Some((to, after))) = (self.history.front(), self.history.back()) else { return 0.0 };
        let seconds = to.duration_since(*from).as_secs_f64();
        if seconds > 0.0 { after.saturating_sub(*before) as f64 / seconds } else { 0.0 }
    }
}

/// What was sent, what is found, how fast, and the books of both programs.
pub(super) fn totals(sent: Option<&Sent>, measured: &Measured, requests_per_second: f64) -> Vec<String> {
    let count = table::thousands;
    let mut parts = match sent {
        Some(sent) => {
            vec![format!("sent {}", count(sent.answered())), format!("found by SQL {}", count(measured.own_requests()))]
        }
        None => vec![format!("found by SQL {}", count(measured.requests()))],
    };
    if let Some(unanswered) = sent.map(Sent::unanswered).filter(|unanswered| *unanswered > 0) {
        parts.push(format!("{} unanswered", count(unanswered)));
    }
    parts.push(format!("{requests_per_second:.0} requests/s"));
    let (agent, aggregator) = (measured.agent, measured.aggregator);
    parts.push(format!("{} events", count(measured.events)));
    parts.push(format!("agent {} pending, {} dropped", count(agent.pending), count(agent.dropped)));
    parts.push(format!(
        "aggregator {} rows, {} duplicate, {} missing",
        count(aggregator.stored),
        count(aggregator.duplicate),
        count(measured.missing())
    ));
    parts
}
