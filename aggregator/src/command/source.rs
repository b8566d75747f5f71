//! Where a command finds the data.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures::stream::BoxStream;
use ridealong_model::export::ExportFormat;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::runtime::Runtime;

use super::folder::Folder;
use super::server::Server;
use crate::config::Config;
use crate::lock::FolderLock;

/// The bytes of an export; whole only when it ends without an error.
pub type Pieces = BoxStream<'static, Result<Bytes>>;

pub enum Source {
    Server(Server),
    Folder(Box<Folder>),
}

/// What is to be exported.
#[derive(Clone, Debug)]
pub enum Wanted {
    Sql(String),
    Table { name: String, from: Option<String>, to: Option<String> },
}

/// Rows of a query.
#[derive(Debug, Deserialize)]
pub struct Rows {
    pub columns: Vec<Column>,
    pub data: Vec<Map<String, Value>>,
    pub truncated: bool,
}

#[derive(Debug, Deserialize)]
pub struct Column {
    pub name: String,
}

impl Source {
    pub fn find(config: &Config, runtime: &Runtime) -> Result<Self> {
        let server = Server::at(config.listen)?;
        if runtime.block_on(server.answers()) {
            return Ok(Self::Server(server));
        }
        let (folder, address) = (&config.data.folder, config.listen);
        if !folder.join("log").is_dir() {
            let folder = folder.display();
            bail!(
                "no aggregator answers at http://{address}, and {folder} holds no data; name one with --listen or --data"
            );
        }
        let lock = FolderLock::take(folder).with_context(|| {
            format!(
                "no aggregator answers at http://{address}; say with --listen where the one that has the folder does"
            )
        })?;
        Ok(Self::Folder(Box::new(Folder::open(config, lock)?)))
    }

    pub async fn query(&self, sql: &str, rows_max: usize) -> Result<Rows> {
        match self {
            Self::Server(server) => server.query(sql, rows_max).await,
            Self::Folder(folder) => folder.query(sql, rows_max).await,
        }
    }

    pub async fn export(&self, wanted: &Wanted, format: ExportFormat) -> Result<Pieces> {
        match self {
            Self::Server(server) => server.export(wanted, format).await,
            Self::Folder(folder) => folder.export(wanted, format).await,
        }
    }

    /// Lets the folder go, when it was opened.
    pub fn close(self) {
        if let Self::Folder(folder) = self {
            folder.close();
        }
    }
}
