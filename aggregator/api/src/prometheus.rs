//! `GET /metrics`: the aggregator's own numbers in Prometheus' text format: the totals of `/stats`, without what would
//! grow with the number of producers.

use std::collections::BTreeMap;

use axum::extract::State;
use ridealong_common::time::Timestamp;
use ridealong_edge::prometheus::Text;
use ridealong_ingest::{DoorTally, TallySnapshot};
use ridealong_model::jobs::{JobStatus, JobsSource};
use ridealong_model::lake::LakeStatus;
use ridealong_model::query::QueryStatus;
use ridealong_stream::LiveStatus;
use ridealong_wal::{Books, ProducerBooks, TableBooks};

use crate::description::problems::{Fails, Nothing};
use crate::lag;
use crate::services::Services;

/// Takes one count out of many.
type Of<T> = fn(&T) -> u64;
type ByReason = fn(&DoorTally) -> &BTreeMap<&'static str, u64>;

/// Its own numbers
///
/// The totals of `/stats` in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", operation_id = "prometheus", tag = "operation",
    responses((status = 200, body = String, content_type = "text/plain", description = "Text format 0.0.4"), Fails<Nothing>))]
pub(crate) async fn metrics(State(services): State<Services>) -> Text {
    let ingest = services.ingest.clone();
    let books = tokio::task::spawn_blocking(move || ingest.books()).await.unwrap_or_default();
    let lake = services.lake.status();
    let mut text = Text::default();
    tables(&mut text, &books);
    producers(&mut text, &books);
    doors(&mut text, &services.ingest.tally());
    log(&mut text, &books);
    lakes(&mut text, &lake);
    jobs(&mut text, &services.jobs.jobs());
    live(&mut text, &services.live.status());
    lags(&mut text, &services, &lake);
    queries(&mut text, &services.engine.status());
    text.single("ridealong_uptime_seconds", "gauge", "Since the start.", services.started.elapsed().as_secs());
    text
}

fn queries(text: &mut Text, status: &QueryStatus) {
    let name = "ridealong_queries_total";
    text.family(name, "counter", "Queries, by how they ended.");
    let ended = [
        ("done", status.done),
        ("failed", status.failed),
        ("timed_out", status.timed_out),
        ("cancelled", status.cancelled),
    ];
    for (state, count) in ended {
        text.sample(name, &[("state", state)], count);
    }
    let help = "Answers that were kept from an earlier query.";
    text.single("ridealong_query_cache_hits_total", "counter", help, status.cache_hits);
    text.single("ridealong_query_cache_bytes", "gauge", "Answers that are kept.", status.cache_bytes);
    text.single("ridealong_queries_running", "gauge", "Queries that run now.", status.running);
    let help = "Queries whose work goes on although they have ended.";
    text.single("ridealong_queries_overdue", "gauge", help, status.overdue_now);
    let help = "How often all threads for queries were stuck and others took their place.";
    text.single("ridealong_query_threads_replaced_total", "counter", help, status.threads_replaced);
}

fn tables(text: &mut Text, books: &Books) {
    let families: [(&str, &str, Of<TableBooks>); 3] = [
        ("ridealong_rows_stored_total", "Rows stored, by table.", |table| table.rows_stored),
        ("ridealong_rows_duplicate_total", "Rows that were not stored again, by table.", |table| table.rows_duplicate),
        ("ridealong_rows_quarantined_total", "Rows set aside, by table.", |table| table.rows_quarantined),
    ];
    for (name, help, of) in families {
        text.family(name, "counter", help);
        for table in &books.tables {
            text.sample(name, &[("tenant", &table.tenant), ("table", table.table.name())], of(table));
        }
    }
}

fn producers(text: &mut Text, books: &Books) {
    let sum = |of: fn(&ProducerBooks) -> u64| books.producers.iter().map(of).sum::<u64>();
    let forgotten = &books.producers_forgotten;
    let announced = u128::from(sum(|each| each.announced)) + forgotten.announced;
    let announced = u64::try_from(announced).unwrap_or(u64::MAX);
    let help = "Rows that producers said they had numbered.";
    text.single("ridealong_rows_announced_total", "counter", help, announced);
    text.single("ridealong_rows_missing", "gauge", "Announced and not arrived.", sum(|each| each.missing));
    let help = "Numbers in gaps that were closed to bound their list.";
    text.single("ridealong_rows_given_up", "gauge", help, sum(|each| each.given_up));
    let help = "Producers whose numbers are remembered.";
    text.single("ridealong_producers", "gauge", help, books.producers.len() as u64);
    let help = "Producers forgotten to bound their list.";
    text.single("ridealong_producers_forgotten_total", "counter", help, forgotten.producers);
    let help = "Times that the same numbers came again with other content.";
    text.single("ridealong_conflicts_total", "counter", help, books.conflicts);
}

fn doors(text: &mut Text, tally: &TallySnapshot) {
    let families: [(&str, &str, &str, Of<DoorTally>); 4] = [
        ("ridealong_door_batches_total", "counter", "Bodies that came, readable or not.", |door| door.batches),
        ("ridealong_door_rows_received_total", "counter", "Rows that came.", |door| door.received),
        ("ridealong_door_rows_abandoned_total", "counter", "Rows whose sender left before the answer.", |door| {
            door.abandoned
        }),
        ("ridealong_door_rows_in_flight", "gauge", "Rows that are being worked on.", |door| door.in_flight),
    ];
    for (name, kind, help, of) in families {
        text.family(name, kind, help);
        for ((tenant, door), counts) in &tally.doors {
            text.sample(name, &[("tenant", tenant.as_str()), ("door", door.name())], of(counts));
        }
    }
    let refused: [(&str, &str, ByReason); 2] = [
        ("ridealong_door_rows_refused_total", "Rows refused, by reason.", |door| &door.refused),
        ("ridealong_door_batches_refused_total", "Bodies refused, by reason.", |door| &door.refused_batches),
    ];
    for (name, help, of) in refused {
        text.family(name, "counter", help);
        for ((tenant, door), counts) in &tally.doors {
            for (reason, count) in of(counts) {
                let labels = [("tenant", tenant.as_str()), ("door", door.name()), ("reason", *reason)];
                text.sample(name, &labels, *count);
            }
        }
    }
    // As they were called before there were doors.
    let [batches, events] = ridealong_ingest::Door::ALL.map(|door| tally.total(door));
    text.family("ridealong_refused_frames_total", "counter", "Batches refused, by reason.");
    for (reason, count) in &batches.refused_batches {
        text.sample("ridealong_refused_frames_total", &[("reason", reason)], *count);
    }
    text.family("ridealong_refused_events_total", "counter", "JSON events refused, by reason.");
    for (reason, count) in &events.refused {
        text.sample("ridealong_refused_events_total", &[("reason", reason)], *count);
    }
    text.single("ridealong_frames_total", "counter", "Batches received.", batches.batches);
}

fn log(text: &mut Text, books: &Books) {
    text.single("ridealong_log_bytes", "gauge", "Bytes of the write-ahead log on disk.", books.bytes_on_disk);
    text.single("ridealong_log_segments", "gauge", "Segments of the write-ahead log.", books.segments);
    text.single("ridealong_log_position", "gauge", "Last durable position of the log.", books.position.0);
    text.single("ridealong_log_failed_syncs_total", "counter", "Fsyncs that failed.", books.failed_syncs);
    text.single("ridealong_event_ids", "gauge", "Event ids remembered to find repeats.", books.ids.count);
    text.single("ridealong_event_ids_max", "gauge", "As many are remembered at most.", books.ids.count_max);
    let help = "Event ids forgotten before their time, because there were too many.";
    text.single("ridealong_event_ids_forgotten_early_total", "counter", help, books.ids.forgotten_early);
}

fn lakes(text: &mut Text, lake: &LakeStatus) {
    text.single("ridealong_lake_hot_rows", "gauge", "Rows in memory, not yet in Delta tables.", lake.hot_rows);
    text.single("ridealong_lake_hot_bytes", "gauge", "Memory of those rows.", lake.hot_bytes);
    text.single("ridealong_lake_flushes_total", "counter", "Flushes that succeeded.", lake.flushes);
    text.single("ridealong_lake_flushes_failed_total", "counter", "Flushes that failed.", lake.flushes_failed);
    let help = "Entries of the log that could not be read as rows.";
    text.single("ridealong_lake_unreadable_total", "counter", help, lake.unreadable);
}

fn jobs(text: &mut Text, jobs: &[JobStatus]) {
    let families: [(&str, &str, &str, Of<JobStatus>); 4] = [
        ("ridealong_job_runs_total", "counter", "Runs that have ended, by job.", |job| job.runs),
        ("ridealong_job_failures_total", "counter", "Runs that have failed, by job.", |job| job.failures),
        ("ridealong_job_duration_milliseconds_total", "counter", "Time of all runs, by job.", |job| job.duration_ms),
        ("ridealong_job_failing", "gauge", "1 when the last run has failed, by job.", |job| {
            u64::from(job.last.as_ref().is_some_and(|last| last.result.is_err()))
        }),
    ];
    for (name, kind, help, of) in families {
        text.family(name, kind, help);
        for job in jobs {
            text.sample(name, &[("job", job.job.name())], of(job));
        }
    }
}

fn live(text: &mut Text, live: &LiveStatus) {
    text.single("ridealong_live_viewers", "gauge", "Viewers of live numbers and events.", live.viewers);
    text.single("ridealong_live_viewers_max", "gauge", "As many viewers may look.", live.viewers_max);
    text.single("ridealong_live_filters", "gauge", "Filters of events that viewers listen by.", live.channels);
    let counters = [
        ("ridealong_live_viewers_refused_total", "Viewers turned away, as there were too many.", live.refused),
        ("ridealong_live_events_shown_total", "Events pushed, once for each viewer.", live.events_shown),
        (
            "ridealong_live_events_missed_total",
            "Events that viewers were too slow for, and were told.",
            live.events_missed,
        ),
        ("ridealong_live_gaps_total", "Times that a viewer was told it missed nobody knows how many.", live.gaps),
        ("ridealong_live_requests_late_total", "Requests that came too late for live numbers.", live.late_requests),
        (
            "ridealong_live_hosts_unknown_total",
            "Samples of hosts beyond the bound of live numbers.",
            live.unknown_hosts,
        ),
        ("ridealong_live_unreadable_total", "Entries of the log that live numbers lack.", live.unreadable),
    ];
    for (name, help, count) in counters {
        text.single(name, "counter", help, count);
    }
    let help = "Age of the oldest acknowledged row that live numbers lack.";
    text.seconds("ridealong_live_lag_seconds", help, live.behind_ms);
}

fn lags(text: &mut Text, services: &Services, lake: &LakeStatus) {
    let now = Timestamp::now();
    let (readable, committed) = lag::by_receipt(&services.ingest, lake, now);
    let help = "Age of the oldest acknowledged row that no query sees yet.";
    text.seconds("ridealong_lag_readable_seconds", help, readable);
    let help = "Age of the oldest acknowledged row that is not in Delta yet.";
    text.seconds("ridealong_lag_committed_seconds", help, committed);
    text.family("ridealong_newest_event_timestamp_seconds", "gauge", "The newest event time, by table, Unix time.");
    for table in &lake.tables {
        let labels = [("tenant", table.tenant.as_str()), ("table", table.table)];
        let newest = table.newest_us.and_then(|micros| u64::try_from(micros / 1_000_000).ok());
        newest.into_iter().for_each(|newest| text.sample("ridealong_newest_event_timestamp_seconds", &labels, newest));
    }
}
