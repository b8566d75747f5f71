//! `GET /stats`: the books. Announced by the producers = stored + duplicate + quarantined + missing by named range, each
//! counted where it happens.

use axum::Json;
use axum::extract::State;
use ridealong_common::time::Timestamp;
use ridealong_wal::{Books, ProducerBooks};
use serde_json::{Value, json};

use crate::services::Services;
use ridealong_edge::Failure;

pub(crate) async fn stats(State(services): State<Services>) -> Result<Json<Value>, Failure> {
    let ingest = services.ingest.clone();
    let books = tokio::task::spawn_blocking(move || ingest.books()).await;
    let books = books.map_err(|error| Failure::unavailable("no-books", error.to_string()))?;
    let tally = services.ingest.tally();
    let refused_frames: u64 = tally.refused_frames.values().sum();
    let refused_events: u64 = tally.refused_events.values().sum();
    Ok(Json(json!({
        "uptimeSeconds": services.started.elapsed().as_secs(),
        "announced": books.producers.iter().map(|producer| producer.announced).sum::<u64>(),
        "stored": books.tables.iter().map(|table| table.rows_stored).sum::<u64>(),
        "duplicate": books.tables.iter().map(|table| table.rows_duplicate).sum::<u64>(),
        "quarantined": 0,
        "missing": books.producers.iter().map(|producer| producer.missing).sum::<u64>(),
        "refused": { "frames": refused_frames, "events": refused_events },
        "conflicts": books.conflicts,
        "tables": books.tables.iter().map(|table| json!({
            "tenant": &*table.tenant,
            "table": table.table.name(),
            "stored": table.rows_stored,
            "duplicate": table.rows_duplicate,
        })).collect::<Vec<_>>(),
        "producers": books.producers.iter().map(producer).collect::<Vec<_>>(),
        "sinceStart": tally,
        "log": log(&books),
        "lake": services.lake.status(),
    })))
}

fn producer(producer: &ProducerBooks) -> Value {
    let ranges = producer.missing_ranges.iter().map(|range| json!([range.start, range.end]));
    json!({
        "tenant": &*producer.tenant,
        "producer": producer.producer.to_string(),
        "announced": producer.announced,
        "received": producer.received,
        "givenUp": producer.given_up,
        "missing": producer.missing,
        "missingRanges": ranges.collect::<Vec<_>>(),
        "lastSeen": Timestamp(producer.last_seen_us).to_string(),
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
        "eventIds": {
            "remembered": books.ids.count,
            "oldest": books.ids.oldest_at_us.map(|micros| Timestamp(micros).to_string()),
            "forgottenEarly": books.ids.forgotten_early,
        },
    })
}
