//! Measures appends on this machine's disk: `cargo run --release -p ridealong-wal --example throughput -- FOLDER`.
//!
//! Three loads from many callers at once: single rows by number, single rows by id, and entries of 200 rows.

#![allow(clippy::print_stdout, reason = "the output is its purpose")]
#![allow(clippy::unwrap_used, reason = "an example stops at the first fault")]

use std::time::Instant;

use bytes::Bytes;
use ridealong_common::ids::{EventId, ProducerId};
use ridealong_common::table::Table;
use ridealong_wal::{NewEntry, Numbers, Wal, WalOptions};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "/tmp/ridealong-wal-throughput".to_owned());
    let (wal, _) = Wal::open(WalOptions::new(&folder)).unwrap();
    run(&wal, "single rows by number", 256, 400, 1, false).await;
    run(&wal, "single rows by id", 256, 400, 1, true).await;
    run(&wal, "200 rows by number", 64, 100, 200, false).await;
    run(&wal, "200 rows by id", 64, 100, 200, true).await;
    wal.close();
}

async fn run(wal: &Wal, name: &str, callers: u64, entries: u64, rows: u32, by_id: bool) {
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (wal, producer) = (wal.clone(), ProducerId::draw());
        tasks.spawn(async move {
            let payload = Bytes::from(vec![7; rows as usize * 40]);
            for number in 0..entries {
                let first = number * u64::from(rows);
                let entry = NewEntry {
                    tenant: "acme".into(),
                    table: Table::Events,
                    received_at_us: number as i64,
                    numbers: (!by_id).then_some(Numbers { producer, first, crc: 0 }),
                    announced: first + u64::from(rows),
                    rows,
                    event_ids: by_id.then(|| (0..rows).map(|_| EventId::draw()).collect()),
                    quarantined_rows: Vec::new(),
                    in_place_of_events: false,
                    payload: payload.clone(),
                };
                wal.append(entry).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let seconds = began.elapsed().as_secs_f64();
    let appends = (callers * entries) as f64 / seconds;
    println!("{name}: {appends:.0} appends/s, {:.0} rows/s", appends * f64::from(rows));
}
