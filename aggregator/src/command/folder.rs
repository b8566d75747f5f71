//! A data folder that no server has, opened for one command as a server would open it.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt};
use ridealong_common::time::Timestamp;
use ridealong_ingest::Ingest;
use ridealong_lake::Lake;
use ridealong_model::budget::Budget;
use ridealong_model::export::{Export, ExportFormat, ExportRequest, table_statement};
use ridealong_model::query::{QueryEngine, QueryRequest, TIMEOUT_MAX};
use ridealong_model::tenant::TenantId;
use ridealong_query::{Engine, Exporter};
use ridealong_wal::Wal;

use super::source::{Column, Pieces, Rows, Wanted};
use crate::config::Config;
use crate::lock::FolderLock;
use crate::{memory, serve};

/// Reading what the log holds can take so long after a server was killed.
const READABLE_WITHIN: std::time::Duration = std::time::Duration::from_secs(120);

pub struct Folder {
    engine: Arc<Engine>,
    exporter: Exporter,
    lake: Lake,
    wal: Wal,
    _lock: FolderLock,
}

impl Folder {
    pub fn open(config: &Config, lock: FolderLock) -> Result<Self> {
        let data = config.data.folder.canonicalize().context("cannot find the data folder")?;
        let catalog = serve::start_catalog(&data)?;
        let enricher = serve::start_enricher(config)?;
        let wal = serve::start_wal(config, &data, false)?;
        let budget = Budget::new(config.memory_max.bytes());
        memory::watch(Arc::clone(&budget))?;
        let lake = serve::start_lake(config, &data, &wal, &budget, &catalog)?;
        let ingest = Ingest::new(wal.clone(), catalog.clone(), enricher);
        let engine = serve::start_engine(config, &lake, &budget)?;
        let engine = Arc::new(engine.with_ledger(Arc::new(ingest)).with_segments(Arc::new(catalog)));
        Ok(Self { exporter: Exporter::new(Arc::clone(&engine)), engine, lake, wal, _lock: lock })
    }

    pub async fn query(&self, sql: &str, rows_max: usize) -> Result<Rows> {
        self.readable().await?;
        let request = QueryRequest { rows_max, timeout: TIMEOUT_MAX, ..QueryRequest::new(sql) };
        let answer = self.engine.query(&TenantId::default_tenant(), request).await?;
        let data = serde_json::from_slice(&answer.rows_json).context("the answer cannot be read")?;
        let columns = answer.columns.into_iter().map(|column| Column { name: column.name }).collect();
        Ok(Rows { columns, data, truncated: answer.truncated })
    }

    pub async fn export(&self, wanted: &Wanted, format: ExportFormat) -> Result<Pieces> {
        self.readable().await?;
        let sql = match wanted {
            Wanted::Sql(sql) => sql.clone(),
            Wanted::Table { name, from, to } => {
                table_statement(name, time("from", from)?, time("to", to)?).map_err(anyhow::Error::msg)?
            }
        };
        let request = ExportRequest { sql, params: Vec::new(), format };
        let pieces = self.exporter.export(&TenantId::default_tenant(), request).await?;
        Ok(pieces.map_err(anyhow::Error::from).boxed())
    }

    async fn readable(&self) -> Result<()> {
        anyhow::ensure!(self.lake.caught_up(READABLE_WITHIN).await, "the log is not read within {READABLE_WITHIN:?}");
        Ok(())
    }

    pub fn close(self) {
        self.engine.close();
        self.lake.close();
        self.wal.close();
    }
}

fn time(name: &str, text: &Option<String>) -> Result<Option<Timestamp>> {
    let Some(text) = text else { return Ok(None) };
    let time =
        Timestamp::parse(text).with_context(|| format!("{name} must be RFC 3339, for example 2026-11-20T08:15:30Z"))?;
    Ok(Some(time))
}
