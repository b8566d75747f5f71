//! `GET /stats`: the books. Announced by the producers = stored + duplicate by event id + quarantined + given up + missing
//! by named range, each counted where it happens. What the log counts is of one moment and survives every restart; what
//! the doors count (refusals among it) is of this process, and says since when.

use std::cmp::Reverse;

use axum::Json;
use axum::extract::State;
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;
use ridealong_ingest::{Door, DoorTally, TallySnapshot};
use ridealong_model::budget::BudgetStatus;
use ridealong_model::lake::{LakeStatus, TableStatus};
use ridealong_model::query::QueryStatus;
use ridealong_model::tenant::TenantId;
use ridealong_wal::{Books, Conflict, ProducerBooks, RowCounts, TableBooks};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::description::problems::{BooksRead, Fails};
use crate::lag::{self, Lag};
use crate::services::Services;
use ridealong_edge::Failure;

/// Producers listed, those with something wrong first and then the last seen; the totals are of all.
const PRODUCERS_MAX: usize = 1_000;

/// The books
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stats {
    uptime_seconds: u64,
    /// Since when `doors`, `refused` and `sinceStart` count; the rest counts for ever
    #[schema(format = DateTime)]
    since: String,
    /// Rows that producers said they had numbered
    announced: u64,
    received: u64,
    stored: u64,
    duplicate: u64,
    quarantined: u64,
    /// Announced and not arrived
    missing: u64,
    refused: Refused,
    dropped: Dropped,
    deleted: u64,
    /// Times that the same numbers came again with other content
    conflicts: u64,
    /// Both sides of announced = stored + duplicate + quarantined + missing + given up, counted apart
    #[schema(value_type = Object)]
    balance: Value,
    lag: Lag,
    #[schema(value_type = Vec<Object>)]
    doors: Vec<Value>,
    #[schema(value_type = Vec<Object>)]
    tables: Vec<Value>,
    /// At most 1,000, those with something wrong first
    #[schema(value_type = Vec<Object>)]
    producers: Vec<Value>,
    producers_total: usize,
    #[schema(value_type = Object)]
    producers_forgotten: Value,
    #[schema(value_type = Object)]
    since_start: Value,
    /// Of the whole process, in bytes
    #[schema(value_type = Object)]
    memory: BudgetStatus,
    /// Of the whole process, since it began
    #[schema(value_type = Object)]
    queries: QueryStatus,
    #[schema(value_type = Object)]
    log: Value,
    #[schema(value_type = Object)]
    lake: Value,
}

/// Not taken, since the process began
#[derive(Serialize, ToSchema)]
pub(crate) struct Refused {
    frames: u64,
    events: u64,
}

/// Stored once, and gone
#[derive(Serialize, ToSchema)]
pub(crate) struct Dropped {
    unreadable: u64,
    retention: u64,
}

/// What became of every row
#[utoipa::path(get, path = "/stats", operation_id = "stats", tag = "operation",
    responses((status = 200, body = Stats, description = "As of one moment of the log"), Fails<BooksRead>))]
pub(crate) async fn stats(State(services): State<Services>) -> Result<Json<Stats>, Failure> {
    let ingest = services.ingest.clone();
    let books = tokio::task::spawn_blocking(move || ingest.books()).await;
    let books = books.map_err(|error| Failure::unavailable("no-books", error.to_string()))?;
    let tenant = services.tenant();
    let (books, tally) = (own(books, &tenant), own_doors(services.ingest.tally(), &tenant));
    let mut lake = services.lake.status();
    lake.tables.retain(|table| table.tenant == tenant.as_str());
    let doors = Door::ALL.map(|door| tally.total(door));
    // What was set aside is stored too, in a table for which nobody sent it; it is counted where it was sent.
    let sent = || books.tables.iter().filter(|table| table.table != Table::Quarantine);
    let sum = |of: fn(&TableBooks) -> u64| sent().map(of).sum::<u64>();
    let of_producers = |of: fn(&ProducerBooks) -> u64| books.producers.iter().map(of).sum::<u64>();
    Ok(Json(Stats {
        uptime_seconds: services.started.elapsed().as_secs(),
        since: tally.since.to_string(),
        announced: of_producers(|producer| producer.announced),
        received: sum(TableBooks::received),
        stored: sum(|table| table.rows_stored),
        duplicate: sum(|table| table.rows_duplicate),
        quarantined: sum(|table| table.rows_quarantined),
        missing: of_producers(|producer| producer.missing),
        refused: Refused { frames: doors[0].refused_batches.values().sum(), events: doors[1].refused_rows() },
        dropped: Dropped { unreadable: lake.unreadable, retention: retained(&lake) },
        deleted: sum_of(&lake, |table| table.deleted),
        conflicts: books.conflicts,
        balance: balance(&books),
        lag: lag::of(&services.ingest, &lake, Timestamp::now()),
        doors: tally.doors.iter().map(|((of, door), counts)| doors_entry(of.as_str(), *door, counts)).collect(),
        tables: books.tables.iter().map(table).collect(),
        producers: producers(&books),
        producers_total: books.producers.len(),
        producers_forgotten: forgotten(&books),
        since_start: since_start(&tally),
        memory: services.admission.budget().status(),
        queries: services.engine.status(),
        log: log(&books),
        lake: lake_entry(&lake),
    }))
}

/// Rows that were stored and are gone because their time was over, of the tables that `stored` counts.
fn retained(lake: &LakeStatus) -> u64 {
    sum_of(lake, |table| table.dropped_rows)
}

fn sum_of(lake: &LakeStatus, of: fn(&TableStatus) -> u64) -> u64 {
    let sent = Table::ALL.into_iter().filter(|table| *table != Table::Quarantine);
    let sent: Vec<&str> = sent.map(Table::name).collect();
    lake.tables.iter().filter(|table| sent.contains(&table.table)).map(of).sum()
}

/// The caller's part; what is of the whole process stays.
fn own(mut books: Books, tenant: &TenantId) -> Books {
    books.tables.retain(|table| *table.tenant == *tenant.as_str());
    books.producers.retain(|producer| *producer.tenant == *tenant.as_str());
    books.forgotten.retain(|(of, _)| **of == *tenant.as_str());
    books
}

fn own_doors(mut tally: TallySnapshot, tenant: &TenantId) -> TallySnapshot {
    tally.doors.retain(|(of, _), _| of == tenant);
    tally
}

/// The numbers of all producers that are listed: both sides are counted apart, and their difference is always 0.
fn balance(books: &Books) -> Value {
    let mut rows = RowCounts::default();
    let [mut announced, mut given_up, mut missing, mut unsplit] = [0_u64; 4];
    for producer in &books.producers {
        rows += producer.rows();
        announced += producer.announced;
        given_up += producer.given_up;
        missing += producer.missing;
        unsplit += producer.unsplit;
    }
    let accounted = rows.with_new_numbers() + unsplit + given_up + missing;
    json!({
        "announced": announced,
        "stored": rows.stored,
        "duplicateByEventId": rows.duplicate_ids,
        "quarantined": rows.quarantined,
        "missing": missing,
        "givenUp": given_up,
        "unsplit": unsplit,
        "difference": i128::from(announced) - i128::from(accounted),
    })
}

fn counts(rows: &RowCounts) -> Value {
    json!({
        "received": rows.received(),
        "stored": rows.stored,
        "duplicate": rows.duplicate(),
        "duplicateByNumber": rows.duplicate_numbers,
        "duplicateByEventId": rows.duplicate_ids,
        "quarantined": rows.quarantined,
    })
}

fn table(table: &TableBooks) -> Value {
    json!({
        "tenant": &*table.tenant,
        "table": table.table.name(),
        "received": table.received(),
        "stored": table.rows_stored,
        "duplicate": table.rows_duplicate,
        "quarantined": table.rows_quarantined,
        "unnumbered": counts(&table.unnumbered),
        "ofForgottenProducers": counts(&table.forgotten),
    })
}

fn producers(books: &Books) -> Vec<Value> {
    let mut listed: Vec<&ProducerBooks> = books.producers.iter().collect();
    if listed.len() > PRODUCERS_MAX {
        let is_well = |producer: &ProducerBooks| producer.missing == 0 && producer.conflicts.is_none();
        listed.sort_by_key(|producer| (is_well(producer), Reverse(producer.last_seen_us)));
        listed.truncate(PRODUCERS_MAX);
    }
    listed.into_iter().map(producer).collect()
}

fn producer(producer: &ProducerBooks) -> Value {
    let ranges = producer.missing_ranges.iter().map(|range| json!([range.start, range.end]));
    let listed: u64 = producer.missing_ranges.iter().map(|range| range.end - range.start).sum();
    let tables = producer.tables.iter().map(|(table, rows)| (table.name().to_owned(), counts(rows)));
    let rows = producer.rows();
    json!({
        "tenant": &*producer.tenant,
        "producer": producer.producer.to_string(),
        "announced": producer.announced,
        "received": producer.received,
        "stored": rows.stored,
        "duplicateByNumber": rows.duplicate_numbers,
        "duplicateByEventId": rows.duplicate_ids,
        "quarantined": rows.quarantined,
        "givenUp": producer.given_up,
        "missing": producer.missing,
        "missingRanges": ranges.collect::<Vec<_>>(),
        "missingNotListed": producer.missing - listed,
        "conflicts": producer.conflicts.map(|conflicts| json!({
            "count": conflicts.count,
            "first": conflict(&conflicts.first),
            "last": conflict(&conflicts.last),
        })),
        "tables": tables.collect::<serde_json::Map<_, _>>(),
        "lastSeen": Timestamp(producer.last_seen_us).to_string(),
    })
}

/// Which numbers came with other content, and when.
fn conflict(conflict: &Conflict) -> Value {
    let end = conflict.first.saturating_add(u64::from(conflict.rows));
    json!({ "numbers": [conflict.first, end], "at": Timestamp(conflict.at_us).to_string() })
}

fn forgotten(books: &Books) -> Value {
    let forgotten = books.forgotten.first().map(|(_, forgotten)| *forgotten).unwrap_or_default();
    json!({
        "producers": forgotten.producers,
        "announced": u64::try_from(forgotten.announced).unwrap_or(u64::MAX),
        "received": u64::try_from(forgotten.received).unwrap_or(u64::MAX),
        "givenUp": u64::try_from(forgotten.given_up).unwrap_or(u64::MAX),
    })
}

fn doors_entry(tenant: &str, door: Door, counts: &DoorTally) -> Value {
    json!({ "tenant": tenant, "door": door, "counts": counts })
}

fn since_start(tally: &TallySnapshot) -> Value {
    let [batches, events] = Door::ALL.map(|door| tally.total(door));
    json!({
        "frames": batches.batches,
        "frameBytes": batches.bytes,
        "frameRows": batches.received,
        "jsonEvents": events.received,
        "refusedFrames": batches.refused_batches,
        "refusedEvents": events.refused,
    })
}

fn log(books: &Books) -> Value {
    json!({
        "position": books.position.0,
        "bytes": books.bytes_on_disk,
        "segments": books.segments,
        "segmentBytes": books.bytes,
        "bytesMax": books.bytes_max,
        "bytesToReplay": books.bytes_to_replay,
        "recordsLost": books.records_lost,
        "failedSyncs": books.failed_syncs,
        "refusedLogFull": books.refused_log_full,
        "refusing": books.refusing,
        "followers": books.followers.iter().map(|follower| json!({
            "name": follower.name,
            "position": follower.position.0,
            "bytesBehind": follower.bytes_behind,
            "overruns": follower.overruns,
        })).collect::<Vec<_>>(),
        "eventIds": {
            "remembered": books.ids.count,
            "rememberedMax": books.ids.count_max,
            "windowSeconds": books.ids.window_us / 1_000_000,
            "oldest": books.ids.oldest_at_us.map(|micros| Timestamp(micros).to_string()),
            "forgottenEarly": books.ids.forgotten_early,
        },
    })
}

/// With the newest event time by table, which is what lag by event time is measured from.
fn lake_entry(lake: &LakeStatus) -> Value {
    let mut entry = json!(lake);
    for (table, shown) in lake.tables.iter().zip(entry["tables"].as_array_mut().into_iter().flatten()) {
        shown["newestTimestamp"] = json!(table.newest_us.map(|micros| Timestamp(micros).to_string()));
    }
    entry
}
