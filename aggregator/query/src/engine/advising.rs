//! Finding out, in the background, what would have made a slow query faster.

use std::sync::Arc;
use std::time::Duration;

use ridealong_model::query::QueryRequest;

use super::Engine;
use super::advice::{Advice, Alternative, Known, alternatives, shape};
use super::asking::Asked;
use super::explained::Totals;
use super::owned::AbortOnDrop;
use super::statement::{Reads, Statement};
use crate::limits::Why;

/// A statement is tried no longer than this.
const TRIAL: Duration = Duration::from_secs(10);
/// Each is tried so often, and the quickest time counts: others may work meanwhile.
const TRIALS: usize = 2;
/// Between two looks whether few queries run, and how many there are.
const LOOK: Duration = Duration::from_millis(500);
const LOOKS: usize = 120;

impl Engine {
    /// Notes what is known of statements like this, or finds it out.
    pub(super) fn advise(&self, asked: &Asked, reads: &Reads, totals: Totals) {
        let shape = shape(&asked.request.sql);
        let counted = Advice::counted(reads, &asked.snapshot, &totals);
        let known = match self.advisor.ask(&shape) {
            Known::Advice(known) => known.or(counted),
            Known::Nothing => {
                self.find_out(asked, shape);
                counted
            }
        };
        if let Some(advice) = known {
            self.history.advise(&asked.statement.tenant, &asked.query_id, advice);
        }
    }

    fn find_out(&self, asked: &Asked, shape: String) {
        let Some(handle) = self.watchdog.handle() else { return };
        let (engine, asked) = (self.clone(), asked.clone());
        handle.spawn(async move {
            // Not by who asked: statements are deep, and stacks are large here.
            let alternatives = alternatives(&asked.request.sql);
            if alternatives.is_empty() {
                return;
            }
            let one = Arc::clone(&engine.advisor.one_at_a_time).acquire_owned().await;
            if !engine.is_quiet().await {
                return;
            }
            for alternative in alternatives {
                if let Some(advice) = engine.tried(&asked, &alternative).await {
                    engine.advisor.learn(&shape, advice.clone());
                    engine.history.advise(&asked.statement.tenant, &asked.query_id, advice);
                    break;
                }
            }
            drop(one);
        });
    }

    /// Waits until half of the places are free: others go before. False when that takes too long.
    async fn is_quiet(&self) -> bool {
        for _ in 0..LOOKS {
            if self.slots.available_permits() * 2 >= self.options.queries_max {
                return true;
            }
            tokio::time::sleep(LOOK).await;
        }
        false
    }

    async fn tried(&self, asked: &Asked, alternative: &Alternative) -> Option<Advice> {
        let mut before = Duration::MAX;
        let mut after = Duration::MAX;
        for _ in 0..TRIALS {
            before = before.min(self.timed(asked, &asked.request.sql).await?);
            after = after.min(self.timed(asked, &alternative.sql).await?);
        }
        Advice::measured(&alternative.text, before, after)
    }

    /// How long a statement takes with one thread, from the rows that the query saw; None when it cannot be answered so.
    async fn timed(&self, asked: &Asked, sql: &str) -> Option<Duration> {
        let request = QueryRequest { sql: sql.to_owned(), timeout: TRIAL, ..asked.request.clone() };
        let statement = Statement::of(&asked.statement.tenant, &request);
        let asked = Asked { statement, request, ..asked.clone() };
        let mut run = self.run(&asked);
        run.threads = 1;
        // From another thread: what does not yield is ended by its permit.
        let permit = Arc::clone(&run.permit);
        let _watch = AbortOnDrop(tokio::spawn(async move {
            tokio::time::sleep(TRIAL).await;
            permit.revoke(Why::Left);
        }));
        let planned = run.plan().await.ok()?;
        Some(run.execute(planned).await.ok()?.execution)
    }
}
