//! A session for one query: the caller's tables, our functions, and nothing else.
//!
//! No file, URL or generator can be reached from SQL: the catalog holds these tables only, and the table functions
//! (`generate_series`, `range`) are taken out, since a join of two of them cannot be stopped.

use std::sync::Arc;

use ridealong_common::table::Table;
use ridealong_engine::datafusion::catalog::SchemaProvider;
use ridealong_engine::datafusion::common::Result;
use ridealong_engine::datafusion::execution::SessionStateBuilder;
use ridealong_engine::datafusion::execution::context::SessionContext;
use ridealong_engine::datafusion::execution::runtime_env::RuntimeEnv;
use ridealong_engine::datafusion::prelude::SessionConfig;
use ridealong_engine::datafusion_functions_json;
use ridealong_lake::Snapshot;

use crate::date_trunc::date_trunc;
use crate::derived::{Derived, Kind};
use crate::in_force::quarantine;
use crate::limits::{Permit, bounded, interrupted};
use crate::percentile::percentile;
use crate::provider::SnapshotTable;
use crate::segments::Segments;
use crate::system::SCHEMA;

/// What makes much out of little in one step that no timeout can interrupt.
const GENERATORS: [&str; 9] = [
    "generate_series",
    "range",
    "repeat",
    "lpad",
    "rpad",
    "array_repeat",
    "list_repeat",
    "array_resize",
    "list_resize",
];

/// `system`: the schema of that name; `permit`: by which the query works.
pub(crate) fn session(
    snapshot: &Snapshot,
    segments: &Segments,
    system: Arc<dyn SchemaProvider>,
    runtime: Arc<RuntimeEnv>,
    threads: usize,
    permit: &Arc<Permit>,
) -> Result<SessionContext> {
    let config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_information_schema(false)
        .set_str("datafusion.sql_parser.dialect", "PostgreSQL");
    let mut state =
        SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features().build();
    datafusion_functions_json::register_all(&mut state)?;
    bounded(&mut state, permit)?;
    let context = SessionContext::new_with_state(interrupted(&state, permit));
    for function in GENERATORS {
        context.deregister_udtf(function);
        context.deregister_udf(function);
    }
    context.register_udf(date_trunc());
    context.register_udaf(percentile());
    for table in Table::ALL {
        let scanned = snapshot.table(table).cloned().map_or_else(|| SnapshotTable::empty(table), SnapshotTable::new);
        match table {
            Table::Quarantine => context.register_table(table.name(), quarantine(scanned)?)?,
            _ => context.register_table(table.name(), Arc::new(scanned))?,
        };
    }
    for (name, kind) in [("sessions", Kind::Sessions), ("users", Kind::Users)] {
        context.register_table(name, Arc::new(Derived::new(kind, snapshot, segments.clone())))?;
    }
    for catalog in context.catalog_names().iter().filter_map(|name| context.catalog(name)) {
        catalog.register_schema(SCHEMA, Arc::clone(&system))?;
    }
    Ok(context)
}
