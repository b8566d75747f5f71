//! Who listens to which events. Viewers of one tenant with the same filter share a channel, so that each event is looked
//! at once for each filter, and kept once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use ridealong_common::block::CheckedBlock;
use ridealong_wal::{Entry, LogId, Position};
use tokio::sync::watch;

use crate::columns::rows_of;
use crate::filter::EventFilter;
use crate::mark::Mark;
use crate::ring::Ring;
use crate::shown::{ShownEvent, Writer};

/// Filters that anybody listens by, over all tenants.
const CHANNELS_MAX: usize = 256;
/// A channel keeps so much in any case: the largest event fits.
const RING_BYTES_MIN: usize = 1 << 20;

/// Bounds of what is kept for slow viewers.
#[derive(Clone, Copy, Debug)]
pub struct RingLimits {
    /// Events of one channel.
    pub events_max: usize,
    /// Of one channel.
    pub bytes_max: usize,
    /// Of all channels together, as far as each has its least.
    pub total_bytes_max: usize,
}

impl Default for RingLimits {
    fn default() -> Self {
        Self { events_max: 16_384, bytes_max: 8 << 20, total_bytes_max: 64 << 20 }
    }
}

/// The events that one filter lets through.
pub(crate) struct Channel {
    pub filter: EventFilter,
    pub ring: Mutex<Ring>,
    /// Changes when there is more in the ring.
    more: watch::Sender<u64>,
    /// Whether its viewers are still to be told of what came.
    is_untold: AtomicBool,
}

impl Channel {
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.more.subscribe()
    }

    fn push(&self, events: impl Iterator<Item = Arc<ShownEvent>>, bytes_max: usize) {
        self.ring.lock().push(events, bytes_max);
        self.is_untold.store(true, Ordering::Release);
    }

    fn lose(&self, after: Mark) {
        self.ring.lock().lose(after);
        self.is_untold.store(true, Ordering::Release);
    }

    fn tell(&self) {
        if self.is_untold.swap(false, Ordering::AcqRel) {
            self.more.send_modify(|times| *times += 1);
        }
    }
}

type ByFilter = HashMap<EventFilter, (Arc<Channel>, usize)>;

#[derive(Default)]
struct Open {
    /// With how many viewers each has.
    tenants: HashMap<Arc<str>, ByFilter>,
    count: usize,
}

pub(crate) struct Channels {
    open: Mutex<Open>,
    limits: RingLimits,
}

/// As many filters are listened by as may be.
#[derive(Debug)]
pub(crate) struct TooManyChannels;

/// A viewer's hold on a channel: the channel goes with the last.
pub(crate) struct Listening {
    channels: Arc<Channels>,
    tenant: Arc<str>,
    pub channel: Arc<Channel>,
}

impl Channels {
    pub fn new(limits: RingLimits) -> Self {
        Self { open: Mutex::default(), limits }
    }

    /// Everything that becomes durable after this call has begun comes into the channel; `durable` tells how far the log is.
    pub fn listen(
        self: &Arc<Self>,
        tenant: &Arc<str>,
        filter: EventFilter,
        durable: impl FnOnce() -> Position,
    ) -> Result<Listening, TooManyChannels> {
        let mut open = self.open.lock();
        let is_full = open.count >= CHANNELS_MAX;
        let by_filter = open.tenants.entry(Arc::clone(tenant)).or_default();
        let listening = |channel| Listening { channels: Arc::clone(self), tenant: Arc::clone(tenant), channel };
        if let Some((channel, viewers)) = by_filter.get_mut(&filter) {
            *viewers += 1;
            return Ok(listening(Arc::clone(channel)));
        }
        if is_full {
            return Err(TooManyChannels);
        }
        // Nobody sees the channel before it is decided where it begins: the reader of the log asks for the channels after
        // it has read, so what it read before was durable by now.
        let ring = Mutex::new(Ring::new(self.limits.events_max, Mark::end_of(durable())));
        let (more, is_untold) = (watch::Sender::new(0), AtomicBool::default());
        let channel = Arc::new(Channel { filter: filter.clone(), ring, more, is_untold });
        by_filter.insert(filter, (Arc::clone(&channel), 1));
        open.count += 1;
        Ok(listening(channel))
    }

    /// The channels of a tenant, to be asked for after the entry was read.
    fn of(&self, tenant: &str) -> (Vec<Arc<Channel>>, usize) {
        let open = self.open.lock();
        let channels = open.tenants.get(tenant).map(|by_filter| by_filter.values().map(|(channel, _)| channel));
        let bytes_max = self.limits.total_bytes_max / open.count.max(1);
        let bytes_max = bytes_max.clamp(RING_BYTES_MIN.min(self.limits.bytes_max), self.limits.bytes_max);
        (channels.map(|channels| channels.cloned().collect()).unwrap_or_default(), bytes_max)
    }

    /// Whether anybody listens to a tenant's events.
    pub fn has_listeners(&self, tenant: &str) -> bool {
        self.open.lock().tenants.contains_key(tenant)
    }

    /// Gives an entry's events to who listens; they are told by [`Channels::tell`].
    pub fn take(&self, log: LogId, entry: &Entry, block: &CheckedBlock) {
        let (channels, bytes_max) = self.of(&entry.tenant);
        if channels.is_empty() {
            return;
        }
        let mut written = Written::new(log, entry, block);
        for channel in channels {
            let events = written.matching(&channel.filter);
            if !events.is_empty() {
                channel.push(events.into_iter(), bytes_max);
            }
        }
    }

    /// The log up to `position` is gone before it was read.
    pub fn lose(&self, position: Position) {
        let open = self.open.lock();
        let channels = open.tenants.values().flat_map(HashMap::values);
        channels.for_each(|(channel, _)| channel.lose(Mark::end_of(position)));
    }

    /// Wakes the viewers for whom something came: once for all that was read in one go.
    pub fn tell(&self) {
        let open = self.open.lock();
        open.tenants.values().flat_map(HashMap::values).for_each(|(channel, _)| channel.tell());
    }

    /// Before what all of them have.
    pub fn oldest_tail(&self) -> Option<Position> {
        let open = self.open.lock();
        let channels = open.tenants.values().flat_map(HashMap::values);
        channels.map(|(channel, _)| channel.ring.lock().tail().position).min()
    }

    pub fn count(&self) -> usize {
        self.open.lock().count
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut open = self.channels.open.lock();
        let Some(by_filter) = open.tenants.get_mut(&self.tenant) else { return };
        let Some((_, viewers)) = by_filter.get_mut(&self.channel.filter) else { return };
        *viewers -= 1;
        if *viewers > 0 {
            return;
        }
        by_filter.remove(&self.channel.filter);
        if by_filter.is_empty() {
            open.tenants.remove(&self.tenant);
        }
        open.count -= 1;
    }
}

/// The events of one entry, each written when the first filter lets it through.
pub(crate) struct Written<'a> {
    block: &'a CheckedBlock,
    writer: Writer<'a>,
    rows: Vec<(usize, Option<Arc<ShownEvent>>)>,
}

impl<'a> Written<'a> {
    pub fn new(log: LogId, entry: &'a Entry, block: &'a CheckedBlock) -> Self {
        let rows = rows_of(entry).into_iter().map(|row| (row, None)).collect();
        Self { block, writer: Writer::new(log, entry, block), rows }
    }

    pub fn matching(&mut self, filter: &EventFilter) -> Vec<Arc<ShownEvent>> {
        let (matcher, writer) = (filter.matcher(self.block), &self.writer);
        let matching = self.rows.iter_mut().filter(|(row, _)| matcher.is_match(*row));
        matching.map(|(row, event)| Arc::clone(event.get_or_insert_with(|| writer.write(*row)))).collect()
    }
}
