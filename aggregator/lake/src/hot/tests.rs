use std::sync::Arc;

use ridealong_engine::datafusion::arrow::array::RecordBatch;

use super::*;
use crate::schema::file_schema;

fn key(tenant: &str, table: Table) -> TableKey {
    TableKey { tenant: Arc::from(tenant), table }
}

/// A batch of nulls: what it holds does not matter here.
pub(crate) fn rows(count: usize) -> RecordBatch {
    let schema = file_schema(Table::HostMetrics);
    let columns = schema.fields().iter();
    let columns =
        columns.map(|field| ridealong_engine::datafusion::arrow::array::new_null_array(field.data_type(), count));
    RecordBatch::try_new(schema.clone(), columns.collect()).expect("fits")
}

fn append(tables: &HotTables, key: &TableKey, rows: RecordBatch, at: Position) {
    tables.append(vec![(key.clone(), rows, at)], at);
}

fn hot_rows(tables: &HotTables, tenant: &str) -> usize {
    let pinned = tables.pin(tenant);
    pinned.tables.iter().flat_map(|table| &table.hot).map(RecordBatch::num_rows).sum()
}

#[test]
fn a_swap_takes_out_exactly_what_was_flushed() {
    let tables = HotTables::default();
    let hosts = key("default", Table::HostMetrics);
    tables.add(hosts.clone(), ColdTable::default(), Position(0), Vec::new());
    append(&tables, &hosts, rows(3), Position(5));
    let flushable = tables.flushable(&hosts, usize::MAX).expect("hot rows");
    append(&tables, &hosts, rows(4), Position(9));
    let pinned_before = tables.pin("default");

    tables.swap(&hosts, ColdTable { version: Some(1), ..ColdTable::default() }, flushable.up_to);

    assert_eq!(hot_rows(&tables, "default"), 4);
    assert!(tables.holds(&hosts, Position(5)) && !tables.holds(&hosts, Position(6)));
    let before = pinned_before.table(Table::HostMetrics).expect("pinned");
    assert_eq!(before.hot.iter().map(RecordBatch::num_rows).sum::<usize>(), 7, "what was pinned does not change");
    assert_eq!(before.cold.version, None);
}

#[test]
fn a_backlog_is_flushed_in_pieces() {
    let tables = HotTables::default();
    let hosts = key("default", Table::HostMetrics);
    tables.add(hosts.clone(), ColdTable::default(), Position(0), Vec::new());
    (1..=9).for_each(|position| append(&tables, &hosts, rows(10), Position(position)));
    let bytes = rows(10).get_array_memory_size();
    let mut pieces = Vec::new();
    while let Some(piece) = tables.flushable(&hosts, 4 * bytes) {
        pieces.push((piece.batches.len(), piece.up_to.0));
        assert!(tables.is_hot(&hosts, Position(9)));
        tables.swap(&hosts, ColdTable::default(), piece.up_to);
    }
    assert_eq!(pieces, [(4, 4), (4, 8), (1, 9)]);
    assert!(!tables.is_hot(&hosts, Position(9)));
    append(&tables, &hosts, rows(10), Position(10));
    assert_eq!(tables.flushable(&hosts, 0).map(|piece| piece.batches.len()), Some(1), "one batch always goes");
}

#[test]
fn a_tenant_sees_only_its_own_tables() {
    let tables = HotTables::default();
    for tenant in ["a", "b"] {
        tables.add(key(tenant, Table::HostMetrics), ColdTable::default(), Position(0), Vec::new());
        append(&tables, &key(tenant, Table::HostMetrics), rows(1), Position(1));
    }
    assert_eq!(hot_rows(&tables, "a"), 1);
    assert_eq!(hot_rows(&tables, "c"), 0);
    assert_eq!(tables.tenants(), 2);
}

#[test]
fn the_log_is_held_by_the_table_that_is_furthest_behind() {
    let tables = HotTables::default();
    let (hosts, events) = (key("default", Table::HostMetrics), key("default", Table::Events));
    tables.add(hosts.clone(), ColdTable::default(), Position(2), Vec::new());
    tables.add(events.clone(), ColdTable::default(), Position(0), Vec::new());
    assert_eq!(tables.committed(Position(8)), Position(8), "nothing is hot: nothing is held");
    append(&tables, &hosts, rows(1), Position(9));
    assert_eq!(tables.committed(Position(9)), Position(2));
}

#[test]
#[should_panic(expected = "what Delta holds is not appended again")]
fn a_row_that_delta_holds_is_never_appended() {
    let tables = HotTables::default();
    let hosts = key("default", Table::HostMetrics);
    tables.add(hosts.clone(), ColdTable::default(), Position(4), Vec::new());
    append(&tables, &hosts, rows(1), Position(4));
}

#[test]
fn what_a_late_commit_has_added_is_hot_no_more_and_what_nobody_flushed_is_not_believed() {
    let tables = HotTables::default();
    let hosts = key("default", Table::HostMetrics);
    tables.add(hosts.clone(), ColdTable::default(), Position(0), Vec::new());
    (1..=3).for_each(|at| append(&tables, &hosts, rows(10), Position(10 * at)));
    let version = |version| ColdTable { version: Some(version), ..ColdTable::default() };
    assert!(tables.settle(&hosts, version(1), Position(20)));
    assert_eq!(hot_rows(&tables, "default"), 10);
    assert!(tables.settle(&hosts, version(2), Position(20)), "the same rows in another version");
    assert!(!tables.settle(&hosts, version(3), Position(25)), "within a batch");
    assert!(!tables.settle(&hosts, version(3), Position(99)), "past all of it");
    assert_eq!(hot_rows(&tables, "default"), 10);
    assert_eq!(tables.pin("default").table(Table::HostMetrics).expect("pinned").cold.version, Some(2));
}
