//! Is everything that was sent found, each exactly once? Asked by SQL, after the agent has delivered all.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;
use uuid::Uuid;

use crate::api::{ApiError, ROWS_MAX};
use crate::measurement::{Measured, Observer, RouteRow};
use crate::traffic::Sent;

/// The proxy books a request just after it has written its last byte, and hands it on every 50 ms.
const SETTLE: Duration = Duration::from_millis(150);
/// A flush answers for what was recorded before it; rows that came while it waited (summaries, host samples, requests of
/// others) may be pending still. So flush until none is.
const FLUSHES_MAX: usize = 20;

const PAGE: usize = 5_000;
const _: () = assert!(PAGE < ROWS_MAX);
const IDS: &str = "
    SELECT request_id, count(*) AS rows FROM requests
    WHERE service = $1 AND starts_with(request_id, $2) AND request_id > $3
    GROUP BY request_id ORDER BY request_id LIMIT $4";

/// A request of the service's own clients is known by the id that the proxy gave it, and counted by the summaries, which
/// the agent makes apart from the rows.
const STORED: &str = "SELECT count(*) AS rows, count(DISTINCT event_id) AS ids FROM requests WHERE service = $1";
const COUNTED: &str = "SELECT coalesce(sum(count), 0) AS requests FROM request_summaries WHERE service = $1";

#[derive(Debug, Error)]
pub enum VerificationError {
    #[error("cannot verify")]
    Api(#[from] ApiError),
    #[error("cannot verify: {0} rows are still not delivered")]
    Undelivered(u64),
}

/// What became of the requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    pub sent: u64,
    /// Of the sent, those that are stored, once or more.
    pub found: u64,
    pub missing: u64,
    /// Rows beyond the first of a request.
    pub duplicates: u64,
}

impl Verification {
    /// Ids are as SQL returns them, with the number of their rows; ids that were not sent are somebody else's.
    pub fn of_ids(sent: &[Uuid], stored: &HashMap<String, u64>) -> Self {
        let mut verification = Self { sent: sent.len() as u64, ..Self::default() };
        for id in sent {
            match stored.get(&id.to_string()).copied().unwrap_or(0) {
                0 => verification.missing += 1,
                rows => {
                    verification.found += 1;
                    verification.duplicates += rows - 1;
                }
            }
        }
        verification
    }

    /// From counts alone: requests that were counted, rows stored, different ids among them.
    pub const fn of_counts(counted: u64, rows: u64, ids: u64) -> Self {
        Self { sent: counted, found: ids, missing: counted.saturating_sub(ids), duplicates: rows.saturating_sub(ids) }
    }

    pub const fn holds(&self) -> bool {
        self.found == self.sent && self.missing == 0 && self.duplicates == 0
    }
}

/// The last line of `--once`.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    pub service: &'a str,
    #[serde(flatten)]
    pub requests: Verification,
    pub errors: u64,
    /// Requests without a response, which may or may not have a row.
    pub unanswered: u64,
    pub events_sent: u64,
    pub events_found: u64,
    pub routes: &'a [RouteRow],
}

impl<'a> Report<'a> {
    /// `sent` is what our own traffic was; without one, no event is expected.
    pub fn new(service: &'a str, requests: Verification, sent: Option<&Sent>, measured: &'a Measured) -> Self {
        Self {
            service,
            requests,
            errors: measured.errors(),
            unanswered: sent.map_or(0, Sent::unanswered),
            events_sent: sent.map_or(measured.events, Sent::events),
            events_found: sent.map_or(measured.events, |_| measured.own_events),
            routes: &measured.routes,
        }
    }

    pub fn holds(&self) -> bool {
        self.requests.holds() && self.events_sent == self.events_found
    }

    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| unreachable!("a report has only texts and numbers"))
    }
}

impl Observer {
    /// Returns once the agent has nothing left that the aggregator does not hold.
    pub async fn settle(&self) -> Result<(), VerificationError> {
        tokio::time::sleep(SETTLE).await;
        let mut pending = 0;
        for _ in 0..FLUSHES_MAX {
            pending = self.agent.flush().await?;
            if pending == 0 {
                return Ok(());
            }
        }
        Err(VerificationError::Undelivered(pending))
    }

    /// Compares each id of our own traffic.
    pub async fn verify_ids(&self, sent: &[Uuid]) -> Result<Verification, VerificationError> {
        Ok(Verification::of_ids(sent, &self.stored_ids().await?))
    }

    /// Compares what somebody else's clients sent, by its counts.
    pub async fn verify_counts(&self) -> Result<Verification, VerificationError> {
        #[derive(Deserialize)]
        struct Stored {
            rows: u64,
            ids: u64,
        }
        #[derive(Deserialize)]
        struct Counted {
            requests: u64,
        }
        let service = [json!(self.service)];
        let stored = self.aggregator.query::<Stored>(STORED, &service).await?;
        let counted = self.aggregator.query::<Counted>(COUNTED, &service).await?;
        let (rows, ids) = stored.first().map_or((0, 0), |stored| (stored.rows, stored.ids));
        Ok(Verification::of_counts(counted.first().map_or(0, |counted| counted.requests), rows, ids))
    }

    /// Every stored id of this run with the number of its rows, page by page.
    async fn stored_ids(&self) -> Result<HashMap<String, u64>, ApiError> {
        #[derive(Deserialize)]
        struct Stored {
            request_id: String,
            rows: u64,
        }
        let mut ids = HashMap::new();
        let mut last = String::new();
        loop {
            let params: [Value; 4] = [json!(self.service), json!(self.tag.prefix()), json!(last), json!(PAGE)];
            let page = self.aggregator.query::<Stored>(IDS, &params).await?;
            let is_full = page.len() == PAGE;
            for stored in page {
                last.clone_from(&stored.request_id);
                ids.insert(stored.request_id, stored.rows);
            }
            if !is_full {
                return Ok(ids);
            }
        }
    }
}

#[cfg(test)]
mod tests;
