//! A table and a list of rows, to which the same is done in any order: rows come, are deleted and corrected, move into
//! files, files are written anew, and the process dies. Both hold the same rows at every moment; in the end the visits are
//! those of the events that are left.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ridealong_common::ids::EventId;
use ridealong_engine::datafusion::arrow::array::{Array, AsArray};
use ridealong_engine::datafusion::arrow::compute::concat_batches;
use ridealong_engine::datafusion::arrow::util::pretty::pretty_format_batches;
use ridealong_engine::datafusion::physical_plan::collect;
use ridealong_model::jobs::{Job, Worker};
use ridealong_model::lake::Lake as LakePort;
use ridealong_model::mutation::{Mutate, Mutated, MutationChange, MutationError, MutationRequest};
use ridealong_model::query::Param;
use ridealong_model::tenant::TenantId;
use ridealong_wal::Wal;

use crate::entries::of_events;
use crate::lake::Lake;
use crate::lake::tests::Sandbox;
use crate::scan::Wanted;
use crate::schema::{file_schema, with_views};
use crate::visits;
use ridealong_common::event::TrackedEvent;
use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::array::RecordBatch;

const START_US: i64 = 1_700_000_000_000_000;

#[derive(Clone, Debug, PartialEq)]
struct Row {
    user: Option<String>,
    country: Option<String>,
}

struct Trial {
    sandbox: Sandbox,
    running: Option<(Wal, Lake)>,
    rows: BTreeMap<u64, Row>,
    next: u64,
    deleted: u64,
}

#[derive(Clone, Debug)]
enum Step {
    Rows(u8),
    Flush,
    DeleteUser(u8),
    DeleteRows(Vec<u8>),
    /// Countries of a user's rows.
    Move(u8, u8),
    /// Another user's name.
    Rename(u8, u8),
    Rewrite,
    Compact,
    Restart,
}

/// The rows in an order of their own: that of a scan is not fixed.
fn lines(rows: &RecordBatch) -> Vec<String> {
    let shown = pretty_format_batches(std::slice::from_ref(rows)).expect("shown").to_string();
    let mut lines: Vec<String> = shown.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// One of four is empty, which names nobody.
fn user(number: u8) -> String {
    if number % 4 == 3 { String::new() } else { format!("u{}", number % 4) }
}

fn id(number: u64) -> EventId {
    EventId::from_u128(u128::from(number) + 1)
}

impl Trial {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let running = Some(sandbox.open(|_| {}));
        Self { sandbox, running, rows: BTreeMap::new(), next: 0, deleted: 0 }
    }

    fn wal(&self) -> &Wal {
        &self.running.as_ref().expect("it runs").0
    }

    fn lake(&self) -> &Lake {
        &self.running.as_ref().expect("it runs").1
    }

    fn append(&mut self, count: u8) {
        let events: Vec<TrackedEvent> = (self.next..self.next + u64::from(count))
            .map(|number| {
                let name = user(number as u8);
                let name = (!number.is_multiple_of(5)).then_some(name.as_str());
                // A few days, not in order, so that files overlap.
                let at = START_US + (number as i64 * 7_919 % 300_000) * 1_000_000;
                // Who has no name has visits by session.
                let session = format!("s{}", number % 3);
                let mut event = visits::tests::event(name, (name == Some("")).then_some(session.as_str()), at);
                event.event_id = id(number);
                self.rows.insert(number, Row { user: name.map(str::to_owned), country: None });
                event
            })
            .collect();
        self.next += u64::from(count);
        self.sandbox.runtime.block_on(self.wal().append(of_events(&events))).expect("appended");
    }

    fn mutate(&self, condition: &str, change: MutationChange) -> Result<Mutated, MutationError> {
        let request = MutationRequest {
            tenant: TenantId::default_tenant(),
            table: Table::Events,
            condition: condition.to_owned(),
            change,
            dry_run: false,
        };
        let dry = MutationRequest { dry_run: true, ..request.clone() };
        let expected = self.sandbox.runtime.block_on(self.lake().mutate(dry))?;
        let done = self.sandbox.runtime.block_on(self.lake().mutate(request))?;
        assert_eq!((expected.rows, expected.number), (done.rows, None), "a dry run says how many it would be");
        Ok(done)
    }

    fn set(column: &str, value: &str) -> MutationChange {
        MutationChange::Set(vec![(column.to_owned(), Param::Text(value.to_owned()))])
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Rows(count) => self.append(count % 20 + 1),
            Step::Flush => self.sandbox.flush(self.lake()),
            Step::DeleteUser(number) => {
                let name = user(*number);
                let done = self.mutate(&format!("user_id = '{name}'"), MutationChange::Delete).expect("deleted");
                let before = self.rows.len();
                self.rows.retain(|_, row| row.user.as_ref() != Some(&name));
                self.check_done(done, before - self.rows.len());
                self.deleted += done.rows;
            }
            Step::DeleteRows(numbers) => {
                let ids: Vec<String> = numbers.iter().map(|number| format!("'{}'", id(u64::from(*number)))).collect();
                let condition = format!("event_id IN ({})", ids.join(", "));
                let done = self.mutate(&condition, MutationChange::Delete).expect("deleted");
                let before = self.rows.len();
                self.rows.retain(|row, _| !numbers.iter().any(|number| u64::from(*number) == *row));
                self.check_done(done, before - self.rows.len());
                self.deleted += done.rows;
            }
            Step::Move(number, to) => {
                let (name, to) = (user(*number), format!("C{to}"));
                let done = self.mutate(&format!("user_id = '{name}'"), Self::set("country", &to)).expect("moved");
                let moved = self.rows.values_mut().filter(|row| row.user.as_ref() == Some(&name));
                let moved = moved.map(|row| row.country = Some(to.clone())).count();
                self.check_done(done, moved);
            }
            Step::Rename(number, to) => {
                let (name, to) = (user(*number), user(*to));
                // Null in rows without a name: these stay as they are.
                let condition = format!("NOT (user_id <> '{name}')");
                let done = self.mutate(&condition, Self::set("user_id", &to)).expect("renamed");
                let named = self.rows.values_mut().filter(|row| row.user.as_ref() == Some(&name));
                let named = named.map(|row| row.user = Some(to.clone())).count();
                self.check_done(done, named);
            }
            Step::Rewrite => drop(self.sandbox.runtime.block_on(self.lake().run(Job::Rewrite)).expect("rewritten")),
            Step::Compact => drop(self.sandbox.runtime.block_on(self.lake().run(Job::Compact)).expect("compacted")),
            Step::Restart => {
                let (wal, lake) = self.running.take().expect("it runs");
                // No orderly end.
                lake.shared.closing.cancel();
                wal.close();
                drop((wal, lake));
                self.running = Some(self.sandbox.open(|_| {}));
            }
        }
    }

    fn check_done(&self, done: Mutated, rows: usize) {
        assert_eq!((done.rows, done.number.is_some()), (rows as u64, rows > 0));
    }

    fn table(&self, table: Table) -> Option<RecordBatch> {
        let snapshot = self.sandbox.pin(self.lake());
        let pinned = snapshot.table(table)?;
        let session = &self.lake().shared.mutations.session;
        let scan = |wanted: Wanted<'_>| {
            let plan = pinned.scan(&session.state(), &wanted).expect("a plan");
            let schema = plan.schema();
            let batches = self.sandbox.runtime.block_on(collect(plan, session.task_ctx())).expect("read");
            concat_batches(&schema, &batches).expect("joined")
        };
        let rows = scan(Wanted::default());
        assert_eq!(rows.schema(), file_schema(table));
        let viewed = scan(Wanted { views: true, ..Wanted::default() });
        assert_eq!(viewed.schema(), with_views(&file_schema(table)));
        assert_eq!(lines(&viewed), lines(&rows), "views show the same rows");
        Some(rows)
    }

    /// The table holds the rows of the list.
    fn check(&self) {
        let mut found = BTreeMap::new();
        if let Some(rows) = self.table(Table::Events) {
            let texts = |name: &str| rows.column_by_name(name).expect("a column").as_string::<i32>().clone();
            let ids = rows.column_by_name("event_id").expect("a column").as_binary::<i32>().clone();
            let (users, countries) = (texts("user_id"), texts("country"));
            for row in 0..rows.num_rows() {
                let number = u128::from_be_bytes(ids.value(row).try_into().expect("16 bytes")) as u64 - 1;
                let text = |column: &ridealong_engine::datafusion::arrow::array::StringArray| {
                    column.is_valid(row).then(|| column.value(row).to_owned())
                };
                let before = found.insert(number, Row { user: text(&users), country: text(&countries) });
                assert_eq!(before, None, "row {number} is there twice");
            }
        }
        assert_eq!(found, self.rows);
        let status = LakePort::status(self.lake());
        if let Some(events) = status.tables.iter().find(|table| table.table == "events") {
            assert_eq!(events.hot_rows + events.cold_rows, self.rows.len() as u64, "what the status says");
            assert_eq!(events.deleted, self.deleted);
        }
    }

    /// Once nothing is pending, the visits are those of the events.
    fn check_visits(&self) {
        let Some(events) = self.table(Table::Events) else { return };
        let visits = self.table(Table::Visits).unwrap_or_else(|| RecordBatch::new_empty(file_schema(Table::Visits)));
        let expected = visits::of_events(&[events]).expect("visits");
        let expected = expected.unwrap_or_else(|| RecordBatch::new_empty(file_schema(Table::Visits)));
        let shown =
            |batch: &RecordBatch| visits::tests::shown(&visits::merged(std::slice::from_ref(batch)).expect("merged"));
        assert_eq!(shown(&visits), shown(&expected));
    }

    fn end(mut self) {
        self.step(&Step::Flush);
        self.step(&Step::Rewrite);
        self.check();
        self.check_visits();
        self.step(&Step::Compact);
        self.check();
        self.check_visits();
        let left = self.lake().mutations(&TenantId::default_tenant());
        assert!(left.is_empty(), "nothing is left to do: {left:?}");
        self.step(&Step::Restart);
        self.check();
        self.check_visits();
        let (wal, lake) = self.running.take().expect("it runs");
        lake.close();
        wal.close();
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => any::<u8>().prop_map(Step::Rows),
        3 => Just(Step::Flush),
        2 => any::<u8>().prop_map(Step::DeleteUser),
        2 => prop::collection::vec(0u8..60, 1..6).prop_map(Step::DeleteRows),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(user, to)| Step::Move(user, to)),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(user, to)| Step::Rename(user, to)),
        2 => Just(Step::Rewrite),
        2 => Just(Step::Compact),
        2 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_table_is_what_a_list_would_be(steps in steps()) {
        let mut trial = Trial::new();
        for step in &steps {
            trial.step(step);
            trial.check();
        }
        trial.end();
    }
}

#[test]
fn what_cannot_be_is_said_and_changes_nothing() {
    let mut trial = Trial::new();
    trial.append(9);
    let refused = |condition: &str, change: MutationChange| match trial.mutate(condition, change) {
        Err(MutationError::Invalid(why)) => why,
        other => panic!("{condition}: {other:?}"),
    };
    for (condition, expected) in [
        ("", "cannot be read"),
        ("user_id", "no true or false"),
        ("nobody = 'x'", "nobody"),
        ("user_id = (SELECT 'x')", "must say the same"),
        ("random() < 0.5", "must say the same"),
        ("timestamp < now()", "must say the same"),
        ("count(*) > 1", "must say the same"),
        ("event_id > '00000000-0000-0000-0000-000000000001'", "event_id is an id"),
        ("event_id = 'x'", "event_id is an id"),
        ("user_id = 'x'; DROP TABLE events", "cannot be read"),
        (&"(".repeat(1_000), "cannot be read"),
        (&"a".repeat(5_000), "5000 bytes"),
    ] {
        let why = refused(condition, MutationChange::Delete);
        assert!(why.contains(expected), "{condition}: {why}");
    }
    for (column, value, expected) in [
        ("event_id", Param::Text("x".into()), "cannot be changed"),
        ("timestamp", Param::Integer(1), "cannot be changed"),
        ("event_type", Param::Null, "cannot be null"),
        ("latitude", Param::Text("x".into()), "must be a number"),
        ("nothing", Param::Null, "has no column nothing"),
    ] {
        let why = refused("user_id = 'u1'", MutationChange::Set(vec![(column.to_owned(), value)]));
        assert!(why.contains(expected), "{column}: {why}");
    }
    assert!(refused("user_id = 'u1'", MutationChange::Set(Vec::new())).contains("nothing is set"));
    trial.check();
    trial.end();
}

/// Nobody had visits, and somebody has them now.
#[test]
fn an_event_of_nobody_is_given_a_user() {
    let mut trial = Trial::new();
    // The first of each five names nobody.
    trial.append(1);
    for round in 0..2 {
        let done = trial.mutate("user_id IS NULL OR user_id = 'eve'", Trial::set("user_id", "eve")).expect("named");
        trial.rows.values_mut().for_each(|row| row.user = Some("eve".into()));
        assert_eq!(done.rows, 1, "round {round}");
        trial.step(&Step::Rewrite);
        trial.check();
        trial.check_visits();
        trial.step(&Step::Restart);
    }
    trial.end();
}

/// Two sessions without a name: what is deleted of one leaves the visits of the other as they were.
#[test]
fn an_empty_name_is_nobodys() {
    let mut trial = Trial::new();
    trial.append(24);
    trial.step(&Step::Flush);
    trial.step(&Step::DeleteRows(vec![3]));
    trial.step(&Step::Rewrite);
    trial.check();
    trial.check_visits();
    trial.end();
}
