//! A damaged log: the start says file, offset and the way out; `--salvage` takes it.

use anyhow::{Context, Result};
use ridealong_common::ids::ProducerId;
use ridealong_e2e::{Aggregator, frames};

#[tokio::test]
async fn a_damaged_log_is_refused_by_name_and_salvaged_on_demand() -> Result<()> {
    let mut aggregator = Aggregator::start(&[]).await?;
    let producer = ProducerId::draw();
    let batches: Vec<Vec<u8>> =
        (0..4_u64).map(|at| frames::frame(at * 5 + 5, vec![frames::requests_chunk(producer, at * 5, 5)])).collect();
    for batch in &batches {
        frames::send(aggregator.api(), batch.clone()).await?.expect(200);
    }
    aggregator.kill().await?;

    // Within the second record: the header of the segment is 44 bytes, and a record says its length at 4.
    let log = aggregator.data().join("log");
    let file = log.join("00000000000000000001.log");
    let mut bytes = std::fs::read(&file)?;
    let length = u32::from_le_bytes(*bytes[48..].first_chunk().context("no record")?) as usize;
    bytes[44 + length + 100] ^= 1;
    std::fs::write(&file, &bytes)?;

    let Err(refused) = aggregator.restart().await else { panic!("a damaged log was opened") };
    let said = format!("{refused:#}");
    for part in ["00000000000000000001.log", &format!("offset {}", 44 + length), "--salvage"] {
        assert!(said.contains(part), "{part}: {said}");
    }

    aggregator.restart_with(&["--salvage"]).await?;
    assert_eq!(aggregator.count("requests").await?, 15);
    let stats = aggregator.stats().await?;
    assert_eq!((&stats["log"]["recordsLost"], &stats["missing"]), (&1.into(), &5.into()), "{stats}");
    assert_eq!(stats["producers"][0]["missingRanges"], serde_json::json!([[5, 10]]));
    let index = std::fs::read_to_string(log.join("salvaged/index.txt"))?;
    for part in ["file=00000000000000000001.log", &format!("offset={}", 44 + length), "positions=2..=2", "checksum"] {
        assert!(index.contains(part), "{part}: {index}");
    }

    // Sent again, what was lost is stored, and nothing else is.
    for batch in &batches {
        frames::send(aggregator.api(), batch.clone()).await?.expect(200);
    }
    assert_eq!(aggregator.count("requests").await?, 20);
    assert_eq!(aggregator.stats().await?["missing"], 0);

    // From now on it is a log like any other.
    aggregator.kill().await?;
    aggregator.restart().await?;
    assert_eq!(aggregator.count("requests").await?, 20);
    aggregator.flush().await?;
    assert_eq!(aggregator.count("requests").await?, 20);
    assert_eq!(aggregator.stats().await?["log"]["recordsLost"], 1);
    Ok(())
}
