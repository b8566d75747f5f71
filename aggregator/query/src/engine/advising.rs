//! Finding out, in the background, what would have made a slow query faster.

use std::sync::Arc;
use std::time::Duration;

use ridealong_model::query::QueryRequest;

use super::advice::{Advice, Alternative, Known, alternatives, shape};
use super::explained::Totals;
use super::statement::{Reads, Statement};
use super::{Asked, Engine};

/// A statement is tried no longer than this.
const TRIAL: Duration = Duration::from_secs(10);
/// Each is tried so often, and the quickest time counts: others may work meanwhile.
const TRIALS: usize = 2;

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
            // Others go before: half of the places are theirs.
            let half = u32::try_from(engine.options.queries_max / 2).unwrap_or(1).max(1);
            let quiet = Arc::clone(&engine.slots).acquire_many_owned(half).await;
            drop(quiet);
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
        let trial = async {
            let planned = run.plan().await.ok()?;
            Some(run.execute(planned).await.ok()?.execution)
        };
        tokio::time::timeout(TRIAL, trial).await.ok().flatten()
    }
}
