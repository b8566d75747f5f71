//! The settings of the aggregator, and the checked configuration that runs.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ridealong_common::settings::{ByteSize, Faults, Layered, Reader, Setting};

use crate::data::Data;

pub const PREFIX: &str = "RIDEALONG_AGGREGATOR_";

/// A quarter of it is a segment, and the largest record has to fit beside what waits to be released.
const LOG_BYTES_MIN: u64 = 192 << 20;

/// Below this, what the program takes without any load would put senders off for ever.
const MEMORY_BYTES_MIN: u64 = 256 << 20;

/// Far longer than any query: files are in use while one runs.
const VACUUM_AFTER_MIN: Duration = Duration::from_secs(600);
/// A table forgets after so long when it took a file out.
const VACUUM_AFTER_MAX: Duration = Duration::from_secs(3 * 86_400);

/// Each takes a connection and some 10 KiB.
const VIEWERS_MAX: u64 = 100_000;

/// More often than this a job would run without a pause.
const EVERY_MIN: Duration = Duration::from_secs(1);

pub const SETTINGS: &[Setting] = &[
    Setting::new(
        "data",
        "DIR|URL",
        "Folder of the log and the tables; or s3://BUCKET/PREFIX for the tables, see --state",
    )
    .default("./ridealong-data"),
    Setting::new(
        "state",
        "DIR",
        "Folder of log and catalog while the tables lie in a bucket (then ./ridealong-data unless given); must last",
    ),
    Setting::new("listen", "ADDR", "Where the HTTP API listens; loopback only while no API key exists")
        .default("127.0.0.1:8600"),
    Setting::new(
        "flush-age",
        "DURATION",
        "Rows move to Delta tables when the oldest is this old; bounds a restart's replay",
    )
    .default("5m"),
    Setting::new(
        "log-max",
        "SIZE",
        "Log on disk; past it senders are put off (503) until the tables have taken more of it; bounds a restart",
    )
    .default("256MiB"),
    Setting::new("flush-rows", "N", "Rows move to Delta tables when a table has this many in memory")
        .default("1000000"),
    Setting::new("flush-memory", "SIZE", "Rows move to Delta tables when a table has this much in memory")
        .default("128MiB"),
    Setting::new("hot-memory", "SIZE", "Rows in memory, all tables; past it reading the log waits for a flush")
        .default("1GiB"),
    Setting::new(
        "memory-max",
        "SIZE",
        "Memory of the whole program; senders and queries are put off (503) before it is used up",
    )
    .default("2GiB"),
    Setting::new("query-memory", "SIZE", "Memory that all queries share; sorts past it spill to disk").default("1GiB"),
    Setting::new("query-memory-each", "SIZE", "Memory of one query; sorts past it spill to disk, joins are refused")
        .default("512MiB"),
    Setting::new("query-cache", "SIZE", "Answers kept for whoever asks the same of unchanged tables; 0B: none")
        .default("64MiB"),
    Setting::new("query-threads", "N", "Threads that queries share; 0 means one a processor").default("0"),
    Setting::new(
        "rollup-memory",
        "SIZE",
        "Rollups kept in memory for POST /metrics; the others are read from the disk",
    )
    .default("256MiB"),
    Setting::new("queries-max", "N", "Queries at once; more wait a moment and are answered 503").default("32"),
    Setting::new("viewers-max", "N", "Viewers of /live and /live/stream at once; more are answered 503")
        .default("2000"),
    Setting::new("ids-max", "N", "Event ids remembered to find repeats, at 24 bytes of memory each").default("4194304"),
    Setting::new("ids-window", "DURATION", "How long an event id is remembered, as far as ids-max allows")
        .default("7d"),
    Setting::new("archive", "DIR|URL", "Where days go that a tenant's retention archives; queries find them there"),
    Setting::new("compact-every", "DURATION", "How often small files are joined; 0s: only when asked").default("5m"),
    Setting::new("rewrite-every", "DURATION", "How often deletions and corrections are written into the files")
        .default("1m"),
    Setting::new("retain-every", "DURATION", "How often days older than a tenant keeps them are archived or dropped")
        .default("1h"),
    Setting::new("vacuum-every", "DURATION", "How often files that no table names any more are deleted").default("6h"),
    Setting::new("vacuum-after", "DURATION", "How long a file stays after it was taken out of its table")
        .default("24h"),
    Setting::new(
        "geo-file",
        "FILE",
        "MaxMind DB file (.mmdb) that gives events the country and region of their address",
    ),
    Setting::new("log-level", "LEVEL", "error, warn, info, debug or trace; or a filter such as ridealong_wal=debug")
        .default("info"),
    Setting::new("log-format", "FORMAT", "text or json").default("text"),
];

#[derive(Clone, Debug)]
pub struct Config {
    pub data: Data,
    pub listen: SocketAddr,
    pub log_max: ByteSize,
    pub flush_age: Duration,
    pub flush_rows: u64,
    pub flush_memory: ByteSize,
    pub hot_memory: ByteSize,
    pub memory_max: ByteSize,
    pub query_memory: ByteSize,
    pub query_memory_each: ByteSize,
    pub query_cache: ByteSize,
    pub query_threads: usize,
    pub rollup_memory: ByteSize,
    pub queries_max: u64,
    pub viewers_max: u64,
    pub ids_max: u64,
    pub ids_window: Duration,
    pub archive: Option<String>,
    pub compact_every: Duration,
    pub rewrite_every: Duration,
    pub retain_every: Duration,
    pub vacuum_every: Duration,
    pub vacuum_after: Duration,
    pub geo_file: Option<PathBuf>,
    pub log_level: String,
    pub log_json: bool,
}

impl Config {
    /// Pure: every fault at once.
    pub fn check(layered: &Layered) -> Result<Self, Faults> {
        let mut read = Reader::new(layered);
        let listen = read.optional::<SocketAddr>("listen").unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8600)));
        if !listen.ip().is_loopback() {
            read.fault("listen", "must be a loopback address while no API key exists, for example 127.0.0.1:8600");
        }
        let log_format: String = read.required("log-format");
        if !["text", "json"].contains(&log_format.as_str()) {
            read.fault("log-format", "must be text or json");
        }
        let mut positive = |key: &'static str| {
            let number: u64 = read.required(key);
            if number == 0 {
                read.fault(key, "must be at least 1");
            }
            number
        };
        let (flush_rows, queries_max, ids_max) = (positive("flush-rows"), positive("queries-max"), positive("ids-max"));
        let viewers_max: u64 = read.required("viewers-max");
        if !(1..=VIEWERS_MAX).contains(&viewers_max) {
            read.fault("viewers-max", format!("must lie between 1 and {VIEWERS_MAX}"));
        }
        let threads: u64 = read.required("query-threads");
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let config = Self {
            data: Data::read(&mut read),
            listen,
            log_max: read.required("log-max"),
            flush_age: read.required("flush-age"),
            flush_rows,
            flush_memory: read.required("flush-memory"),
            hot_memory: read.required("hot-memory"),
            memory_max: read.required("memory-max"),
            query_memory: read.required("query-memory"),
            query_memory_each: read.required("query-memory-each"),
            query_cache: read.required("query-cache"),
            query_threads: if threads == 0 { processors } else { threads as usize },
            rollup_memory: read.required("rollup-memory"),
            queries_max,
            viewers_max,
            ids_max,
            ids_window: read.required("ids-window"),
            archive: read.optional("archive"),
            compact_every: read.required("compact-every"),
            rewrite_every: read.required("rewrite-every"),
            retain_every: read.required("retain-every"),
            vacuum_every: read.required("vacuum-every"),
            vacuum_after: read.required("vacuum-after"),
            geo_file: read.optional("geo-file"),
            log_level: read.required("log-level"),
            log_json: log_format == "json",
        };
        if config.log_max.bytes() < LOG_BYTES_MIN {
            read.fault("log-max", "must be at least 192MiB: the largest batch has to fit with room to spare");
        }
        if !(VACUUM_AFTER_MIN..=VACUUM_AFTER_MAX).contains(&config.vacuum_after) {
            read.fault("vacuum-after", "must lie between 10m, as queries may still read the file, and 3d");
        }
        for (key, every) in config.schedule() {
            if !every.is_zero() && every < EVERY_MIN {
                read.fault(key, "must be at least 1s, or 0s: only when asked");
            }
        }
        if config.hot_memory < config.flush_memory {
            read.fault("hot-memory", "must not be below flush-memory, or no flush is ever due");
        }
        if config.memory_max.bytes() < MEMORY_BYTES_MIN {
            read.fault("memory-max", "must be at least 256MiB: the program itself takes about 100");
        }
        if config.hot_memory.bytes() > config.memory_max.bytes() / 4 * 3 {
            read.fault("hot-memory", "must not be above three quarters of memory-max, or senders are put off for ever");
        }
        read.finish()?;
        Ok(config)
    }

    fn schedule(&self) -> [(&'static str, Duration); 4] {
        [
            ("compact-every", self.compact_every),
            ("rewrite-every", self.rewrite_every),
            ("retain-every", self.retain_every),
            ("vacuum-every", self.vacuum_every),
        ]
    }
}

/// Every setting with its value and origin, aligned.
pub fn shown(layered: &Layered) -> String {
    let mut text = String::new();
    for (key, value, origin) in layered.iter() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{key:<16} {value:<28} {origin}");
    }
    text
}
