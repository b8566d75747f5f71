//! A real service on loopback that remembers which request it served how often.
//!
//! `/status/N` answers N, `/slow/MS` waits before it answers, `/bytes/N` streams N bytes, `/broken` breaks off within its
//! body; anything else is 200 with a short text, or the length of the body that was sent.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{JoinHandle, JoinSet};

type Body = BoxBody<Bytes, std::io::Error>;
type Served = Arc<Mutex<HashMap<String, u32>>>;

pub struct Upstream {
    address: SocketAddr,
    served: Served,
    task: Option<JoinHandle<()>>,
}

impl Upstream {
    pub async fn start() -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut upstream = Self { address, served: Served::default(), task: None };
        upstream.restart()?;
        Ok(upstream)
    }

    /// Listens again on the same address.
    pub fn restart(&mut self) -> Result<()> {
        let socket = TcpSocket::new_v4().context("no socket")?;
        socket.set_reuseaddr(true).context("no reuse")?;
        socket.bind(self.address).context("cannot bind")?;
        let listener = socket.listen(1_024).context("cannot listen")?;
        self.address = listener.local_addr().context("no address")?;
        self.task = Some(tokio::spawn(accept(listener, Arc::clone(&self.served))));
        Ok(())
    }

    /// Gone, with every connection.
    pub async fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // Aborted on purpose.
            let _ = task.await;
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often each request, by its `X-Request-ID`, was served.
    pub fn served(&self) -> HashMap<String, u32> {
        self.served.lock().expect("no holder panics").clone()
    }

    pub fn served_count(&self) -> u64 {
        self.served.lock().expect("no holder panics").values().map(|count| u64::from(*count)).sum()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn accept(listener: TcpListener, served: Served) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // A service that delays small answers would hide what the proxy does.
        let _ = stream.set_nodelay(true);
        let served = Arc::clone(&served);
        connections.spawn(async move {
            let handler = service_fn(move |request| answer(request, Arc::clone(&served)));
            // A client that leaves is no failure of a test.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), handler).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(request: Request<Incoming>, served: Served) -> Result<Response<Body>, hyper::Error> {
    let id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or("none").to_owned();
    let path = request.uri().path().to_owned();
    let mut segments = path.split('/').skip(1);
    let (kind, number) = (segments.next().unwrap_or_default(), segments.next().and_then(|it| it.parse::<u64>().ok()));
    let length = request.into_body().collect().await?.to_bytes().len();
    *served.lock().expect("no holder panics").entry(id).or_default() += 1;
    let (status, body) = match (kind, number) {
        ("status", Some(status)) => (status as u16, short("status\n".into())),
        ("slow", Some(milliseconds)) => {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            (200, short("slow\n".into()))
        }
        ("bytes", Some(count)) => (200, stream(count, false)),
        ("broken", _) => (200, stream(1 << 20, true)),
        _ => (200, short(format!("hello, {length} bytes\n"))),
    };
    Ok(Response::builder().status(status).body(body).expect("a status between 100 and 999"))
}

fn short(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {}).boxed()
}

/// `count` bytes in pieces; broken off half-way if told so.
fn stream(count: u64, breaks: bool) -> Body {
    const PIECE: u64 = 64 << 10;
    let pieces = (0..count.div_ceil(PIECE)).map(move |at| {
        if breaks && at * PIECE >= count / 2 {
            return Err(std::io::Error::other("broken off on purpose"));
        }
        let length = PIECE.min(count - at * PIECE) as usize;
        Ok(Frame::data(Bytes::from(vec![b'x'; length])))
    });
    let pieces = pieces.collect::<Vec<_>>();
    StreamBody::new(futures::stream::iter(pieces)).boxed()
}
