//! The sockets, and single events that some of them wait for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use futures::stream::{self, TryStreamExt};
use ridealong_common::ids::EventId;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::target::client;

/// One in so many sockets also wants the probes.
const PROBED_ONE_IN: u64 = 100;
const PROBE_EVERY: Duration = Duration::from_millis(100);
/// Connections that are made at once.
const AT_ONCE: usize = 50;
/// After the last probe was sent.
const LAST_PROBE: Duration = Duration::from_secs(1);
const METRICS: &str = "event_count,events_per_second,unique_users,unique_sessions,request_count,error_rate,latency_p95";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// When each probe was sent and acknowledged.
type Probes = Arc<Mutex<HashMap<String, (Instant, Option<Instant>)>>>;

pub struct Sockets {
    stop: watch::Sender<bool>,
    looking: JoinSet<Result<Seen>>,
    probing: JoinHandle<Result<()>>,
    probes: Probes,
}

/// What all sockets saw; times are sorted.
#[derive(Default)]
pub struct Looked {
    pub numbers: u64,
    pub between: Vec<Duration>,
    pub sent_to_seen: Vec<Duration>,
    pub acknowledged_to_seen: Vec<Duration>,
    pub missed: u64,
}

/// What one socket saw.
#[derive(Default)]
struct Seen {
    numbers: Vec<Instant>,
    probes: Vec<(String, Instant)>,
    missed: u64,
}

impl Sockets {
    pub async fn open(url: &str, count: u64) -> Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let address = url.replacen("http://", "ws://", 1);
        let connecting = stream::iter(0..count).map(|at| {
            let events = if at.is_multiple_of(PROBED_ONE_IN) { "&events=true&type=probe" } else { "" };
            connect(format!("{address}/api/analytics/live?interval=1s&metrics={METRICS}{events}"))
        });
        let sockets: Vec<Socket> = connecting.buffer_unordered(AT_ONCE).try_collect().await?;
        let mut looking = JoinSet::new();
        for socket in sockets {
            looking.spawn(look(socket, stopped.clone()));
        }
        let probes = Probes::default();
        let probing = tokio::spawn(probe(url.to_owned(), Arc::clone(&probes), stopped));
        Ok(Self { stop, looking, probing, probes })
    }

    pub async fn close(self) -> Result<Looked> {
        let Self { stop, mut looking, probing, probes } = self;
        // Someone may have failed and gone: seen below.
        let _ = stop.send(true);
        probing.await.context("the prober panicked")??;
        let mut looked = Looked::default();
        let probes = std::mem::take(&mut *probes.lock().unwrap_or_else(PoisonError::into_inner));
        let mut seen_of_probes = 0;
        while let Some(seen) = looking.join_next().await {
            let seen = seen.context("a socket's task panicked")??;
            looked.numbers += seen.numbers.len() as u64;
            looked.between.extend(seen.numbers.windows(2).map(|two| two[1] - two[0]));
            looked.missed += seen.missed;
            for (id, at) in seen.probes {
                let Some((sent, Some(acknowledged))) = probes.get(&id) else { continue };
                seen_of_probes += 1;
                looked.sent_to_seen.push(at - *sent);
                // An event may be seen before its sender has read the answer.
                looked.acknowledged_to_seen.push(at.saturating_duration_since(*acknowledged));
            }
        }
        if seen_of_probes % probes.len().max(1) != 0 || looked.missed > 0 {
            bail!("{} probes were seen {seen_of_probes} times, {} missed", probes.len(), looked.missed);
        }
        for times in [&mut looked.between, &mut looked.sent_to_seen, &mut looked.acknowledged_to_seen] {
            times.sort_unstable();
        }
        Ok(looked)
    }
}

async fn connect(url: String) -> Result<Socket> {
    Ok(tokio_tungstenite::connect_async(url).await.context("a socket was not let in")?.0)
}

async fn look(mut socket: Socket, mut stopped: watch::Receiver<bool>) -> Result<Seen> {
    let mut seen = Seen::default();
    let until = async {
        let _ = stopped.wait_for(|stopped| *stopped).await;
        tokio::time::sleep(2 * LAST_PROBE).await;
    };
    tokio::pin!(until);
    loop {
        let message = tokio::select! {
            () = &mut until => return Ok(seen),
            message = socket.next() => message.context("the aggregator closed a socket")??,
        };
        let (at, Message::Text(text)) = (Instant::now(), message) else { continue };
        if text.starts_with(r#"{"type":"metrics""#) {
            seen.numbers.push(at);
            continue;
        }
        let message: Value = serde_json::from_str(&text)?;
        match message["event"]["eventId"].as_str() {
            Some(id) => seen.probes.push((id.to_owned(), at)),
            None => seen.missed += message["count"].as_u64().unwrap_or(1),
        }
    }
}

async fn probe(url: String, probes: Probes, stopped: watch::Receiver<bool>) -> Result<()> {
    let (client, url) = (client()?, format!("{url}/api/analytics/track"));
    let mut every = tokio::time::interval(PROBE_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !*stopped.borrow() {
        every.tick().await;
        let (id, sent) = (EventId::draw().to_string(), Instant::now());
        probes.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), (sent, None));
        let event = json!({ "eventId": id, "eventType": "probe", "source": "freshness" });
        let status = client.post(&url).json(&event).send().await?.status();
        let mut probes = probes.lock().unwrap_or_else(PoisonError::into_inner);
        match status.as_u16() {
            202 => probes.insert(id, (sent, Some(Instant::now()))),
            // Put off: it was not stored.
            429 | 503 => probes.remove(&id),
            other => bail!("a probe was answered {other}"),
        };
    }
    tokio::time::sleep(LAST_PROBE).await;
    Ok(())
}
