//! The aggregator away, the spool full, the spool's disk failing: requests go on, and nothing is lost in silence.

use std::time::{Duration, Instant};

use anyhow::Result;
use ridealong_e2e::agent::Books;
use ridealong_e2e::load::{Done, Shape, bulky_path, p99};
use ridealong_e2e::process::folder_bytes;
use ridealong_e2e::{Agent, Aggregator, Load, Tmpfs, Upstream, events, eventually, free_address};

const PATIENCE: Duration = Duration::from_secs(90);
const OUTAGE: Duration = Duration::from_secs(20);
/// The contract's: delivery goes on within this after the aggregator's return.
const RESUMED: Duration = Duration::from_secs(10);
/// What an agent may take that keeps an outage's rows; its goal is 48 MiB in the release profile.
const RESIDENT_MIB_MAX: f64 = 64.0;
/// A request on loopback takes under a millisecond; one that waited for a disk or a network would take far longer.
const P99_MAX: Duration = Duration::from_millis(500);
const LIMIT: u64 = 16 << 20;
/// A database's share of the smallest limit, with what sled adds to it.
const DATABASE: u64 = 4 << 20;

fn assert_unharmed(all: &[Done]) {
    let failed: Vec<&Done> = all.iter().filter(|done| done.status != Some(200)).take(5).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(p99(all) < P99_MAX, "p99 {:?} of {}", p99(all), all.len());
}

async fn settled(agent: &Agent) -> Result<Books> {
    agent.flush().await?;
    // A host sample may come at any moment: then the flush is for the one before it.
    Ok(eventually("nothing pending", PATIENCE, async || agent.books().await.ok().filter(|books| books.pending == 0))
        .await)
}

async fn rows_in_sql(aggregator: &Aggregator) -> Result<u64> {
    let tables = ["requests", "events", "host_metrics", "request_summaries"];
    let counts = tables.map(|table| format!("SELECT count(*) AS n FROM {table}")).join(" UNION ALL ");
    Ok(aggregator.integers(&format!("SELECT sum(n) FROM ({counts})")).await?[0] as u64)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregator_away_for_a_while_misses_nothing() -> Result<()> {
    let upstream = Upstream::start().await?;
    let mut aggregator = Aggregator::absent(&[])?;
    let mut agent = Agent::start(&upstream.url(), &aggregator.url(), &["--host-interval", "1s"]).await?;
    let load = Load::start(agent.proxy(), "away", &Shape::new(8, Duration::from_millis(1)));
    let started = Instant::now();
    let mut resident = Vec::new();
    while started.elapsed() < OUTAGE {
        tokio::time::sleep(Duration::from_millis(500)).await;
        resident.push(agent.process().resident_mib());
    }
    let half = resident.len() / 2;
    let (early, late) = (resident[half], resident[resident.len() - 1]);
    println!("resident MiB during the outage: {:.1} at first, {early:.1} half-way, {late:.1} at its end", resident[0]);
    assert!(late < RESIDENT_MIB_MAX && late < early + 8.0, "memory grows: {resident:?}");

    let books = agent.books().await?;
    assert_eq!((books.acknowledged, books.dropped), (0, 0), "{books:?}");
    aggregator.restart().await?;
    let back = Instant::now();
    eventually("the first delivery", RESUMED, async || agent.books().await.ok().filter(|books| books.acknowledged > 0))
        .await;
    println!("delivery resumed {:?} after the aggregator's return, {} rows behind", back.elapsed(), books.pending);
    let all = load.stop().await?;
    assert_unharmed(&all);
    let books = settled(&agent).await?;
    println!(
        "backlog drained {:?} after its return, {:.1} MiB resident",
        back.elapsed(),
        agent.process().resident_mib()
    );
    books.assert_balanced();
    assert_eq!((books.dropped, books.carried_over), (0, 0), "{books:?}");
    let sent = all.len() as i64;
    let sql = "SELECT count(*), count(distinct event_id), count(distinct request_id) FROM requests";
    assert_eq!(aggregator.integers(sql).await?, [sent; 3]);
    let spool = agent.spool();
    eventually("the drained spool is small", PATIENCE, async || {
        agent.api().get("/healthz").await.ok();
        (folder_bytes(&spool) < 24 << 20).then_some(())
    })
    .await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_started_again_in_an_outage_keeps_its_spool() -> Result<()> {
    let upstream = Upstream::start().await?;
    let mut aggregator = Aggregator::absent(&[])?;
    let mut agent = Agent::start(&upstream.url(), &aggregator.url(), &[]).await?;
    let (mut sent, mut tracked) = (0, Vec::new());
    for round in 0..4 {
        let load = Load::start(agent.proxy(), &format!("again-{round}"), &Shape::new(4, Duration::from_millis(1)));
        let (ids, batch) = events::batch("kept", 40);
        agent.api().post("/api/analytics/batch-track", &batch).await?.expect(200);
        tracked.extend(ids);
        eventually("500 answers", PATIENCE, async || (load.answered() > 500).then_some(())).await;
        sent += load.stop().await?.len() as i64;
        if round == 1 {
            // Killed after its last rows are on the disk: these must survive as well as a stop's.
            eventually("everything spooled", PATIENCE, async || {
                let stats = agent.stats().await.ok()?;
                let at = stats["spool"]["commits"].as_u64()?;
                tokio::time::sleep(Duration::from_millis(300)).await;
                let stats = agent.stats().await.ok()?;
                (stats["spool"]["commits"].as_u64()? == at).then_some(())
            })
            .await;
            agent.kill().await?;
        } else {
            assert!(agent.terminate().await?.0.success());
        }
        agent.restart().await?;
        let carried = eventually("the old spool", PATIENCE, async || {
            Some(agent.books().await.ok()?.carried_over).filter(|rows| *rows as i64 >= sent)
        });
        println!("round {round}: {} rows carried over", carried.await);
    }
    aggregator.restart().await?;
    let books = settled(&agent).await?;
    books.assert_balanced();
    assert_eq!((books.acknowledged, books.dropped), (books.carried_over + books.produced, 0), "{books:?}");
    let sql = "SELECT count(*), count(distinct event_id), count(distinct request_id) FROM requests";
    assert_eq!(aggregator.integers(sql).await?, [sent; 3]);
    let mut found = aggregator.column("events", "event_id").await?;
    found.sort();
    tracked.sort();
    assert_eq!(found, tracked);
    let stats = aggregator.stats().await?;
    assert_eq!((stats["missing"].as_u64(), stats["duplicate"].as_u64()), (Some(0), Some(0)), "{stats}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_drops_the_oldest_requests_and_says_so() -> Result<()> {
    let upstream = Upstream::start().await?;
    let mut aggregator = Aggregator::absent(&[])?;
    // One sample of the host, the first, lies among the requests and goes with them.
    let flags = ["--spool-max", "16MiB", "--host-interval", "10m"];
    let agent = Agent::start(&upstream.url(), &aggregator.url(), &flags).await?;
    let (ids, batch) = events::batch("precious", 100);
    agent.api().post("/api/analytics/batch-track", &batch).await?.expect(200);
    let load = Load::start(agent.proxy(), "full", &Shape::new(8, Duration::ZERO).path(|_| bulky_path(1_500)));
    let (started, mut most) = (Instant::now(), 0);
    loop {
        most = most.max(folder_bytes(&agent.spool()));
        let dropped = agent.books().await?.dropped;
        if dropped > 5_000 {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "never full: {} bytes", folder_bytes(&agent.spool()));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let health = agent.api().get("/api/analytics/health").await?.expect(200).json();
    assert_eq!(health["status"], "degraded", "{health}");
    let all = load.stop().await?;
    assert_unharmed(&all);
    println!("{} requests, spool at most {:.1} MiB, p99 {:?}", all.len(), most as f64 / 1_048_576.0, p99(&all));
    assert!(most <= LIMIT + DATABASE, "{most} bytes on disk");

    aggregator.restart().await?;
    let books = settled(&agent).await?;
    books.assert_balanced();
    println!("{books:?}");
    let sql = "SELECT count(*), count(distinct event_id), count(distinct request_id) FROM requests";
    let found = aggregator.integers(sql).await?[0];
    assert_eq!(aggregator.integers(sql).await?, [found; 3]);
    assert_eq!(rows_in_sql(&aggregator).await?, books.acknowledged);
    let bulk = found + aggregator.count("host_metrics").await?;
    assert_eq!(bulk as u64 + books.dropped, all.len() as u64 + 1, "only requests and samples went, each counted");
    // Summaries go last: they know of every request, dropped or not.
    assert_eq!(aggregator.integers("SELECT sum(count) FROM request_summaries").await?, [all.len() as i64]);
    assert_eq!(aggregator.count("events").await?, ids.len() as i64);
    let stats = aggregator.stats().await?;
    assert_eq!(stats["missing"].as_u64(), Some(books.dropped), "the gaps are what was dropped: {stats}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_full_of_events_refuses_more_and_recovers() -> Result<()> {
    let upstream = Upstream::start().await?;
    let mut aggregator = Aggregator::absent(&[])?;
    let agent = Agent::start(&upstream.url(), &aggregator.url(), &["--spool-max", "16MiB"]).await?;
    let (started, mut taken, mut most) = (Instant::now(), 0, 0);
    let refused = loop {
        let (_, mut batch) = events::batch("large", 50);
        for event in batch["events"].as_array_mut().into_iter().flatten() {
            event["properties"]["text"] = bulky_path(4_000).into();
        }
        let answer = agent.api().post("/api/analytics/batch-track", &batch).await?;
        if answer.status != 200 {
            break answer;
        }
        taken += 50;
        most = most.max(folder_bytes(&agent.spool()));
        assert!(started.elapsed() < PATIENCE, "{taken} events fit into 16 MiB");
    };
    assert_eq!(refused.problem(503), "spool-full");
    assert!(refused.headers.contains_key("retry-after"));
    assert!(most <= LIMIT + DATABASE, "{most} bytes on disk");
    // The proxy does not care.
    let load = Load::start(agent.proxy(), "on", &Shape::new(4, Duration::ZERO));
    eventually("1,000 answers", PATIENCE, async || (load.answered() > 1_000).then_some(())).await;
    assert_unharmed(&load.stop().await?);
    println!("{taken} events taken, spool at most {:.1} MiB", most as f64 / 1_048_576.0);

    aggregator.restart().await?;
    let books = settled(&agent).await?;
    books.assert_balanced();
    assert_eq!(aggregator.count("events").await?, taken);
    assert_eq!(rows_in_sql(&aggregator).await?, books.acknowledged);
    let (_, event) = events::event("again");
    agent.api().post("/api/analytics/track", &event).await?.expect(202);
    agent.flush().await?;
    assert_eq!(aggregator.count("events").await?, taken + 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_fails_no_request() -> Result<()> {
    let (upstream, folder) = (Upstream::start().await?, tempfile::tempdir()?);
    let Ok(disk) = Tmpfs::mount(folder.path(), "size=16m") else {
        // Without the right to mount, the next test shows a failing spool in another way.
        println!("no tmpfs can be mounted here: not tried");
        return Ok(());
    };
    let mut aggregator = Aggregator::absent(&[])?;
    let spool = folder.path().join("spool").display().to_string();
    let mut agent = Agent::start(&upstream.url(), &aggregator.url(), &["--spool", &spool]).await?;
    let load = Load::start(agent.proxy(), "disk", &Shape::new(8, Duration::ZERO).path(|_| bulky_path(1_500)));
    eventually("drops", PATIENCE, async || (agent.books().await.ok()?.dropped > 2_000).then_some(())).await;
    // A new database may still find a little room: now there is none at all.
    let ballast = disk.fill()?;
    eventually("it says so", Duration::from_secs(20), async || {
        let (health, ready) = (agent.api().get("/api/analytics/health").await, agent.api().get("/readyz").await);
        (health.ok()?.status == 503 && ready.ok()?.status == 503).then_some(())
    })
    .await;
    let (_, event) = events::event("nowhere");
    let refused = agent.api().post("/api/analytics/track", &event).await?;
    assert_eq!(refused.problem(503), "spool-failed");
    assert_unharmed(&load.stop().await?);
    assert!(agent.process().lives());
    // Somebody makes room and starts the agent again: what reached the disk is delivered.
    drop(ballast);
    agent.kill().await?;
    aggregator.restart().await?;
    agent.restart().await?;
    settled(&agent).await?;
    let is_ready = async || (agent.api().get("/readyz").await.ok()?.status == 200).then_some(());
    eventually("what is delivered makes room", PATIENCE, is_ready).await;
    agent.proxy().get("/after").await?.expect(200);
    let books = settled(&agent).await?;
    println!("{books:?}");
    books.assert_balanced();
    // A sample of the host may come between the two looks.
    eventually("SQL agrees with the books", PATIENCE, async || {
        let acknowledged = agent.books().await.ok()?.acknowledged;
        (rows_in_sql(&aggregator).await.ok()? == acknowledged).then_some(())
    })
    .await;
    assert_eq!(agent.api().get("/readyz").await?.status, 200);
    assert_eq!(aggregator.count("requests WHERE path = '/after'").await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_is_gone_fails_no_request() -> Result<()> {
    let upstream = Upstream::start().await?;
    let mut agent = Agent::start(&upstream.url(), &format!("http://{}", free_address()?), &[]).await?;
    agent.proxy().get("/before").await?.expect(200);
    std::fs::rename(agent.spool(), agent.spool().with_extension("away"))?;
    std::fs::write(agent.spool(), "a file where a folder was")?;
    let load = Load::start(agent.proxy(), "gone", &Shape::new(8, Duration::ZERO).path(|_| bulky_path(1_500)));
    eventually("20,000 answers", PATIENCE, async || (load.answered() > 20_000).then_some(())).await;
    assert_unharmed(&load.stop().await?);
    agent.books().await?.assert_balanced();
    assert!(agent.process().lives());
    let (status, took) = agent.terminate().await?;
    assert!(status.success() && took < Duration::from_secs(5), "{status} after {took:?}");
    Ok(())
}
