//! `sessions` and `users`: made from visits when they are asked for, so that late events are in every answer.
//!
//! The statements lie in `derived/*.sql`. They are planned in a session of their own, in which alone the table of visits
//! has a name. A filter that fixes an id or another text of a row is also put on the visits themselves: looking up one
//! user or session does not add up all the others.
//!
//! Not here: how visits come about (the lake's `visits`), what a rule of a segment may say ([`crate::segments`]).

mod functions;
mod restriction;

use std::sync::Arc;

use async_trait::async_trait;
use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use ridealong_engine::datafusion::catalog::memory::{
    MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
};
use ridealong_engine::datafusion::catalog::{
    CatalogProvider, CatalogProviderList, SchemaProvider, Session, TableProvider,
};
use ridealong_engine::datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use ridealong_engine::datafusion::datasource::{ViewTable, provider_as_source};
use ridealong_engine::datafusion::execution::SessionState;
use ridealong_engine::datafusion::execution::SessionStateBuilder;
use ridealong_engine::datafusion::logical_expr::utils::conjunction;
use ridealong_engine::datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown, TableSource, TableType,
};
use ridealong_engine::datafusion::physical_plan::ExecutionPlan;
use ridealong_engine::datafusion::prelude::{ident, lit};
use ridealong_lake::schema::with_views;
use ridealong_lake::{PAUSE_US, Snapshot, as_views};

use crate::provider::SnapshotTable;
use crate::segments::Segments;
use restriction::Restrictions;

pub(crate) use restriction::is_subquery;

/// A table made from visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sessions,
    Users,
}

const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

const SESSIONS: [(&str, DataType); 16] = [
    ("session_id", DataType::Utf8),
    ("user_id", DataType::Utf8),
    ("anonymous_id", DataType::Utf8),
    ("source", DataType::Utf8),
    ("started_at", TIME),
    ("ended_at", TIME),
    ("duration_us", DataType::Int64),
    ("event_count", DataType::Int64),
    ("page_count", DataType::Int64),
    ("error_count", DataType::Int64),
    ("entry_event_type", DataType::Utf8),
    ("exit_event_type", DataType::Utf8),
    ("referrer", DataType::Utf8),
    ("country", DataType::Utf8),
    ("device_type", DataType::Utf8),
    ("platform", DataType::Utf8),
];

/// Without `segment`, which stands behind them and may not be asked for by its own rules.
const USERS: [(&str, DataType); 15] = [
    ("user_id", DataType::Utf8),
    ("anonymous_id", DataType::Utf8),
    ("first_seen", TIME),
    ("last_seen", TIME),
    ("cohort", DataType::Date32),
    ("cohort_day", DataType::Date32),
    ("event_count", DataType::Int64),
    ("session_count", DataType::Int64),
    ("page_count", DataType::Int64),
    ("error_count", DataType::Int64),
    ("first_source", DataType::Utf8),
    ("first_referrer", DataType::Utf8),
    ("country", DataType::Utf8),
    ("device_type", DataType::Utf8),
    ("platform", DataType::Utf8),
];
const SEGMENT: &str = "segment";

/// The columns of users that a rule may name.
pub(crate) fn ruled_schema() -> Schema {
    Schema::new(fields(&USERS))
}

fn fields(columns: &[(&str, DataType)]) -> Vec<Field> {
    columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect()
}

#[derive(Debug)]
pub(crate) struct Derived {
    kind: Kind,
    schema: SchemaRef,
    visits: Arc<SnapshotTable>,
    segments: Segments,
}

impl Derived {
    pub fn new(kind: Kind, snapshot: &Snapshot, segments: Segments) -> Self {
        let mut columns = match kind {
            Kind::Sessions => fields(&SESSIONS),
            Kind::Users => fields(&USERS),
        };
        columns.extend((kind == Kind::Users).then(|| Field::new(SEGMENT, DataType::Utf8, true)));
        let visits = snapshot.table(Table::Visits).cloned();
        let visits = visits.map_or_else(|| SnapshotTable::empty(Table::Visits), SnapshotTable::new);
        // As in the other tables: between texts of two kinds a join would not hand on what its filters fix.
        let schema = with_views(&Arc::new(Schema::new(columns)));
        Self { kind, schema, visits: Arc::new(visits), segments }
    }

    /// A session that knows what the statements name.
    fn inner(&self, outer: &dyn Session, filters: &[Expr]) -> Result<SessionState> {
        let outer = outer.as_any().downcast_ref::<SessionState>();
        let outer = outer.ok_or_else(|| internal_datafusion_err!("a session of another kind"))?;
        let schema = MemorySchemaProvider::new();
        let restrictions = Restrictions::of(filters);
        let source: Arc<dyn TableSource> = provider_as_source(Arc::clone(&self.visits) as _);
        let visits = || LogicalPlanBuilder::scan("visits", Arc::clone(&source), None);
        for (name, plan) in match self.kind {
            Kind::Users => vec![("visits", visits()?.build()?)],
            Kind::Sessions => vec![
                ("named", restrictions.named(visits()?, visits()?)?),
                ("unnamed", restrictions.unnamed(visits()?)?),
            ],
        } {
            schema.register_table(name.into(), Arc::new(ViewTable::new(plan, None)))?;
        }
        let options = &outer.config_options().catalog;
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(&options.default_schema, Arc::new(schema))?;
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(options.default_catalog.clone(), Arc::new(catalog));
        let mut functions: Vec<_> = outer.scalar_functions().values().cloned().collect();
        functions.extend(functions::all().into_iter().map(Arc::new));
        // Physical rules run once, over the whole statement that this becomes a part of.
        Ok(SessionStateBuilder::new_from_existing(outer.clone())
            .with_catalog_list(Arc::new(catalogs))
            .with_scalar_functions(functions)
            .with_physical_optimizer_rules(Vec::new())
            .build())
    }

    fn statement(&self) -> String {
        let statement = match self.kind {
            Kind::Sessions => include_str!("derived/sessions.sql"),
            Kind::Users => include_str!("derived/users.sql"),
        };
        statement.replace("{pause}", &PAUSE_US.to_string())
    }

    fn with_segment(&self, plan: LogicalPlanBuilder, wanted: bool, state: &SessionState) -> Result<LogicalPlanBuilder> {
        if self.kind != Kind::Users {
            return Ok(plan);
        }
        let none = || lit(ScalarValue::Utf8(None));
        let segment = if wanted { self.segments.expression(state)?.unwrap_or_else(none) } else { none() };
        let columns = USERS.iter().map(|(name, _)| ident(*name)).chain([segment.alias(SEGMENT)]);
        plan.project(columns.collect::<Vec<_>>())
    }

    fn rows(&self, plan: LogicalPlan, asked: &Asked<'_>, state: &SessionState) -> Result<LogicalPlan> {
        let names: Vec<&str> = match asked.projection {
            Some(columns) => columns.iter().map(|column| self.schema.field(*column).name().as_str()).collect(),
            None => self.schema.fields().iter().map(|field| field.name().as_str()).collect(),
        };
        let filtered =
            asked.filters.iter().any(|filter| filter.column_refs().iter().any(|column| column.name == SEGMENT));
        let plan = LogicalPlanBuilder::from(plan);
        let mut plan = self.with_segment(plan, filtered || names.contains(&SEGMENT), state)?;
        if let Some(filter) = conjunction(asked.filters.to_vec()) {
            plan = plan.filter(filter)?;
        }
        plan.project(names.into_iter().map(ident).collect::<Vec<_>>())?.limit(0, asked.limit)?.build()
    }
}

/// What a scan was asked for.
struct Asked<'a> {
    projection: Option<&'a Vec<usize>>,
    filters: &'a [Expr],
    limit: Option<usize>,
}

#[async_trait]
impl TableProvider for Derived {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match restriction::has_subquery(filter) {
            true => TableProviderFilterPushDown::Unsupported,
            false => TableProviderFilterPushDown::Exact,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let state = self.inner(state, filters)?;
        let all = state.create_logical_plan(&self.statement()).await?;
        let rows = self.rows(all, &Asked { projection, filters, limit }, &state)?;
        as_views(state.create_physical_plan(&rows).await?)
    }
}

#[cfg(test)]
pub(crate) mod tests;
