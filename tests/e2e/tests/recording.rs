//! What is recorded: counts are exact at any sampling rate, and what must not leave the host does not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Url;
use ridealong_agent::books::Books;
use ridealong_agent::exchange::{Exchange, Record};
use ridealong_agent::privacy::{Privacy, PrivacySettings, Salt};
use ridealong_agent::recorder::{Recorder, Recording};
use ridealong_agent::route::RouteTable;
use ridealong_agent::sampling::{Sampling, SamplingHandle};
use ridealong_agent::shipper::Shipper;
use ridealong_agent::spool::{Spool, SpoolOptions};
use ridealong_common::ids::{EventId, ProducerId};
use ridealong_common::rows::Resource;
use ridealong_common::time::Timestamp;
use ridealong_e2e::load::Shape;
use ridealong_e2e::{Agent, Aggregator, Load, Upstream, eventually};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);
const RATES: [f64; 3] = [1.0, 0.1, 0.01];

/// Through the agent's own recorder, spool and shipper, since only exchanges made by hand have durations that are known.
#[tokio::test(flavor = "multi_thread")]
async fn counts_are_exact_and_percentiles_within_a_hundredth_at_any_rate() -> Result<()> {
    const COUNT: u64 = 40_000;
    let aggregator = Aggregator::start(&[]).await?;
    let mut durations: Vec<u64> = (0..COUNT).map(duration_us).collect();
    durations.sort_unstable();
    for rate in RATES {
        let folder = tempfile::tempdir()?;
        let service = format!("rate-{rate}");
        deliver(folder.path(), &service, rate, &aggregator, (0..COUNT).map(exchange)).await?;
        let from = format!("FROM request_summaries WHERE service = '{service}'");
        let sql = format!(
            "SELECT sum(count) AS n, sum(error_count) AS errors, sum(duration_sum_us) AS us, max(duration_max_us) AS most,
             percentile(0.5, duration_sketch) AS p50, percentile(0.9, duration_sketch) AS p90,
             percentile(0.99, duration_sketch) AS p99 {from}"
        );
        let row = &aggregator.rows(&sql).await?[0];
        let total: u64 = durations.iter().sum();
        assert_eq!((row["n"].as_u64(), row["errors"].as_u64()), (Some(COUNT), Some(COUNT / 500)), "{rate}");
        assert_eq!((row["us"].as_u64(), row["most"].as_u64()), (Some(total), durations.last().copied()), "{rate}");
        for (name, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
            let exact = durations[(q * (COUNT - 1) as f64) as usize] as f64;
            let found = row[name].as_f64().context("a percentile")?;
            assert!((found - exact).abs() <= 0.01 * exact + 1.0, "{name} at {rate}: {found}, exactly {exact}");
        }
        estimates(&aggregator, &service, rate, COUNT).await?;
    }
    Ok(())
}

/// The rows that there are stand for all: within five standard deviations of a fair draw.
async fn estimates(aggregator: &Aggregator, service: &str, rate: f64, count: u64) -> Result<()> {
    let sql = format!(
        "SELECT sum(sample_weight) AS n, count(*) AS \"rows\",
         sum(CASE WHEN status >= 500 THEN 1 ELSE 0 END) AS errors, max(duration_us) AS most
         FROM requests WHERE service = '{service}'"
    );
    let row = &aggregator.rows(&sql).await?[0];
    let estimate = row["n"].as_f64().context("a weight")?;
    let off = 5.0 * (count as f64 * (1.0 - rate) / rate).sqrt();
    assert!((estimate - count as f64).abs() <= off, "{estimate} at {rate}");
    assert_eq!(row["errors"].as_u64(), Some(count / 500), "every error is a row at {rate}");
    assert_eq!(row["most"].as_u64(), (0..count).map(duration_us).max(), "every slow one is a row at {rate}");
    assert!(row["rows"].as_f64().context("a count")? <= count as f64 * rate * 1.2 + count as f64 * 0.02, "{row}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_counts_what_it_does_not_keep() -> Result<()> {
    let upstream = Upstream::start().await?;
    let aggregator = Aggregator::start(&[]).await?;
    let agent = Agent::start(&upstream.url(), &aggregator.url(), &["--sample", "0.1", "--slow", "10s"]).await?;
    let shape = Shape::new(4, Duration::ZERO).path(|n| match n % 20 {
        0 => "/status/503".into(),
        n => format!("/users/{n}"),
    });
    let load = Load::start(agent.proxy(), "sampled", &shape);
    eventually("2,000 answers", PATIENCE, async || (load.answered() > 2_000).then_some(())).await;
    let sent = load.stop().await?.len() as i64;
    agent.flush().await?;
    let errors = aggregator.integers("SELECT sum(error_count) FROM request_summaries").await?[0];
    assert_eq!(aggregator.integers("SELECT sum(count) FROM request_summaries").await?, [sent]);
    assert_eq!(aggregator.count("requests WHERE status = 503").await?, errors);
    let rows = aggregator.count("requests").await?;
    assert!(rows > errors && rows < sent / 2, "{rows} rows of {sent}");
    let performance = aggregator.api().get("/api/analytics/performance").await?.expect(200).json();
    let counts = performance["routes"].as_array().context("routes")?.iter().map(|route| route["count"].as_i64());
    assert_eq!(counts.sum::<Option<i64>>(), Some(sent), "{performance}");
    agent.books().await?.assert_balanced();
    let stats = agent.stats().await?;
    assert_eq!(stats["exchanges"]["count"].as_i64(), Some(sent));
    assert_eq!(stats["exchanges"]["sampledOut"].as_i64(), Some(sent - rows));
    let metrics = agent.api().get("/metrics").await?.expect(200).text();
    assert!(metrics.contains(&format!("\nridealong_proxy_requests_total {sent}\n")), "{metrics}");
    assert!(metrics.contains("\nridealong_proxy_overhead_seconds_bucket{le=\"+Inf\"} "), "{metrics}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_leave_the_host_is_neither_spooled_nor_shipped() -> Result<()> {
    let upstream = Upstream::start().await?;
    let mut aggregator = Aggregator::absent(&[])?;
    let flags = ["--record-query", "page", "--redact", "/secret/{name}", "--record-headers", "user-agent,referer"];
    let mut agent = Agent::start(&upstream.url(), &aggregator.url(), &flags).await?;
    let path = "/users/canary.email@example.com/x?page=2&token=canary-query";
    let request = agent.proxy().client().post(agent.proxy().url(path));
    let request = ["authorization", "cookie", "x-api-key", "proxy-authorization", "x-other", "x-forwarded-for"]
        .iter()
        .fold(request, |request, name| request.header(*name, format!("canary-{name}")));
    let request = request.header("referer", "https://example.com/page?canary-referer").header("user-agent", "kept/1");
    agent.proxy().send(request.body("canary-body")).await?.expect(200);
    agent.proxy().get("/secret/canary-redacted/x").await?.expect(200);
    eventually("two rows", PATIENCE, async || (agent.books().await.ok()?.produced >= 3).then_some(())).await;
    agent.terminate().await?;

    for file in files(&agent.spool()) {
        assert_clean(&std::fs::read(&file)?, &file.display().to_string());
    }
    let seen = expanded(&agent.spool()).await?;
    assert_clean(seen.as_bytes(), "the spool, expanded");
    assert!(seen.contains("/users/{email}/x") && seen.contains("/secret/{name}/x"), "{seen}");

    aggregator.restart().await?;
    agent.restart().await?;
    agent.flush().await?;
    let rows = aggregator.rows("SELECT * FROM requests ORDER BY timestamp").await?;
    assert_eq!(rows.len(), 2);
    assert_clean(Value::from(rows).to_string().as_bytes(), "SQL");
    Ok(())
}

/// All chunks of a spool as they would be shipped, read from a copy of it.
async fn expanded(folder: &Path) -> Result<String> {
    let copy = tempfile::tempdir()?;
    for file in files(folder) {
        let to = copy.path().join(file.strip_prefix(folder)?);
        std::fs::create_dir_all(to.parent().context("a file lies in a folder")?)?;
        std::fs::copy(&file, to)?;
    }
    let spool = open(copy.path(), "shop")?;
    let mut seen = String::new();
    while let Some(parcel) = spool.next(1 << 20).await {
        let rows = parcel.rows();
        parcel.chunks.iter().for_each(|chunk| seen.push_str(&String::from_utf8_lossy(&chunk.block)));
        spool.acknowledge(parcel.keys, rows).await;
    }
    spool.close();
    Ok(seen)
}

fn assert_clean(bytes: &[u8], place: &str) {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    assert!(!text.contains("canary"), "{place}: {}", &text[text.find("canary").unwrap_or(0)..][..40.min(text.len())]);
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn open(folder: &Path, service: &str) -> Result<Spool> {
    let options = SpoolOptions {
        folder: folder.into(),
        bytes_max: 256 << 20,
        producer: ProducerId::draw(),
        resource: Resource { service: service.into(), ..Resource::default() },
    };
    Ok(Spool::open(options, Arc::new(Books::default()), Arc::default())?)
}

/// Records, and returns once the aggregator has all of it.
async fn deliver(
    folder: &Path,
    service: &str,
    rate: f64,
    aggregator: &Aggregator,
    exchanges: impl Iterator<Item = Exchange>,
) -> Result<()> {
    let spool = open(folder, service)?;
    let recording = Recording {
        spool: spool.clone(),
        books: Arc::new(Books::default()),
        routes: Arc::new(RouteTable::new(Vec::new())),
        privacy: Arc::new(Privacy::new(PrivacySettings::default(), Salt::draw())),
        sampling: SamplingHandle::new(Sampling { rate, ..Sampling::default() }),
    };
    let recorder = Recorder::new(&recording);
    for (at, exchange) in exchanges.enumerate() {
        recorder.record(exchange);
        if at % 10_000 == 9_999 {
            recorder.tick();
            spool.commit().await;
        }
    }
    recorder.tick();
    spool.commit().await;
    drop(recorder);
    let stop = tokio_util::sync::CancellationToken::new();
    let shipper = Shipper::new(spool.clone(), &Url::parse(&aggregator.url())?, folder.join("refused"))?;
    let shipping = tokio::spawn(shipper.run(stop.clone()));
    let delivered = async || {
        let status = spool.status();
        (status.bulk.delivered_to == status.bulk.written_to && status.kept.delivered_to == status.kept.written_to)
            .then_some(())
    };
    eventually("everything delivered", PATIENCE, delivered).await;
    stop.cancel();
    shipping.await?;
    tokio::task::spawn_blocking(move || spool.close()).await?;
    Ok(())
}

/// From 200 µs with a long tail, above a second too.
fn duration_us(number: u64) -> u64 {
    let share = fastrand::Rng::with_seed(number).f64();
    (200.0 / share.max(1e-4)) as u64 + number % 7
}

fn exchange(number: u64) -> Exchange {
    let event_id = EventId::from_u128(0x0199_0000_0000_7abc_8123_4567_0000_0000 + u128::from(number));
    Exchange {
        status: Some(if number.is_multiple_of(500) { 503 } else { 200 }),
        duration_us: duration_us(number),
        response_bytes: 10,
        ..Exchange::begun(
            event_id,
            Timestamp::now().micros(),
            [http::Method::GET, http::Method::POST][number as usize % 2].clone(),
            format!("/users/{number}/orders"),
            "HTTP/1.1",
        )
    }
}
