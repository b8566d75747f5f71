//! A running aggregator, asked over HTTP as anybody would.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use futures::{StreamExt, TryStreamExt};
use reqwest::{Client, RequestBuilder, Response};
use ridealong_model::export::ExportFormat;
use ridealong_model::query::TIMEOUT_MAX;
use serde_json::{Value, json};

use super::source::{Pieces, Rows, Wanted};

/// It is on this machine.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

pub struct Server {
    base: String,
    client: Client,
}

impl Server {
    pub fn at(address: SocketAddr) -> Result<Self> {
        let client = Client::builder().no_proxy().connect_timeout(CONNECT_WITHIN).build();
        Ok(Self { base: format!("http://{address}"), client: client.context("cannot make an HTTP client")? })
    }

    /// Whether anybody does at all.
    pub async fn answers(&self) -> bool {
        self.client.get(format!("{}/healthz", self.base)).timeout(CONNECT_WITHIN).send().await.is_ok()
    }

    pub async fn query(&self, sql: &str, rows_max: usize) -> Result<Rows> {
        let body = json!({ "sql": sql, "maxRows": rows_max, "timeoutMs": TIMEOUT_MAX.as_millis() as u64 });
        let answer = self.send(self.client.post(self.url("query")).json(&body)).await?;
        answer.json().await.context("the answer cannot be read")
    }

    pub async fn export(&self, wanted: &Wanted, format: ExportFormat) -> Result<Pieces> {
        let mut parameters = vec![("format", format.name())];
        match wanted {
            Wanted::Sql(sql) => parameters.push(("sql", sql)),
            Wanted::Table { name, from, to } => {
                parameters.push(("table", name));
                parameters.extend(from.as_deref().map(|from| ("from", from)));
                parameters.extend(to.as_deref().map(|to| ("to", to)));
            }
        }
        let url = reqwest::Url::parse_with_params(&self.url("export"), parameters).context("cannot make the URL")?;
        let answer = self.send(self.client.get(url)).await?;
        let cut = "the export broke off before its end; the aggregator's log says why";
        Ok(answer.bytes_stream().map_err(move |error| anyhow!(error).context(cut)).boxed())
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/analytics/{path}", self.base)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let answer = request.send().await.with_context(|| format!("{} did not answer", self.base))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let problem: Value = answer.json().await.unwrap_or_default();
        Err(match problem["detail"].as_str() {
            Some(detail) => anyhow!("{detail}"),
            None => anyhow!("{} answered {status}", self.base),
        })
    }
}
