//! A bad network: passes bytes on to a server, and breaks connections off in the middle of a request or of an answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A connection that is to break does so within this many bytes, either way.
const CUT_BYTES: u64 = 200_000;

pub struct Cutter {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    target: SocketAddr,
    /// One connection in so many breaks.
    one_in: u64,
    cuts: AtomicU64,
    severed: watch::Sender<u64>,
}

impl Cutter {
    pub async fn start(target: SocketAddr, one_in: u64, seed: u64) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no free port")?;
        let address = listener.local_addr().context("no address")?;
        let shared = Arc::new(Shared { target, one_in, cuts: AtomicU64::new(0), severed: watch::Sender::new(0) });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared), Rng::with_seed(seed)));
        Ok(Self { address, shared, accepting })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Breaks every connection that is open now.
    pub fn sever(&self) {
        self.shared.severed.send_modify(|times| *times += 1);
    }

    /// Connections broken so far.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.accepting.abort();
        self.sever();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut random: Rng) {
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        let budget = if random.u64(..shared.one_in) == 0 { random.u64(1..CUT_BYTES) } else { u64::MAX };
        tokio::spawn(carry(client, Arc::clone(&shared), budget));
    }
}

/// Both ways, until one side ends, the budget is spent, or all are severed.
async fn carry(client: TcpStream, shared: Arc<Shared>, budget: u64) {
    let mut severed = shared.severed.subscribe();
    let Ok(Ok(server)) = tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(shared.target)).await else {
        return;
    };
    let left = Arc::new(AtomicU64::new(budget));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let cut = tokio::select! {
        cut = pass(from_client, to_server, Arc::clone(&left)) => cut,
        cut = pass(from_server, to_client, left) => cut,
        _ = severed.changed() => true,
    };
    shared.cuts.fetch_add(u64::from(cut), Ordering::Relaxed);
}

/// One way; whether the budget was spent.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, left: Arc<AtomicU64>) -> bool {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return false };
        let before = left.load(Ordering::Relaxed);
        let passed = read.min(usize::try_from(before).unwrap_or(usize::MAX));
        if to.write_all(&buffer[..passed]).await.is_err() {
            return false;
        }
        if before != u64::MAX {
            left.store(before.saturating_sub(read as u64), Ordering::Relaxed);
            if passed < read || before == read as u64 {
                return true;
            }
        }
    }
}
