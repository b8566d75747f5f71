//! The tables that lie there when the lake is opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use ridealong_common::table::Table;
use ridealong_wal::LogId;

use super::OpenError;
use crate::delta::{DELTA_LOG, DeltaLog};
use crate::hot::TableKey;
use crate::place::Place;
use crate::places::Places;

/// Tables opened at once: each is a few requests one after the other, and a bucket takes its time for each.
const OPENING_MAX: usize = 8;

pub(super) async fn open(places: &Arc<Places>, log: LogId) -> Result<Vec<(TableKey, DeltaLog)>, OpenError> {
    let found = find(places).await?;
    for (key, place) in &found {
        places.found(key.clone(), place.clone());
    }
    open_all(found, log).await
}

/// The archives that there are.
pub(super) async fn open_archives(places: &Places, log: LogId) -> Result<Vec<(TableKey, DeltaLog)>, OpenError> {
    let mut found = BTreeMap::new();
    if let Some(root) = places.archive() {
        for tenant in names(root).await? {
            add_tables(&tenant, &root.child(&tenant), &mut found).await?;
        }
    }
    open_all(found, log).await
}

async fn open_all(found: BTreeMap<TableKey, Place>, log: LogId) -> Result<Vec<(TableKey, DeltaLog)>, OpenError> {
    let opening = stream::iter(found).map(async |(key, place)| {
        let opened = DeltaLog::open_or_make(&place, key.table, log).await?;
        Ok((key, opened))
    });
    opening.buffer_unordered(OPENING_MAX).try_collect().await
}

/// Under the root, and where tenants have a place of their own.
async fn find(places: &Arc<Places>) -> Result<BTreeMap<TableKey, Place>, OpenError> {
    let mut found = BTreeMap::new();
    for tenant in names(places.root()).await? {
        add_tables(&tenant, &places.root().child(&tenant), &mut found).await?;
    }
    for tenant in places.located() {
        add_tables(tenant.as_str(), &places.tenant(tenant.as_str()).await?, &mut found).await?;
    }
    Ok(found)
}

/// What has a Delta log.
async fn add_tables(tenant: &str, below: &Place, found: &mut BTreeMap<TableKey, Place>) -> Result<(), OpenError> {
    for name in names(below).await? {
        let Some(table) = Table::from_name(&name) else { continue };
        let place = below.child(&name);
        if !names(&place).await?.iter().any(|name| name == DELTA_LOG) {
            continue;
        }
        let key = TableKey { tenant: Arc::from(tenant), table };
        if let Some(other) = found.get(&key).filter(|other| other.url() != place.url()) {
            let (tenant, places) = (tenant.to_owned(), [other.to_string(), place.to_string()]);
            return Err(OpenError::Twice { tenant, table: table.name(), places });
        }
        found.insert(key, place);
    }
    Ok(())
}

/// What lies below a place and has something below it.
async fn names(place: &Place) -> Result<Vec<String>, OpenError> {
    let listed = place.store().list_with_delimiter(Some(&place.path())).await;
    let listed = listed.map_err(|source| OpenError::List { place: place.to_string(), source })?;
    Ok(listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect())
}
