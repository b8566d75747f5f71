//! Visits made anew: a visit does not know its events, so when events have changed, the visits of all whom these name are
//! taken out, and made again from the events as they are now.
//!
//! What the files of events hold of them is read while everything goes on. The flusher then adds what has come meanwhile
//! and commits, in one version of the visits: the files without them, those that were still in memory, and the new ones.
//! It can be done any number of times.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::array::RecordBatch;
use ridealong_engine::datafusion::arrow::compute::{filter_record_batch, not};
use ridealong_engine::datafusion::common::{DataFusionError, Result};
use ridealong_engine::deltalake::kernel::Add;
use ridealong_model::jobs::{JobFailure, Outcome};
use ridealong_wal::Position;
use tokio::sync::oneshot;

use super::Changed;
use super::people::People;
use super::seek::{rows_of, widened};
use crate::delta::{Change, ChangeKind, DeltaLog, arranged};
use crate::flush::{Request, cold, with_causes};
use crate::hot::TableKey;
use crate::lake::Shared;
use crate::place::Place;
use crate::retain::Sum;
use crate::snapshot::{ColdFile, ColdTable, TableSnapshot};
use crate::visits;
use crate::write::{TableWriter, WriteError};

/// The columns of events that visits are made of.
pub(crate) const READ: [&str; 12] = [
    "timestamp",
    "received_at",
    "user_id",
    "anonymous_id",
    "session_id",
    "source",
    "country",
    "device_type",
    "platform",
    "event_type",
    "event_category",
    "referrer",
];
/// Files come and go meanwhile: then it is begun again.
const TRIES: u32 = 5;

/// What the flusher is given.
pub(crate) struct Anew {
    tenant: Arc<str>,
    people: People,
    /// The last mutation of events that was seen.
    seen: u64,
    /// By file of events: the visits that it makes.
    found: BTreeMap<String, Vec<RecordBatch>>,
    pub answer: oneshot::Sender<std::result::Result<bool, String>>,
}

impl Anew {
    pub fn key(&self) -> TableKey {
        TableKey { tenant: Arc::clone(&self.tenant), table: Table::Visits }
    }
}

/// Of all tenants that wait for it.
pub(crate) async fn visits_anew(shared: &Shared) -> Sum {
    let mut sum = Sum::default();
    for (tenant, (people, last)) in shared.mutations.unvisited() {
        let key = TableKey { tenant: Arc::from(tenant.as_str()), table: Table::Visits };
        let done = visits_of(shared, &key, &people, last).await.map_err(JobFailure);
        sum.add(&key, done.map(|()| Outcome { tables: 1, ..Outcome::default() }));
    }
    sum
}

async fn visits_of(shared: &Shared, key: &TableKey, people: &People, last: u64) -> std::result::Result<(), String> {
    for _ in 0..TRIES {
        if try_anew(shared, &key.tenant, people).await? {
            return shared.mutations.visited(&key.tenant, last);
        }
    }
    Err("files went while they were read, each time; run it again".to_owned())
}

async fn try_anew(shared: &Shared, tenant: &Arc<str>, people: &People) -> std::result::Result<bool, String> {
    let tenant = Arc::clone(tenant);
    let events = TableKey { tenant: Arc::clone(&tenant), table: Table::Events };
    let seen = shared.mutations.last_of(&events);
    let mut found = BTreeMap::new();
    for file in &shared.tables.cold(&events).files {
        let visits = visits_in(shared, file, people).await.map_err(|error| error.strip_backtrace())?;
        found.insert(file.name.clone(), visits);
    }
    let (answer, answered) = oneshot::channel();
    let anew = Anew { tenant, people: people.clone(), seen, found, answer };
    let closed = || "the lake is closed".to_owned();
    shared.requests.send(Request::anew(anew)).await.map_err(|_| closed())?;
    answered.await.map_err(|_| closed())?
}

/// The visits that a file of events makes for these people.
async fn visits_in(shared: &Shared, file: &ColdFile, people: &People) -> Result<Vec<RecordBatch>> {
    let columns = Table::Events.columns().iter().enumerate();
    let columns: Vec<usize> = columns.filter(|(_, column)| READ.contains(&column.name)).map(|(at, _)| at).collect();
    let mut rows = rows_of(shared.reading(), Table::Events, file, &columns, &[])?;
    let mut found = Vec::new();
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let named = filter_record_batch(&batch, &people.named_in(&batch))?;
        if named.num_rows() > 0 {
            found.extend(visits::of_events(&[widened(Table::Events, &named)?])?);
        }
    }
    Ok(if found.is_empty() { found } else { vec![visits::merged(&found)?] })
}

/// In the flusher; false when it has to be begun again.
pub(crate) async fn commit(
    shared: &Shared,
    log: &mut DeltaLog,
    mut archive: Option<&mut DeltaLog>,
    anew: &mut Anew,
) -> std::result::Result<bool, String> {
    let (key, events) = (anew.key(), TableKey { tenant: Arc::clone(&anew.tenant), table: Table::Events });
    let snapshot = shared.tables.pin(&anew.tenant);
    let nothing = |table| TableSnapshot { table, hot: Vec::new(), cold: Arc::default() };
    let of = |table| snapshot.table(table).cloned().unwrap_or_else(|| nothing(table));
    let present = of(Table::Events);
    let is_there = |name: &String| present.cold.files.iter().any(|file| file.name == *name);
    if shared.mutations.last_of(&events) != anew.seen || !anew.found.keys().all(is_there) {
        return Ok(false);
    }
    // What is in memory goes along; nothing is added to it before the last of these.
    let taken = of(Table::Visits).hot.len();
    let last = taken.checked_sub(1).and_then(|at| Some(shared.tables.look(&key).0.get(at)?.0));
    let position = match last {
        Some(position) => position,
        None => log.position().await.map_err(|error| with_causes(&error))?,
    };
    let prepared = prepare(shared, anew, &present, &of(Table::Visits)).await;
    let Prepared { table, archived } = prepared.map_err(|error| error.strip_backtrace())?;
    let kind = ChangeKind::Rewrite { seen: u64::MAX };
    // The archive first: killed in between, these people have too few visits until it is done again.
    if let (Some(archive), Files { added, removed }) = (&mut archive, archived)
        && !removed.is_empty()
    {
        let change = Change { added, removed, transactions: Vec::new(), kind };
        archive.commit_surely(change).await.map_err(|error| with_causes(&error))?;
    }
    let transactions = vec![log.transaction(position)];
    let change = Change { added: table.added, removed: table.removed, transactions, kind };
    log.commit_surely(change).await.map_err(|error| with_causes(&error))?;
    let cold = cold(log, archive.as_deref()).map_err(|error| with_causes(&error))?;
    if !shared.tables.contains(&key) {
        // The first visits of all, since events have named nobody before.
        shared.tables.add(key.clone(), ColdTable::default(), Position(0), Changed::default());
    }
    shared.tables.swap(&key, cold, position);
    Ok(true)
}

/// What becomes of the table and of its archive.
#[derive(Default)]
struct Prepared {
    table: Files,
    archived: Files,
}

#[derive(Default)]
struct Files {
    added: Vec<Add>,
    /// By their names.
    removed: Vec<String>,
}

async fn prepare(
    shared: &Shared,
    anew: &mut Anew,
    events: &TableSnapshot,
    present: &TableSnapshot,
) -> Result<Prepared> {
    let mut visits = Vec::new();
    for file in &events.cold.files {
        match anew.found.remove(&file.name) {
            Some(found) => visits.extend(found),
            None => visits.extend(visits_in(shared, file, &anew.people).await?),
        }
    }
    for batch in &events.hot {
        let named = filter_record_batch(batch, &anew.people.named_in(batch))?;
        visits.extend(visits::of_events(&[named])?);
    }
    for batch in &present.hot {
        visits.push(filter_record_batch(batch, &not(&anew.people.named_in(batch))?)?);
    }
    let place = async |file: Option<&ColdFile>| {
        let place = match file {
            Some(file) => shared.places.of_file(&anew.key(), file).await,
            None => shared.places.of(&anew.key()).await,
        };
        place.map_err(|error| DataFusionError::External(Box::new(error)))
    };
    let mut prepared = Prepared::default();
    for file in &present.cold.files {
        let place = place(Some(file)).await?;
        if let Some(files) = rest_of(shared, &place, file, &anew.people).await? {
            let side = if file.archived { &mut prepared.archived } else { &mut prepared.table };
            side.added.extend(files);
            side.removed.push(file.name.clone());
        }
    }
    if !visits.is_empty() {
        let place = place(None).await?;
        let mut writer = TableWriter::new(place, Table::Visits);
        writer.write(&arranged(Table::Visits, &[visits::merged(&visits)?])?).await.map_err(external)?;
        prepared.table.added.extend(writer.finish().await.map_err(external)?);
    }
    Ok(prepared)
}

/// A file of visits without those of these people; None when it has none of them.
async fn rest_of(shared: &Shared, place: &Place, file: &ColdFile, people: &People) -> Result<Option<Vec<Add>>> {
    let columns: Vec<usize> = (0..Table::Visits.columns().len()).collect();
    let mut rows = rows_of(shared.reading(), Table::Visits, file, &columns, &[])?;
    let mut writer = TableWriter::new(place.clone(), Table::Visits);
    let mut is_touched = false;
    let mut before = Vec::new();
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let named = people.named_in(&batch);
        is_touched |= named.true_count() > 0;
        let rest = filter_record_batch(&batch, &not(&named)?)?;
        // Nothing is written until it is known that it has to be.
        before.push(rest);
        if is_touched {
            for batch in before.drain(..) {
                writer.write(&batch).await.map_err(external)?;
            }
        }
    }
    if !is_touched {
        return Ok(None);
    }
    writer.finish().await.map(Some).map_err(external)
}

fn external(error: WriteError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
