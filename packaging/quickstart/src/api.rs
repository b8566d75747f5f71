//! What is asked of the two programs over HTTP: their public API, as anybody would use it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;

/// A flush may take 30 s; everything else is far faster.
const TIMEOUT: Duration = Duration::from_secs(35);
/// The most that one query may return.
pub const ROWS_MAX: usize = 10_000;

#[derive(Debug, Error)]
pub enum ApiError {
    /// May have happened or not; asking again does no harm.
    #[error("{asked} got no answer")]
    NoAnswer { asked: &'static str, source: reqwest::Error },
    #[error("{asked} was answered {status}: {detail}")]
    Refused { asked: &'static str, status: StatusCode, detail: String },
    #[error("the answer to {asked} is not what it should be")]
    Unreadable { asked: &'static str, source: serde_json::Error },
    #[error("{asked} has more than {ROWS_MAX} rows")]
    Truncated { asked: &'static str },
}

pub fn client() -> reqwest::Result<Client> {
    Client::builder().timeout(TIMEOUT).no_proxy().build()
}

/// What the aggregator has counted, in rows of all tables.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct AggregatorBooks {
    pub stored: u64,
    pub duplicate: u64,
    pub missing: u64,
}

/// What the agent has counted, in rows of all tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentBooks {
    pub pending: u64,
    pub dropped: u64,
}

#[derive(Clone)]
pub struct Aggregator {
    client: Client,
    base: String,
}

#[derive(Deserialize)]
struct Answer<Row> {
    data: Vec<Row>,
    truncated: bool,
}

impl Aggregator {
    pub fn new(client: Client, address: SocketAddr) -> Self {
        Self { client, base: format!("http://{address}/api/analytics") }
    }

    /// All rows, or an error when they are too many for one answer.
    pub async fn query<Row: DeserializeOwned>(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, ApiError> {
        let body = json!({ "sql": sql, "params": params, "maxRows": ROWS_MAX });
        let request = self.client.post(format!("{}/query", self.base)).json(&body);
        let answer: Answer<Row> = answer("the aggregator's /query", request).await?;
        if answer.truncated {
            return Err(ApiError::Truncated { asked: "the aggregator's /query" });
        }
        Ok(answer.data)
    }

    pub async fn books(&self) -> Result<AggregatorBooks, ApiError> {
        answer("the aggregator's /stats", self.client.get(format!("{}/stats", self.base))).await
    }
}

#[derive(Clone)]
pub struct Agent {
    client: Client,
    base: String,
}

impl Agent {
    pub fn new(client: Client, address: SocketAddr) -> Self {
        Self { client, base: format!("http://{address}/api/analytics") }
    }

    pub async fn track(&self, event: &Value) -> Result<(), ApiError> {
        let request = self.client.post(format!("{}/track", self.base)).json(event);
        answer::<Value>("the agent's /track", request).await.map(drop)
    }

    /// Returns once what was recorded is delivered, with the rows that are pending by then.
    pub async fn flush(&self) -> Result<u64, ApiError> {
        #[derive(Deserialize)]
        struct Flushed {
            pending: u64,
        }
        let request = self.client.post(format!("{}/flush", self.base));
        Ok(answer::<Flushed>("the agent's /flush", request).await?.pending)
    }

    pub async fn books(&self) -> Result<AgentBooks, ApiError> {
        #[derive(Deserialize)]
        struct Books {
            pending: u64,
            dropped: BTreeMap<String, u64>,
        }
        let books: Books = answer("the agent's /stats", self.client.get(format!("{}/stats", self.base))).await?;
        Ok(AgentBooks { pending: books.pending, dropped: books.dropped.values().sum() })
    }
}

async fn answer<T: DeserializeOwned>(asked: &'static str, request: RequestBuilder) -> Result<T, ApiError> {
    let no_answer = |source| ApiError::NoAnswer { asked, source };
    let response = request.send().await.map_err(no_answer)?;
    let status = response.status();
    let body = response.bytes().await.map_err(no_answer)?;
    if !status.is_success() {
        return Err(ApiError::Refused { asked, status, detail: String::from_utf8_lossy(&body).into_owned() });
    }
    serde_json::from_slice(&body).map_err(|source| ApiError::Unreadable { asked, source })
}
