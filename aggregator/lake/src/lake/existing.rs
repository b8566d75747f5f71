//! The tables that lie there when the lake is opened.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use ridealong_common::table::Table;
use ridealong_wal::LogId;

use super::{OpenError, table_place};
use crate::delta::DeltaLog;
use crate::hot::TableKey;
use crate::place::Place;

/// The folder of a table's versions.
const DELTA_LOG: &str = "_delta_log";
/// Tables opened at once: each is a few requests one after the other, and a bucket takes its time for each.
const OPENING_MAX: usize = 8;

pub(super) async fn open(root: &Place, log: LogId) -> Result<Vec<(TableKey, DeltaLog)>, OpenError> {
    let opening = stream::iter(find(root).await?).map(async |key| {
        let opened = DeltaLog::open_or_make(&table_place(root, &key), key.table, log).await?;
        Ok((key, opened))
    });
    opening.buffer_unordered(OPENING_MAX).try_collect().await
}

/// What has a Delta log.
async fn find(root: &Place) -> Result<Vec<TableKey>, OpenError> {
    let mut found = Vec::new();
    for tenant in names(root).await? {
        for name in names(&root.child(&tenant)).await? {
            let Some(table) = Table::from_name(&name) else { continue };
            if names(&root.child(&tenant).child(&name)).await?.iter().any(|name| name == DELTA_LOG) {
                found.push(TableKey { tenant: Arc::from(tenant.as_str()), table });
            }
        }
    }
    Ok(found)
}

/// What lies below a place and has something below it.
async fn names(place: &Place) -> Result<Vec<String>, OpenError> {
    let listed = place.store().list_with_delimiter(Some(&place.path())).await;
    let listed = listed.map_err(|source| OpenError::List { place: place.to_string(), source })?;
    Ok(listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect())
}
