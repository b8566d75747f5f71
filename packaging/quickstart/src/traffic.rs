//! The demo's traffic: clients with kept connections that walk through the shop, each request with an id of its own.
//!
//! A request counts as sent once its response has arrived whole: from then on its row must not be missing. What was sent
//! without an answer (a timeout, a broken connection) is counted apart, because it may or may not have a row.

mod ids;
mod walk;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::api::Agent;
pub use ids::RunTag;
use walk::Step;

/// With the pauses between two requests of a client: some 150 requests a second.
const CLIENTS: usize = 16;
const PAUSE_MEAN: Duration = Duration::from_millis(90);
const PAUSE_MAX: Duration = Duration::from_millis(600);
/// Longer than the demo ever takes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Ids remembered, 16 bytes each; more than an hour's traffic.
const IDS_MAX: usize = 2_000_000;

/// What was sent, counted where it happens.
#[derive(Debug, Default)]
pub struct Sent {
    answered: AtomicU64,
    unanswered: AtomicU64,
    events: AtomicU64,
    ids: Option<Mutex<Vec<Uuid>>>,
}

impl Sent {
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Events that the agent has taken.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// The ids of the answered requests, if they were to be remembered.
    pub fn ids(&self) -> Vec<Uuid> {
        self.ids.as_ref().map(|ids| ids.lock().clone()).unwrap_or_default()
    }

    fn count(&self, id: Uuid) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        if let Some(ids) = &self.ids {
            let mut ids = ids.lock();
            assert!(ids.len() < IDS_MAX, "an hour's traffic fits");
            ids.push(id);
        }
    }
}

/// Where the traffic goes.
#[derive(Clone)]
pub struct Destination {
    /// The proxy's base URL.
    pub proxy: String,
    pub agent: Agent,
    pub tag: RunTag,
}

/// Runs until it is stopped; dropped, it breaks off.
pub struct Traffic {
    pub sent: Arc<Sent>,
    clients: JoinSet<()>,
    stop: CancellationToken,
}

impl Traffic {
    /// `remember` says whether each id is kept for a later comparison.
    pub fn start(destination: &Destination, remember: bool) -> reqwest::Result<Self> {
        let client = Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .pool_max_idle_per_host(CLIENTS)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()?;
        let sent = Arc::new(Sent { ids: remember.then(Mutex::default), ..Sent::default() });
        let stop = CancellationToken::new();
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let visitor =
                Visitor { number, client: client.clone(), destination: destination.clone(), sent: Arc::clone(&sent) };
            clients.spawn(visitor.shop_until(stop.clone()));
        }
        Ok(Self { sent, clients, stop })
    }

    /// No new requests; returns once all responses are here.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.clients.join_next().await.is_some() {}
    }
}

/// One client.
struct Visitor {
    number: usize,
    client: Client,
    destination: Destination,
    sent: Arc<Sent>,
}

impl Visitor {
    async fn shop_until(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause()) => {}
            }
            let step = Step::draw();
            if let Some(status) = self.request(&step).await {
                self.track(&step, status).await;
            }
        }
    }

    /// The status, once the whole response is here.
    async fn request(&self, step: &Step) -> Option<StatusCode> {
        let id = self.destination.tag.request_id();
        let url = format!("{}{}", self.destination.proxy, step.path());
        let request = if step.is_post() {
            let body = json!({ "cart": self.number, "payment": "invoice" });
            self.client.post(url).json(&body)
        } else {
            self.client.get(url)
        };
        match answered(request.header("x-request-id", id.to_string())).await {
            Ok(status) => {
                self.sent.count(id);
                Some(status)
            }
            Err(_) => {
                self.sent.unanswered.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// What the service itself would tell: a business event, given to the agent beside it.
    async fn track(&self, step: &Step, status: StatusCode) {
        let Some(event_type) = step.event_type().filter(|_| status.is_success()) else { return };
        let event = json!({
            "eventType": event_type,
            "eventCategory": "commerce",
            "userId": format!("user-{}", self.number),
            "sessionId": self.destination.tag.session_id(self.number),
            "properties": { "path": step.path() },
        });
        // One that the agent did not take is not expected to be found.
        if self.destination.agent.track(&event).await.is_ok() {
            self.sent.events.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn answered(request: RequestBuilder) -> reqwest::Result<StatusCode> {
    let response = request.send().await?;
    let status = response.status();
    response.bytes().await?;
    Ok(status)
}

/// Exponential, so that the clients do not march in step.
fn pause() -> Duration {
    PAUSE_MEAN.mul_f64(-(1.0 - fastrand::f64()).ln()).min(PAUSE_MAX)
}
