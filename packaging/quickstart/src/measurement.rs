//! What SQL says of a run: the routes with their latencies, and the books of both programs.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;

use crate::api::{Agent, AgentBooks, Aggregator, AggregatorBooks, ApiError};
use crate::traffic::RunTag;

/// `own` counts the requests of our own traffic, which the same proxy may serve beside others.
const ROUTES: &str = "
    SELECT route,
           count(*) AS requests,
           count(*) FILTER (WHERE status >= 500 OR error IS NOT NULL) AS errors,
           count(*) FILTER (WHERE starts_with(request_id, $2)) AS own,
           percentile(0.5, duration_us) / 1000 AS p50_ms,
           percentile(0.95, duration_us) / 1000 AS p95_ms,
           percentile(0.99, duration_us) / 1000 AS p99_ms
    FROM requests WHERE service = $1 GROUP BY route ORDER BY requests DESC, route";

const EVENTS: &str = "
    SELECT count(*) AS events, count(*) FILTER (WHERE starts_with(session_id, $2)) AS own
    FROM events WHERE source = $1";

/// One line of the table.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct RouteRow {
    pub route: String,
    pub requests: u64,
    /// Status 500 and above, and exchanges that broke off.
    pub errors: u64,
    #[serde(skip_serializing)]
    own: u64,
    #[serde(serialize_with = "to_microseconds")]
    pub p50_ms: f64,
    #[serde(serialize_with = "to_microseconds")]
    pub p95_ms: f64,
    #[serde(serialize_with = "to_microseconds")]
    pub p99_ms: f64,
}

/// Everything that is shown, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    pub routes: Vec<RouteRow>,
    pub events: u64,
    pub own_events: u64,
    pub agent: AgentBooks,
    pub aggregator: AggregatorBooks,
}

impl Measured {
    pub fn requests(&self) -> u64 {
        self.routes.iter().map(|row| row.requests).sum()
    }

    pub fn errors(&self) -> u64 {
        self.routes.iter().map(|row| row.errors).sum()
    }

    /// Rows that the aggregator misses and the agent cannot have any more. The aggregator counts a number as missing from
    /// the moment it hears of a later one, and the agent delivers some rows before older ones.
    pub fn missing(&self) -> u64 {
        self.aggregator.missing.saturating_sub(self.agent.pending)
    }

    /// Of the requests, those of our own traffic.
    pub fn own_requests(&self) -> u64 {
        self.routes.iter().map(|row| row.own).sum()
    }
}

/// Whom to ask, about what.
#[derive(Clone)]
pub struct Observer {
    pub aggregator: Aggregator,
    pub agent: Agent,
    pub service: String,
    pub tag: RunTag,
}

impl Observer {
    pub async fn measure(&self) -> Result<Measured, ApiError> {
        #[derive(Deserialize)]
        struct Events {
            events: u64,
            own: u64,
        }
        let params = [json!(self.service), json!(self.tag.prefix())];
        // The agent's before the aggregator's: what the one still has, the other may already have, and not the reverse.
        let books = async { Ok((self.agent.books().await?, self.aggregator.books().await?)) };
        let (routes, events, (agent, aggregator)) = tokio::try_join!(
            self.aggregator.query(ROUTES, &params),
            self.aggregator.query::<Events>(EVENTS, &params),
            books,
        )?;
        let (events, own_events) = events.first().map_or((0, 0), |counts| (counts.events, counts.own));
        Ok(Measured { routes, events, own_events, agent, aggregator })
    }
}

/// Three decimals: more would be digits of the sketch, not of the measurement.
fn to_microseconds<S: Serializer>(milliseconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((milliseconds * 1_000.0).round() / 1_000.0)
}

#[cfg(test)]
impl RouteRow {
    pub fn of(route: &str, requests: u64, errors: u64, [p50_ms, p95_ms, p99_ms]: [f64; 3]) -> Self {
        Self { route: route.to_owned(), requests, errors, own: requests, p50_ms, p95_ms, p99_ms }
    }
}
