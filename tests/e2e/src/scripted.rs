//! A service that plays a script on each connection: it answers what no sound service answers, when none would.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::wire::Wire;

pub struct Scripted {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Scripted {
    /// `play` gets each connection and its number, from 0.
    pub async fn start<F, P>(play: P) -> Result<Self>
    where
        F: Future<Output = Result<()>> + Send + 'static,
        P: Fn(Wire, usize) -> F + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen")?;
        let address = listener.local_addr().context("no address")?;
        let connections = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut plays = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                // What goes wrong in a script shows in what its client gets.
                plays.spawn(play(Wire::new(stream), number));
            }
        });
        Ok(Self { address, connections, task })
    }

    /// One that gives the same answer to every request on a connection, whatever its body.
    pub async fn always(answer: &'static str) -> Result<Self> {
        Self::start(move |mut wire, _| async move {
            while !wire.ends_whenever().await? {
                let head = wire.head().await?.context("no head")?;
                wire.body(head, false).await?;
                wire.send(answer).await;
            }
            Ok(())
        })
        .await
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}
