//! Fourth stage: what can be known of an event's sender and time is written beside what the sender said. Only rows of
//! `events`; the numbers and the checksum of a chunk stay those of its producer.
//!
//! | column | from |
//! |---|---|
//! | `device_type`, `platform`, `browser`, `is_bot` | the user agent (`ridealong_enrich::client`) |
//! | `country`, `region`, `city` | the address, when the operator named a file of places and the sender named no place |
//! | `hour` (0 to 23), `weekday` (1 Monday to 7 Sunday) | the timestamp, in UTC |
//!
//! What the sender said is never replaced, except `hour` and `weekday`, which are no more than the timestamp. Work is done
//! once for each distinct text of a block.

mod texts;

use std::sync::Arc;

use bytes::Bytes;
use ridealong_common::block::{Block, CheckedBlock};
use ridealong_common::ids::{EventId, ProducerId};
use ridealong_common::table::{Table, events};
use ridealong_enrich::{Client, Clients, Place, Places};

use self::texts::Texts;
use crate::correct::Corrected;
use crate::quarantine::QuarantineRow;
use crate::validate::{ValidChunk, event_ids};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// 1970-01-01 was a Thursday.
const WEEKDAY_OF_DAY_0: i64 = 4;

/// A frame as it goes into the log.
pub(crate) struct Enriched {
    pub producer: ProducerId,
    pub announced: u64,
    pub chunks: Vec<ReadyChunk>,
}

pub(crate) struct ReadyChunk {
    pub table: Table,
    pub first: u64,
    pub crc: u32,
    pub rows: u32,
    /// One a row for tracked events, which are deduplicated by id; none for rows that are by number alone.
    pub event_ids: Option<Vec<EventId>>,
    pub quarantined_rows: Vec<u32>,
    pub quarantine: Vec<QuarantineRow>,
    pub payload: Bytes,
}

impl Enriched {
    pub fn rows(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.rows)).sum()
    }

    /// The number after the last event's.
    pub fn end(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.first + u64::from(chunk.rows)).max().unwrap_or(0)
    }
}

/// What enrichment knows. Cheap to clone.
#[derive(Clone, Default)]
pub struct Enricher {
    clients: Arc<Clients>,
    places: Arc<Places>,
}

impl Enricher {
    pub fn new(places: Places) -> Self {
        Self { clients: Arc::default(), places: Arc::new(places) }
    }

    /// Makes ready what the first events would have to wait for.
    pub fn prepare(&self) {
        self.clients.prepare();
    }

    pub fn places(&self) -> &Places {
        &self.places
    }

    pub(crate) fn enrich_frame(&self, Corrected(frame): Corrected) -> Enriched {
        let chunks = frame.chunks.into_iter().map(|valid| self.ready(valid)).collect();
        Enriched { producer: frame.producer, announced: frame.announced, chunks }
    }

    fn ready(&self, valid: ValidChunk) -> ReadyChunk {
        let ValidChunk { chunk, block, quarantined_rows, quarantine } = valid;
        let event_ids = block.as_ref().and_then(event_ids);
        let payload = match block {
            Some(block) => self.enrich(chunk.block, block),
            // None of its rows is stored.
            None => Bytes::new(),
        };
        let (table, first, crc, rows) = (chunk.table, chunk.first, chunk.crc, chunk.count);
        ReadyChunk { table, first, crc, rows, event_ids, quarantined_rows, quarantine, payload }
    }

    /// The encoded block with what is known of its rows; as it came where nothing is, or where there is no room.
    pub(crate) fn enrich(&self, encoded: Bytes, block: CheckedBlock) -> Bytes {
        if block.table() != Table::Events || block.rows() == 0 {
            return encoded;
        }
        let columns = self.columns(&block);
        block.encode_amended(&encoded, columns).map_or(encoded, Bytes::from)
    }

    fn columns(&self, block: &CheckedBlock) -> Block {
        let columns = with_times(Block::of_rows(block.rows()), block);
        self.with_places(self.with_clients(columns, block), block)
    }

    fn with_clients(&self, columns: Block, block: &CheckedBlock) -> Block {
        let user_agents = Texts::of(block, events::USER_AGENT);
        if user_agents.is_empty() {
            return columns;
        }
        let clients: Vec<Arc<Client>> = user_agents.distinct().map(|text| self.clients.client(text)).collect();
        let devices = Texts::of(block, events::DEVICE_TYPE).or(&user_agents, clients.iter().map(|it| it.device_type));
        let platforms =
            Texts::of(block, events::PLATFORM).or(&user_agents, clients.iter().map(|it| it.platform.as_deref()));
        let browsers =
            Texts::of(block, events::BROWSER).or(&user_agents, clients.iter().map(|it| it.browser.as_deref()));
        let is_bot = |row| user_agents.at(row).map(|at| i64::from(clients[at].is_bot));
        devices
            .column(platforms.column(browsers.column(columns, events::BROWSER), events::PLATFORM), events::DEVICE_TYPE)
            .optional_integers(events::IS_BOT, (0..block.rows()).map(is_bot))
    }

    fn with_places(&self, columns: Block, block: &CheckedBlock) -> Block {
        let addresses = Texts::of(block, events::IP_ADDRESS);
        if addresses.is_empty() || !self.places.is_known() {
            return columns;
        }
        let places: Vec<Place> = addresses.distinct().map(|text| self.places.place(text)).collect();
        let own = [events::COUNTRY, events::REGION, events::CITY].map(|id| Texts::of(block, id));
        // A sender that names any part of a place is believed in all of it.
        let is_named = |row| own.iter().any(|texts| texts.at(row).is_some());
        let addresses = addresses.where_not(is_named);
        let [country, region, city] = own;
        let countries = country.or(&addresses, places.iter().map(|place| place.country.as_deref()));
        let regions = region.or(&addresses, places.iter().map(|place| place.region.as_deref()));
        let cities = city.or(&addresses, places.iter().map(|place| place.city.as_deref()));
        cities.column(regions.column(countries.column(columns, events::COUNTRY), events::REGION), events::CITY)
    }
}

fn with_times(columns: Block, block: &CheckedBlock) -> Block {
    let times = block.integers(events::TIMESTAMP);
    let times = || times.iter().map(|micros| micros.unwrap_or_default());
    columns
        .integers(events::HOUR, times().map(|micros| micros.rem_euclid(DAY_US) / HOUR_US))
        .integers(events::WEEKDAY, times().map(weekday))
}

fn weekday(micros: i64) -> i64 {
    (micros.div_euclid(DAY_US) + WEEKDAY_OF_DAY_0 - 1).rem_euclid(7) + 1
}

#[cfg(test)]
mod tests;
