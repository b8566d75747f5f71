//! Making a mutation: what it finds is counted, file by file, while everything goes on; then the flusher, between two
//! flushes, looks at what has come meanwhile, makes the mutation durable, and puts it in force in one step.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;
use ridealong_engine::datafusion::arrow::array::RecordBatch;
use ridealong_engine::datafusion::common::DataFusionError;
use ridealong_model::mutation::{Mutate, Mutated, MutationChange, MutationError, MutationRequest, MutationStatus};
use ridealong_model::query::Param;
use ridealong_model::tenant::TenantId;
use serde_json::Value;
use tokio::sync::{Semaphore, oneshot};

use super::condition;
use super::journal::Record;
use super::mutation::{Action, Mutation, Ready};
use super::people::People;
use super::seek::{Matched, matched};
use super::state::scalar;
use crate::flush::Request;
use crate::hot::TableKey;
use crate::lake::{Lake, Shared};

/// Not yet in every file, of one table.
const PENDING_MAX: usize = 1_000;
/// One after the other, mostly; more callers are put off.
const AT_ONCE_MAX: usize = 64;
/// How long the newest rows may take to become readable.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

pub(crate) fn at_once() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(AT_ONCE_MAX))
}

/// What the flusher is given.
pub(crate) struct Begin {
    pub key: TableKey,
    condition: String,
    set: Option<BTreeMap<String, Value>>,
    mutation: Mutation,
    /// By file: what was found already, when this was the last mutation of the table.
    found: BTreeMap<String, Matched>,
    seen: u64,
    dry_run: bool,
    pub answer: oneshot::Sender<Result<Mutated, MutationError>>,
}

#[async_trait]
impl Mutate for Lake {
    async fn mutate(&self, request: MutationRequest) -> Result<Mutated, MutationError> {
        let slot = Arc::clone(&self.mutations_at_once).try_acquire_owned().map_err(|_| MutationError::Busy)?;
        let shared = Arc::clone(&self.shared);
        let made = self.mutating.spawn(async move {
            // Held by the work itself: who asked for it may go before it ends.
            let _slot = slot;
            perform(&shared, request).await
        });
        made.await.unwrap_or_else(|error| Err(MutationError::Failed(format!("its task ended early: {error}"))))
    }

    fn mutations(&self, tenant: &TenantId) -> Vec<MutationStatus> {
        let tables = &self.shared.tables;
        self.shared.mutations.statuses(tenant.as_str(), |key, name| tables.has_file(key, name))
    }
}

async fn perform(shared: &Shared, request: MutationRequest) -> Result<Mutated, MutationError> {
    let durable = shared.wal.durable();
    let (set, mutation) = read(shared, &request)?;
    if !shared.reaches(durable, PATIENCE).await {
        return Err(MutationError::Behind);
    }
    let key = TableKey { tenant: request.tenant.to_shared(), table: request.table };
    let pending = shared.mutations.changed(&key).pending.len();
    if pending >= PENDING_MAX {
        return Err(MutationError::TooMany(pending));
    }
    let seen = shared.mutations.last_of(&key);
    let mut found = BTreeMap::new();
    for file in &shared.tables.cold(&key).files {
        let session = shared.reading();
        let matched = matched(session, key.table, file, &mutation).await.map_err(failed)?;
        found.insert(file.name.clone(), matched);
    }
    let (answer, answered) = oneshot::channel();
    let (condition, dry_run) = (request.condition, request.dry_run);
    let begin = Begin { key, condition, set, mutation, found, seen, dry_run, answer };
    let closed = || MutationError::Failed("the lake is closed".into());
    shared.requests.send(Request::begin(begin)).await.map_err(|_| closed())?;
    answered.await.map_err(|_| closed())?
}

type NewValues = Option<BTreeMap<String, Value>>;

fn read(shared: &Shared, request: &MutationRequest) -> Result<(NewValues, Mutation), MutationError> {
    let invalid = |error: String| MutationError::Invalid(error);
    let table = request.table;
    let filter = condition::read(&request.condition, table, &shared.mutations.session);
    let filter = filter.map_err(|error| invalid(error.to_string()))?;
    let (set, action) = match &request.change {
        MutationChange::Delete => (None, Action::Delete),
        MutationChange::Set(values) if values.is_empty() => return Err(invalid("nothing is set".into())),
        MutationChange::Set(values) => {
            let values: BTreeMap<_, _> = values.iter().map(|(name, value)| (name.clone(), json(value))).collect();
            let scalars = values.iter().map(|(name, value)| Ok((name.clone(), scalar(table, name, value)?)));
            let action = Action::Set(scalars.collect::<Result<_, _>>().map_err(invalid)?);
            (Some(values), action)
        }
    };
    Ok((set, Mutation { number: 0, filter, action }))
}

fn json(value: &Param) -> Value {
    match value {
        Param::Null => Value::Null,
        Param::Boolean(value) => Value::from(*value),
        Param::Integer(value) => Value::from(*value),
        Param::Float(value) => Value::from(*value),
        Param::Text(value) => Value::from(value.as_str()),
    }
}

/// In the flusher, so that no row moves meanwhile from memory into a file. What is added to memory stands at later
/// positions of the log, and is not changed.
pub(crate) async fn begin(shared: &Shared, mut begin: Begin) {
    let done = try_begin(shared, &mut begin).await;
    // Whoever asked may have gone.
    let _ = begin.answer.send(done);
}

async fn try_begin(shared: &Shared, begin: &mut Begin) -> Result<Mutated, MutationError> {
    let mut known = std::mem::take(&mut begin.found);
    if shared.mutations.last_of(&begin.key) != begin.seen {
        known.clear();
    }
    let Begin { key, mutation, .. } = &*begin;
    let (hot, cold, position) = shared.tables.look(key);
    let mut rows = 0;
    let mut people = People::default();
    let mut files = BTreeMap::new();
    for file in &cold.files {
        let found = match known.remove(&file.name) {
            Some(found) => found,
            None => matched(shared.reading(), key.table, file, mutation).await.map_err(failed)?,
        };
        if found.rows > 0 {
            rows += found.rows;
            people.add(&found.people);
            files.insert(file.name.clone(), found.rows);
        }
    }
    let mut changed = Vec::new();
    for (at, batch) in hot {
        let (batch, found) = applied(shared, mutation, &batch)?;
        if found.rows > 0 {
            rows += found.rows;
            people.add(&found.people);
            changed.push((at, batch));
        }
    }
    if rows == 0 || begin.dry_run {
        return Ok(Mutated { number: None, rows });
    }
    let pending = shared.mutations.begin(|number| Record {
        number,
        at_us: Timestamp::now().micros(),
        tenant: key.tenant.to_string(),
        table: key.table.name().to_owned(),
        condition: begin.condition.clone(),
        set: begin.set.clone(),
        log: shared.wal.log_id().to_string(),
        position: position.0,
        rows,
        files,
        people: whose_visits(key, mutation, people),
    });
    let pending = pending.map_err(MutationError::Failed)?;
    let number = pending.mutation.number;
    shared.tables.mutate(key, changed, pending, shared.mutations.changed(key).deleted);
    Ok(Mutated { number: Some(number), rows })
}

fn applied(shared: &Shared, mutation: &Mutation, batch: &RecordBatch) -> Result<(RecordBatch, Matched), MutationError> {
    let ready = Ready::new(mutation, batch, &shared.mutations.session.state()).map_err(failed)?;
    let matching = ready.matching(batch).map_err(failed)?;
    let mut found = Matched::default();
    found.add(batch, &matching);
    Ok((ready.apply(batch, &matching).map_err(failed)?, found))
}

/// Whose visits have to be made anew; None when they stay as they are.
fn whose_visits(key: &TableKey, mutation: &Mutation, mut people: People) -> Option<People> {
    if key.table != Table::Events {
        return None;
    }
    if let Action::Set(values) = &mutation.action {
        if !values.iter().any(|(name, _)| super::anew::READ.contains(&name.as_str())) {
            return None;
        }
        for (name, value) in values {
            if let Some(Some(text)) = value.try_as_str() {
                people.add_name(name, text);
            }
        }
    }
    (!people.is_nobody()).then_some(people)
}

fn failed(error: DataFusionError) -> MutationError {
    MutationError::Failed(error.strip_backtrace())
}
