//! JSON over HTTP, as curl would send it.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Client;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// Longer than anything that is asked here takes on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// One server.
#[derive(Clone)]
pub struct Api {
    base: String,
    client: Client,
}

/// What it answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Api {
    pub fn new(base: impl Into<String>) -> Self {
        let client = Client::builder().no_proxy().retry(reqwest::retry::never()).timeout(TIMEOUT).build();
        Self { base: base.into(), client: client.expect("a client without TLS files can be made") }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(self.client.get(self.url(path))).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(self.client.post(self.url(path)).json(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(self.client.put(self.url(path)).json(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(self.client.patch(self.url(path)).json(body)).await
    }

    pub async fn delete(&self, path: &str) -> Result<Answer> {
        self.send(self.client.delete(self.url(path))).await
    }

    pub async fn post_bytes(&self, path: &str, kind: &str, body: impl Into<reqwest::Body>) -> Result<Answer> {
        self.send(self.client.post(self.url(path)).header("content-type", kind).body(body)).await
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer> {
        let response = request.send().await.context("not answered")?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.context("answer broke off")?.to_vec();
        Ok(Answer { status, headers, body })
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Itself, when the status is the expected one.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The end of the problem's type, after looking that it is a whole problem with this status.
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        let kind = self.headers.get("content-type").and_then(|kind| kind.to_str().ok());
        assert_eq!(kind, Some("application/problem+json"), "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["status"], status);
        for member in ["title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        let id = problem["type"].as_str().and_then(|kind| kind.strip_prefix("urn:ridealong:problem:"));
        id.unwrap_or_else(|| panic!("no stable type: {problem}")).to_owned()
    }
}
