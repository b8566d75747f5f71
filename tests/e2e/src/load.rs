//! Clients that send requests through a proxy, one after the other, each under an id of its own, until they are told to
//! stop; and what each of them saw.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::Method;
use tokio::task::JoinSet;

use crate::api::Api;

/// After a failed request, so that an absent proxy is not hammered.
const AFTER_FAILURE: Duration = Duration::from_millis(3);

/// What is sent: how often, by how many, what.
#[derive(Clone)]
pub struct Shape {
    pub clients: usize,
    /// Between two requests of one client.
    pub pause: Duration,
    /// The path of the n-th request of a client.
    pub path: Arc<dyn Fn(u64) -> String + Send + Sync>,
    /// Every n-th request is a POST of this many bytes; 0 for none.
    pub post_every: u64,
    pub post_bytes: usize,
}

/// One request, as its client saw it.
#[derive(Clone, Debug)]
pub struct Done {
    pub id: String,
    /// None when no complete answer came.
    pub status: Option<u16>,
    pub started: Instant,
    pub finished: Instant,
}

pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: JoinSet<Vec<Done>>,
}

impl Shape {
    pub fn new(clients: usize, pause: Duration) -> Self {
        Self { clients, pause, path: Arc::new(|n| format!("/items/{}", n % 100)), post_every: 5, post_bytes: 300 }
    }

    #[must_use]
    pub fn path(mut self, path: impl Fn(u64) -> String + Send + Sync + 'static) -> Self {
        self.path = Arc::new(path);
        self
    }
}

impl Load {
    /// `label` begins each request's id; one load, one label.
    pub fn start(proxy: &Api, label: &str, shape: &Shape) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut clients = JoinSet::new();
        for at in 0..shape.clients {
            // Its own connections.
            let proxy = Api::new(proxy.url(""));
            let client = Client { proxy, label: format!("{label}-{at}"), shape: shape.clone() };
            clients.spawn(client.run(Arc::clone(&stop), Arc::clone(&answered)));
        }
        Self { stop, answered, clients }
    }

    /// Complete answers so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Lets each client end its request; everything that was sent.
    pub async fn stop(mut self) -> Result<Vec<Done>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        while let Some(done) = self.clients.join_next().await {
            all.extend(done.context("a client panicked")?);
        }
        Ok(all)
    }
}

struct Client {
    proxy: Api,
    label: String,
    shape: Shape,
}

impl Client {
    async fn run(self, stop: Arc<AtomicBool>, answered: Arc<AtomicU64>) -> Vec<Done> {
        let mut all = Vec::new();
        let mut at = 0;
        while !stop.load(Ordering::Relaxed) {
            let done = self.request(at).await;
            at += 1;
            let pause = match done.status {
                Some(_) => {
                    answered.fetch_add(1, Ordering::Relaxed);
                    self.shape.pause
                }
                None => AFTER_FAILURE,
            };
            all.push(done);
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
        all
    }

    async fn request(&self, at: u64) -> Done {
        let id = format!("{}-{at}", self.label);
        let started = Instant::now();
        let posts = self.shape.post_every > 0 && at % self.shape.post_every == 1;
        let method = if posts { Method::POST } else { Method::GET };
        let mut request = self.proxy.client().request(method, self.proxy.url(&(self.shape.path)(at)));
        request = request.header("x-request-id", &id);
        if posts {
            request = request.body(vec![b'p'; self.shape.post_bytes]);
        }
        let answer = self.proxy.send(request).await;
        Done { id, status: answer.ok().map(|answer| answer.status), started, finished: Instant::now() }
    }
}

/// A path of about `bytes` bytes that does not compress, under few routes.
pub fn bulky_path(bytes: usize) -> String {
    let letters: String = std::iter::repeat_with(fastrand::alphanumeric).take(bytes).collect();
    // Deeper than a route is looked at: the route stays the same.
    format!("/a/a/a/a/a/a/a/a/a/a/{letters}")
}

/// The slowest of the fastest 99 %.
pub fn p99(all: &[Done]) -> Duration {
    let mut times: Vec<Duration> = all.iter().map(|done| done.finished - done.started).collect();
    times.sort_unstable();
    times.get(times.len() * 99 / 100).copied().unwrap_or_default()
}
