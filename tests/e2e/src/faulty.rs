//! An HTTP server before another, which does to requests what bad networks and busy stores do: refuses them, never answers,
//! breaks off, and any of that after the request has had its effect, or before it has.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use fastrand::Rng;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Whether the request gets to the server behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Never,
    First,
    /// After the client has been answered, or not answered.
    Later(Duration),
}

/// What the client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Answer(u16),
    /// Nothing, for an hour.
    Hang,
    /// The end of its connection.
    Cut,
}

/// What is done to so many requests with this method and this in their path.
#[derive(Clone, Debug)]
pub struct Fault {
    pub method: Method,
    pub path: &'static str,
    pub reach: Reach,
    pub then: Then,
    pub times: u64,
}

pub struct Faulty {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    target: SocketAddr,
    client: reqwest::Client,
    faults: std::sync::Mutex<Vec<Fault>>,
    /// One request in so many gets a fault of any kind; 0 for none.
    one_in: AtomicU64,
    random: std::sync::Mutex<Rng>,
    is_down: AtomicBool,
    done: AtomicU64,
}

impl Faulty {
    pub async fn start(target: SocketAddr, seed: u64) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no free port")?;
        let address = listener.local_addr().context("no address")?;
        let client = reqwest::Client::builder().no_proxy().retry(reqwest::retry::never()).build()?;
        let shared = Arc::new(Shared {
            target,
            client,
            faults: std::sync::Mutex::default(),
            one_in: AtomicU64::new(0),
            random: std::sync::Mutex::new(Rng::with_seed(seed)),
            is_down: AtomicBool::new(false),
            done: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn add(&self, fault: Fault) {
        self.shared.faults.lock().expect("no panic held it").push(fault);
    }

    /// Planned faults that have not happened yet.
    pub fn planned(&self) -> u64 {
        self.shared.faults.lock().expect("no panic held it").iter().map(|fault| fault.times).sum()
    }

    /// Drops planned faults.
    pub fn forget(&self) {
        self.shared.faults.lock().expect("no panic held it").clear();
    }

    /// From now on one request in so many gets a fault of any kind that does not hang; 0 ends it.
    pub fn randomly(&self, one_in: u64) {
        self.shared.one_in.store(one_in, Ordering::SeqCst);
    }

    /// Down, every connection ends without an answer.
    pub fn down(&self, is_down: bool) {
        self.shared.is_down.store(is_down, Ordering::SeqCst);
    }

    /// Faults so far, without those of being down.
    pub fn done(&self) -> u64 {
        self.shared.done.load(Ordering::SeqCst)
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&shared), request));
            // A cut is an error of the service, on purpose.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Shared {
    fn fault_for(&self, method: &Method, path: &str) -> Option<(Reach, Then)> {
        let mut faults = self.faults.lock().expect("no panic held it");
        let planned = faults.iter_mut().find(|it| it.times > 0 && it.method == *method && path.contains(it.path));
        if let Some(fault) = planned {
            fault.times -= 1;
            return Some((fault.reach, fault.then));
        }
        let one_in = self.one_in.load(Ordering::SeqCst);
        let mut random = self.random.lock().expect("no panic held it");
        if one_in == 0 || random.u64(..one_in) != 0 {
            return None;
        }
        let reach = match random.u64(..3) {
            0 => Reach::Never,
            1 => Reach::First,
            _ => Reach::Later(Duration::from_millis(random.u64(..400))),
        };
        let then = match random.u64(..5) {
            0 => Then::Cut,
            1 => Then::Answer(500),
            2 => Then::Answer(503),
            3 if *method == Method::PUT => Then::Answer(409),
            _ => Then::Answer(429),
        };
        Some((reach, then))
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.context("the request broke off")?.to_bytes();
    let path = head.uri.path_and_query().map(|path| path.as_str().to_owned()).unwrap_or_default();
    if shared.is_down.load(Ordering::SeqCst) {
        return Err(anyhow!("down"));
    }
    let url = format!("http://{}{path}", shared.target);
    let mut headers = head.headers;
    headers.remove("host");
    let passed = shared.client.request(head.method.clone(), url).headers(headers).body(body);
    let Some((reach, then)) = shared.fault_for(&head.method, &path) else {
        return through(passed).await;
    };
    shared.done.fetch_add(1, Ordering::SeqCst);
    match reach {
        Reach::Never => {}
        Reach::First => drop(through(passed).await?),
        Reach::Later(delay) => {
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                through(passed).await
            });
        }
    }
    match then {
        Then::Cut => Err(anyhow!("cut")),
        Then::Answer(status) => Ok(Response::builder().status(status).body(Full::new("<Error/>".into()))?),
        Then::Hang => {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            Err(anyhow!("hung"))
        }
    }
}

async fn through(request: reqwest::RequestBuilder) -> Result<Response<Full<Bytes>>> {
    let answer = request.send().await.context("the server behind did not answer")?;
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers().iter().filter(|(name, _)| *name != "transfer-encoding") {
        response = response.header(name, value);
    }
    let body = answer.bytes().await.context("the server behind broke off")?;
    Ok(response.body(Full::new(body))?)
}
