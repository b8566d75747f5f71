//! An event as viewers see it: JSON in the shape of `GET /events/{eventId}`, written once for all of them.
//!
//! `{"type":"event","id":MARK,"event":{…}}`, in one line. What is null is left out.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use ridealong_common::block::CheckedBlock;
use ridealong_common::ids::EventId;
use ridealong_common::table::events;
use ridealong_common::time::Timestamp;
use ridealong_wal::{Entry, LogId};
use serde_json::Value;

use crate::columns::{Texts, floats, integers};
use crate::mark::{EventMark, Mark};

/// An event on its way to any number of viewers.
#[derive(Debug)]
pub struct ShownEvent {
    pub(crate) mark: Mark,
    /// What to say to go on after it.
    pub id: EventMark,
    /// UTF-8, without line breaks.
    pub json: Bytes,
}

/// Texts and JSON at the root of an event, those below `context` and below its `location`, by their names outside.
const ROOT: [(u16, &str); 6] = [
    (events::EVENT_CATEGORY, "eventCategory"),
    (events::USER_ID, "userId"),
    (events::ANONYMOUS_ID, "anonymousId"),
    (events::SESSION_ID, "sessionId"),
    (events::PROPERTIES, "properties"),
    (events::SOURCE, "source"),
];
const ROOT_END: [(u16, &str); 4] = [
    (events::VERSION, "version"),
    (events::ENVIRONMENT, "environment"),
    (events::SCHEMA_VERSION, "schemaVersion"),
    (events::CORRECTIONS, "corrections"),
];
const CONTEXT: [(u16, &str); 6] = [
    (events::USER_AGENT, "userAgent"),
    (events::IP_ADDRESS, "ipAddress"),
    (events::DEVICE_TYPE, "deviceType"),
    (events::PLATFORM, "platform"),
    (events::REFERRER, "referrer"),
    (events::CONSENT, "consent"),
];
const LOCATION: [(u16, &str); 3] = [(events::COUNTRY, "country"), (events::REGION, "region"), (events::CITY, "city")];
/// Stored as the text of a JSON object or list.
const JSON: [u16; 3] = [events::PROPERTIES, events::CONSENT, events::CORRECTIONS];

type Named<'a> = Vec<(Texts<'a>, &'static str, bool)>;

/// Writes the events of one entry.
pub(crate) struct Writer<'a> {
    log: LogId,
    entry: &'a Entry,
    ids: Vec<EventId>,
    times: Vec<i64>,
    types: Texts<'a>,
    root: Named<'a>,
    context: Named<'a>,
    location: Named<'a>,
    latitude: Vec<Option<f64>>,
    longitude: Vec<Option<f64>>,
}

impl<'a> Writer<'a> {
    pub fn new(log: LogId, entry: &'a Entry, block: &'a CheckedBlock) -> Self {
        let named = |list: &[(u16, &'static str)]| -> Named<'a> {
            list.iter().map(|(id, name)| (Texts::of(block, *id), *name, JSON.contains(id))).collect()
        };
        Self {
            log,
            entry,
            ids: block.ids(events::EVENT_ID),
            times: integers(block, events::TIMESTAMP),
            types: Texts::of(block, events::EVENT_TYPE),
            root: named(&[&ROOT[..], &ROOT_END[..]].concat()),
            context: named(&CONTEXT),
            location: named(&LOCATION),
            latitude: floats(block, events::LATITUDE),
            longitude: floats(block, events::LONGITUDE),
        }
    }

    pub fn write(&self, row: usize) -> Arc<ShownEvent> {
        let mark = Mark { position: self.entry.position, row: row as u32 };
        let id = EventMark::new(self.log, mark);
        let mut out = String::with_capacity(512);
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            r#"{{"type":"event","id":"{id}","event":{{"eventId":"{}","eventType":"#,
            self.ids.get(row).copied().unwrap_or_default()
        );
        push_text(&mut out, self.types.get(row).unwrap_or_default());
        let (time, received) = (Timestamp(self.times[row]), Timestamp(self.entry.received_at_us));
        let _ = write!(out, r#","timestamp":"{time}","receivedAt":"{received}""#);
        push_members(&mut out, &self.root, row);
        self.push_context(&mut out, row);
        out.push_str("}}");
        Arc::new(ShownEvent { mark, id, json: Bytes::from(out) })
    }

    fn push_context(&self, out: &mut String, row: usize) {
        let mut location = String::new();
        push_members(&mut location, &self.location, row);
        for (name, degrees) in [("latitude", self.latitude[row]), ("longitude", self.longitude[row])] {
            if let Some(degrees) = degrees {
                let _ = write!(location, r#","{name}":{}"#, Value::from(degrees));
            }
        }
        let mut context = String::new();
        push_members(&mut context, &self.context, row);
        if !location.is_empty() {
            let _ = write!(context, r#","location":{{{}}}"#, &location[1..]);
        }
        if !context.is_empty() {
            let _ = write!(out, r#","context":{{{}}}"#, &context[1..]);
        }
    }
}

/// Each with a comma before it.
fn push_members(out: &mut String, named: &Named<'_>, row: usize) {
    for (texts, name, is_json) in named {
        let Some(text) = texts.get(row) else { continue };
        let _ = write!(out, r#","{name}":"#);
        if *is_json { push_json(out, text) } else { push_text(out, text) }
    }
}

fn push_text(out: &mut String, text: &str) {
    // A text is always JSON.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// Agents may send any text where JSON belongs: what is none is shown as the text that it is.
fn push_json(out: &mut String, text: &str) {
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    match is_json {
        true if !text.contains(['\n', '\r']) => out.push_str(text),
        true => match serde_json::from_str::<Value>(text) {
            Ok(value) => out.push_str(&value.to_string()),
            Err(_) => push_text(out, text),
        },
        false => push_text(out, text),
    }
}

#[cfg(test)]
mod tests;
