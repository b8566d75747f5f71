//! JSON events: each on its own, so that one bad event never refuses its neighbours. The stages are those of frames:
//! decode, validate, correct ([`read`]), enrich, commit ([`store`]).

use futures::future::join_all;
use ridealong_catalog::Corrections;
use ridealong_common::event::{Defaults, EventFault, TrackedEvent};
use ridealong_common::ids::EventId;
use ridealong_common::limits::EVENT_BYTES_MAX;
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;
use ridealong_model::tenant::TenantId;
use ridealong_wal::{NewEntry, Wal};
use serde_json::Value;

use crate::correct::{correct_event, mended};
use crate::enrich::Enricher;
use crate::quarantine::{self, Origin, QuarantineRow, parts};
use crate::refusal::Refusal;
use crate::validate::kind_fault;

/// Faults of one event that are mended before it is given up.
const MENDS_MAX: usize = 16;

/// What became of one event.
#[derive(Debug)]
pub struct EventReceipt {
    pub event_id: Option<EventId>,
    pub status: Result<EventStatus, EventFault>,
    /// What is wrong with it, when it was set aside.
    pub fault: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventStatus {
    Stored,
    Duplicate,
    Quarantined,
}

/// An event on its way: sound, set aside, or none.
#[derive(Debug)]
pub(crate) enum Read {
    Sound(Box<TrackedEvent>),
    Faulty(Box<QuarantineRow>),
    NoEvent(EventFault),
}

/// How events are read.
pub(crate) struct Reading<'a> {
    pub defaults: &'a Defaults,
    pub corrections: Corrections,
    pub now: Timestamp,
}

impl Reading<'_> {
    pub fn read(&self, value: &Value) -> Read {
        match self.attempt(value) {
            Ok(mut event) => {
                correct_event(&mut event, self.corrections, self.now, Vec::new());
                Read::Sound(Box::new(event))
            }
            Err(fault) if fault.is_no_event() => Read::NoEvent(fault),
            Err(fault) => self.mend(value, fault),
        }
    }

    /// Read and validated.
    fn attempt(&self, value: &Value) -> Result<TrackedEvent, EventFault> {
        let event = TrackedEvent::from_json(value, self.defaults, self.now)?;
        let properties = value.get("properties").and_then(Value::as_object);
        match kind_fault(&event.event_type, event.event_category.as_deref(), properties) {
            Some(fault) => Err(fault),
            None => Ok(event),
        }
    }

    /// Tries again with what can be mended, fault by fault.
    fn mend(&self, value: &Value, first: EventFault) -> Read {
        let (mut mending, mut fault, mut changes) = (value.clone(), first, Vec::new());
        for _ in 0..MENDS_MAX {
            let Some(change) = mended(&mut mending, &fault, self.corrections) else { break };
            changes.push(change);
            match self.attempt(&mending) {
                Ok(mut event) => {
                    correct_event(&mut event, self.corrections, self.now, changes);
                    return Read::Sound(Box::new(event));
                }
                Err(next) => fault = next,
            }
        }
        self.set_aside(value, fault)
    }

    fn set_aside(&self, value: &Value, fault: EventFault) -> Read {
        let payload = value.to_string();
        if payload.len() > EVENT_BYTES_MAX {
            return Read::NoEvent(fault);
        }
        let text = |camel: &str, snake: &str| value.get(camel).or_else(|| value.get(snake)).and_then(Value::as_str);
        let short = |text: &str| quarantine::bounded(text.to_owned(), 200);
        let id = text("eventId", "event_id").filter(|text| !text.is_empty());
        let id = id.map_or_else(EventId::draw, EventId::from_caller);
        let mut row = QuarantineRow::new(id, Table::Events, fault.reason(), fault.to_string(), self.now);
        row.source = text("source", "source").map(short).or_else(|| self.defaults.source.clone());
        row.event_type = text("eventType", "event_type").map(short);
        Read::Faulty(Box::new(row.with_payload(payload)))
    }
}

/// Events that have gone through every stage but the last.
pub(crate) struct Prepared {
    /// One an event, in their order; what is not known yet is whether it is a repeat.
    receipts: Vec<EventReceipt>,
    /// Of the sound ones, enriched.
    entries: Vec<NewEntry>,
    /// Of the faulty ones.
    set_aside: Vec<NewEntry>,
}

/// Takes a while: a few µs for each event.
pub(crate) fn prepare(
    enricher: &Enricher,
    tenant: &TenantId,
    read: Vec<Read>,
    now: Timestamp,
) -> Result<Prepared, Refusal> {
    let (mut sound, mut faulty) = (Vec::with_capacity(read.len()), Vec::new());
    let receipts = read.into_iter().map(|event| match event {
        Read::Sound(event) => {
            let event_id = Some(event.event_id);
            sound.push(*event);
            EventReceipt { event_id, status: Ok(EventStatus::Stored), fault: None }
        }
        Read::Faulty(row) => {
            let (event_id, fault) = (Some(row.event_id), Some(row.detail.clone()));
            faulty.push(*row);
            EventReceipt { event_id, status: Ok(EventStatus::Quarantined), fault }
        }
        Read::NoEvent(fault) => EventReceipt { event_id: None, status: Err(fault), fault: None },
    });
    let receipts = receipts.collect();
    let entries = entries(enricher, tenant, &sound, now)?;
    let set_aside = quarantine::entries(tenant, &faulty, Origin::Events, now);
    Ok(Prepared { receipts, entries, set_aside: set_aside.map_err(|source| Refusal::Block { at: 0, source })? })
}

/// Stores what is sound and sets aside what is faulty, all in one group. Receipts are in the order of the events.
pub(crate) async fn store(wal: &Wal, prepared: Prepared) -> Result<Vec<EventReceipt>, Refusal> {
    let Prepared { mut receipts, entries, set_aside } = prepared;
    let (stored, set_aside) = tokio::join!(appended(wal, entries), appended(wal, set_aside));
    let (mut stored, mut set_aside) = (stored?.into_iter(), set_aside?.into_iter());
    for receipt in &mut receipts {
        let is_repeat = match receipt.status {
            Ok(EventStatus::Quarantined) => set_aside.next(),
            Ok(_) => stored.next(),
            Err(_) => continue,
        };
        if is_repeat == Some(true) {
            receipt.status = Ok(EventStatus::Duplicate);
        }
    }
    Ok(receipts)
}

/// Whether each row was a duplicate, over all entries in their order.
pub(crate) async fn appended(wal: &Wal, entries: Vec<NewEntry>) -> Result<Vec<bool>, Refusal> {
    let rows: Vec<u32> = entries.iter().map(|entry| entry.rows).collect();
    let answers = join_all(entries.into_iter().map(|entry| wal.append(entry))).await;
    let mut duplicates = Vec::new();
    for (rows, answer) in rows.into_iter().zip(answers) {
        let repeated = answer?.duplicate_rows;
        duplicates.extend((0..rows).map(|row| repeated.binary_search(&row).is_ok()));
    }
    Ok(duplicates)
}

fn entries(
    enricher: &Enricher,
    tenant: &TenantId,
    events: &[TrackedEvent],
    now: Timestamp,
) -> Result<Vec<NewEntry>, Refusal> {
    let unmade = |source| Refusal::Block { at: 0, source };
    let entry = |part: &[TrackedEvent]| {
        let block = TrackedEvent::block(part);
        let encoded = block.encode().map_err(unmade)?;
        let block = block.check(Table::Events).map_err(unmade)?;
        Ok(NewEntry {
            tenant: tenant.to_shared(),
            table: Table::Events,
            received_at_us: now.micros(),
            numbers: None,
            announced: 0,
            rows: part.len() as u32,
            event_ids: Some(part.iter().map(|event| event.event_id).collect()),
            quarantined_rows: Vec::new(),
            in_place_of_events: false,
            payload: enricher.enrich(encoded.into(), block),
        })
    };
    parts(events, TrackedEvent::size).into_iter().map(entry).collect()
}
