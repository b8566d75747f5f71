//! Senders of batches, as agents are: requests and events under numbers, a fifth of them sent again: the whole batch, a batch
//! that overlaps two, or the same events under new numbers. Some batches are held back, so that there are gaps for a
//! while.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use fastrand::Rng;
use ridealong_common::chunk::Chunk;
use ridealong_common::event::TrackedEvent;
use ridealong_common::ids::{EventId, ProducerId};
use ridealong_common::rows::{RequestRow, Resource};
use ridealong_common::table::Table;
use ridealong_e2e::Api;
use ridealong_e2e::frames::{frame, request_row, send, tracked_event};

use crate::sent::{Progress, Sent};

const ROWS_MAX: u64 = 2_000;
/// Batches after which a sender becomes another producer, as if it had been started again.
const BATCHES_A_PRODUCER: u64 = 400;
/// Batches that can be held back at once.
const HELD_BACK_MAX: usize = 3;
const PAUSE: Duration = Duration::from_millis(20);

pub async fn send_frames(api: Api, at: u64, seed: u64, progress: Arc<Progress>) -> Result<Sent> {
    let mut sender = Sender::new(api, at, seed);
    let mut batches = 0;
    loop {
        let wanted = sender.random.u64(1..ROWS_MAX);
        let Some((part, rows)) = progress.take(wanted).await else { break };
        sender.new_rows(part, rows as usize).await?;
        batches += 1;
        if batches % BATCHES_A_PRODUCER == 0 {
            sender.start_again().await?;
        }
    }
    sender.start_again().await?;
    Ok(sender.sent)
}

/// Rows that were numbered together.
#[derive(Clone)]
enum Rows {
    Requests(Vec<RequestRow>, String),
    Events(Vec<TrackedEvent>),
}

#[derive(Clone)]
struct Batch {
    first: u64,
    rows: Rows,
}

struct Sender {
    api: Api,
    random: Rng,
    producer: ProducerId,
    next: u64,
    /// What the next event id is made of.
    ids: u128,
    held_back: VecDeque<Batch>,
    /// The last one that was acknowledged.
    last: Option<Batch>,
    sent: Sent,
}

impl Sender {
    fn new(api: Api, at: u64, seed: u64) -> Self {
        let (held_back, last, sent) = Default::default();
        let ids = 0x0190_c0de_0000_7000_8000_0000_0000_0000 + (u128::from(at) << 48);
        let random = Rng::with_seed(seed);
        Self { api, random, producer: ProducerId::draw(), next: 0, ids, held_back, last, sent }
    }

    fn draw_id(&mut self) -> EventId {
        self.ids += 1;
        EventId::from_u128(self.ids)
    }

    async fn new_rows(&mut self, part: u64, rows: usize) -> Result<()> {
        let rows = if self.random.u8(..10) == 0 { self.events(part, rows) } else { self.requests(part, rows) };
        let batch = self.number(rows);
        if self.held_back.len() < HELD_BACK_MAX && self.random.u8(..20) == 0 {
            self.held_back.push_back(batch);
            return Ok(());
        }
        self.deliver(&batch).await?;
        // A fifth and more is sent again, in one of four ways.
        match self.random.u8(..20) {
            0 => self.twice_at_once(&batch).await?,
            1..3 => self.again(&batch).await?,
            3 => self.overlapping(&batch).await?,
            4 => self.under_new_numbers(&batch).await?,
            5 => {
                if let Some(held) = self.held_back.pop_front() {
                    self.deliver(&held).await?;
                }
            }
            _ => {}
        }
        self.last = Some(batch);
        Ok(())
    }

    fn requests(&mut self, part: u64, count: usize) -> Rows {
        self.sent.requests += count as u64;
        let service = format!("long-{part}");
        Rows::Requests((0..count).map(|_| RequestRow { event_id: self.draw_id(), ..request_row() }).collect(), service)
    }

    fn events(&mut self, part: u64, count: usize) -> Rows {
        self.sent.events += count as u64;
        let kind = format!("long-{part}");
        let event = tracked_event(&kind);
        Rows::Events((0..count).map(|_| TrackedEvent { event_id: self.draw_id(), ..event.clone() }).collect())
    }

    fn number(&mut self, rows: Rows) -> Batch {
        let first = self.next;
        self.next += rows.len() as u64;
        self.sent.announced += rows.len() as u64;
        Batch { first, rows }
    }

    fn frame(&self, batch: &Batch) -> Result<Vec<u8>> {
        let chunks = batch.rows.chunks(self.producer, batch.first)?;
        Ok(frame(self.next, chunks))
    }

    /// Until it is acknowledged.
    async fn deliver(&mut self, batch: &Batch) -> Result<()> {
        let frame = self.frame(batch)?;
        loop {
            match send(&self.api, frame.clone()).await {
                Ok(answer) if answer.status == 200 => return Ok(()),
                Ok(answer) => anyhow::ensure!([429, 503].contains(&answer.status), answer.text()),
                Err(_) => {}
            }
            self.sent.retried += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn again(&mut self, batch: &Batch) -> Result<()> {
        self.sent.again += batch.rows.len() as u64;
        self.deliver(batch).await
    }

    async fn twice_at_once(&mut self, batch: &Batch) -> Result<()> {
        let frame = self.frame(batch)?;
        // Whether or not these are answered: the next is.
        let _ = tokio::join!(send(&self.api, frame.clone()), send(&self.api, frame));
        self.again(batch).await
    }

    /// The end of the batch before and the beginning of this one, as one.
    async fn overlapping(&mut self, batch: &Batch) -> Result<()> {
        let Some(overlapping) = self.last.as_ref().and_then(|last| last.overlapping(batch)) else { return Ok(()) };
        self.again(&overlapping).await
    }

    /// As an agent would that lost what it knew of its own deliveries: only the ids tell.
    async fn under_new_numbers(&mut self, batch: &Batch) -> Result<()> {
        if let Rows::Events(_) = batch.rows {
            let batch = self.number(batch.rows.clone());
            return self.again(&batch).await;
        }
        self.again(batch).await
    }

    /// Everything is delivered, and a new producer begins.
    async fn start_again(&mut self) -> Result<()> {
        while let Some(held) = self.held_back.pop_front() {
            self.deliver(&held).await?;
        }
        self.sent.producers += u64::from(self.next > 0);
        (self.producer, self.next, self.last) = (ProducerId::draw(), 0, None);
        Ok(())
    }
}

impl Batch {
    fn overlapping(&self, next: &Batch) -> Option<Batch> {
        if self.first + self.rows.len() as u64 != next.first {
            return None;
        }
        let from = self.rows.len() / 2;
        let first = self.first + from as u64;
        let rows = match (&self.rows, &next.rows) {
            (Rows::Requests(before, service), Rows::Requests(after, _)) => {
                let after = &after[..after.len() / 2];
                Rows::Requests([&before[from..], after].concat(), service.clone())
            }
            (Rows::Events(before), Rows::Events(after)) => {
                Rows::Events([&before[from..], &after[..after.len() / 2]].concat())
            }
            _ => return None,
        };
        Some(Batch { first, rows })
    }
}

impl Rows {
    fn len(&self) -> usize {
        match self {
            Rows::Requests(rows, _) => rows.len(),
            Rows::Events(rows) => rows.len(),
        }
    }

    /// Two of them, so that a batch can be stored in part.
    fn chunks(&self, producer: ProducerId, first: u64) -> Result<Vec<Chunk>> {
        let half = self.len() / 2;
        let mut chunks = Vec::new();
        for (from, to) in [(0, half), (half, self.len())].into_iter().filter(|(from, to)| from < to) {
            let (table, block) = match self {
                Rows::Requests(rows, service) => {
                    let resource = Resource { service: service.clone(), ..Resource::default() };
                    (Table::Requests, RequestRow::block(&rows[from..to], &resource))
                }
                Rows::Events(rows) => (Table::Events, TrackedEvent::block(&rows[from..to])),
            };
            chunks.push(Chunk::new(producer, table, first + from as u64, &block).context("too large for a chunk")?);
        }
        Ok(chunks)
    }
}
