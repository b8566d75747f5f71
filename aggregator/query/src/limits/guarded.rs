//! A plan whose every step looks at the query's permit before each batch.
//!
//! A guarded step shows itself as the step it guards: name, children, metrics and text are that one's, so a plan reads as
//! before. Conditions of joins look too, since a join may try billions of pairs between two batches. What arrives at an
//! `unnest` is cut into portions, and a batch too large for any good purpose is an error.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use ridealong_engine::datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use ridealong_engine::datafusion::arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use ridealong_engine::datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use ridealong_engine::datafusion::common::{DataFusionError, Result};
use ridealong_engine::datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use ridealong_engine::datafusion::logical_expr::ColumnarValue;
use ridealong_engine::datafusion::physical_plan::joins::utils::JoinFilter;
use ridealong_engine::datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder};
use ridealong_engine::datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use ridealong_engine::datafusion::physical_plan::metrics::{Count, Metric, MetricValue, MetricsSet};
use ridealong_engine::datafusion::physical_plan::sorts::sort::SortExec;
use ridealong_engine::datafusion::physical_plan::unnest::UnnestExec;
use ridealong_engine::datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PhysicalExpr,
    PlanProperties, ReplaceChildrenOptions,
};

use super::permit::Permit;

/// One batch between two steps. A step of 8,192 rows of 30 columns takes a few MiB.
const BATCH_BYTES_MAX: usize = 256 << 20;
/// What an `unnest` makes of one portion, about.
const PORTION_BYTES: usize = 16 << 20;
/// A sort with a limit keeps that many rows in memory and cannot spill; above, all is sorted, which can.
const TOP_ROWS_MAX: usize = 100_000;

/// The plan with each step guarded.
pub(crate) fn guarded(plan: Arc<dyn ExecutionPlan>, permit: &Arc<Permit>) -> Result<Arc<dyn ExecutionPlan>> {
    let guard = |step: Arc<dyn ExecutionPlan>| {
        let step = with_checked_condition(step, permit)?;
        let step = match step.downcast_ref::<UnnestExec>() {
            Some(unnest) => {
                let input = unnest.input();
                let cut = Guarded { cuts: true, ..Guarded::new(Arc::clone(input), permit) };
                let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
                Arc::clone(&step).replace_children(vec![Arc::new(cut)], options)?
            }
            None => step,
        };
        let guarded = Guarded::new(step, permit);
        Ok(Transformed::yes(Arc::new(guarded) as Arc<dyn ExecutionPlan>))
    };
    Ok(plan.transform_up(guard)?.data)
}

/// The plan in which no sort keeps very many rows for a limit: those sort everything, on disk if need be.
pub(crate) fn sorted_on_disk(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let spilling = |step: Arc<dyn ExecutionPlan>| {
        let Some(sort) = step.downcast_ref::<SortExec>() else { return Ok(Transformed::no(step)) };
        let Some(fetch) = sort.fetch().filter(|fetch| *fetch > TOP_ROWS_MAX) else { return Ok(Transformed::no(step)) };
        let all: Arc<dyn ExecutionPlan> = Arc::new(sort.with_fetch(None));
        let cut: Arc<dyn ExecutionPlan> = match all.output_partitioning().partition_count() {
            1 => Arc::new(GlobalLimitExec::new(all, 0, Some(fetch))),
            _ => Arc::new(LocalLimitExec::new(all, fetch)),
        };
        Ok(Transformed::yes(cut))
    };
    Ok(plan.transform_up(spilling)?.data)
}

fn with_checked_condition(step: Arc<dyn ExecutionPlan>, permit: &Arc<Permit>) -> Result<Arc<dyn ExecutionPlan>> {
    let checked = |filter: &JoinFilter| {
        let condition = Checked { inner: Arc::clone(filter.expression()), permit: Arc::clone(permit) };
        JoinFilter::new(Arc::new(condition), filter.column_indices().to_vec(), Arc::clone(filter.schema()))
    };
    if let Some(join) = step.downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        let join = NestedLoopJoinExecBuilder::from(join).with_filter(Some(checked(filter))).build()?;
        return Ok(Arc::new(join));
    }
    if let Some(join) = step.downcast_ref::<HashJoinExec>()
        && let Some(filter) = join.filter()
    {
        return join.builder().with_filter(Some(checked(filter))).build_exec();
    }
    Ok(step)
}

#[derive(Debug)]
struct Guarded {
    inner: Arc<dyn ExecutionPlan>,
    permit: Arc<Permit>,
    /// What comes from it is cut into portions for an `unnest`.
    cuts: bool,
    /// That came from it: not every step counts its own.
    rows: Count,
}

impl Guarded {
    fn new(inner: Arc<dyn ExecutionPlan>, permit: &Arc<Permit>) -> Self {
        Self { inner, permit: Arc::clone(permit), cuts: false, rows: Count::new() }
    }

    fn around(&self, inner: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self { cuts: self.cuts, ..Self::new(inner, &self.permit) })
    }
}

impl DisplayAs for Guarded {
    fn fmt_as(&self, kind: DisplayFormatType, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_as(kind, out)
    }
}

impl ExecutionPlan for Guarded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    /// Whoever looks for a kind of step finds the one guarded.
    fn downcast_delegate(&self) -> Option<&dyn ExecutionPlan> {
        Some(&*self.inner)
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.inner.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inner.children()
    }

    fn apply_expressions(
        &self,
        apply: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(apply)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.around(Arc::clone(&self.inner).replace_children(children, options)?))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.around(Arc::clone(&self.inner).reset_state()?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.permit.check()?;
        let inner = self.inner.execute(partition, context)?;
        let (permit, portions, rows) = (Arc::clone(&self.permit), Vec::new(), self.rows.clone());
        Ok(Box::pin(GuardedStream { inner, permit, portions, rows, cuts: self.cuts, has_failed: false }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut metrics = self.inner.metrics().unwrap_or_default();
        if metrics.output_rows().is_none() {
            metrics.push(Arc::new(Metric::new(MetricValue::OutputRows(self.rows.clone()), None)));
        }
        Some(metrics)
    }

    /// What a recursion hands on from one round to the next.
    fn with_new_state(&self, state: Arc<dyn Any + Send + Sync>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(self.around(self.inner.with_new_state(state)?))
    }
}

struct GuardedStream {
    inner: SendableRecordBatchStream,
    permit: Arc<Permit>,
    /// Of the last batch, the first last.
    portions: Vec<RecordBatch>,
    rows: Count,
    cuts: bool,
    /// Nothing comes after an error.
    has_failed: bool,
}

impl GuardedStream {
    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        if let Err(error) = self.permit.check() {
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(portion) = self.portions.pop() {
            return Poll::Ready(Some(Ok(portion)));
        }
        match self.inner.as_mut().poll_next(context) {
            Poll::Ready(Some(Ok(batch))) => Poll::Ready(Some(self.looked_at(batch))),
            other => other,
        }
    }

    fn looked_at(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        self.rows.add(batch.num_rows());
        let bytes = slice_bytes(&batch);
        if bytes > BATCH_BYTES_MAX {
            return Err(too_large(bytes, batch.num_rows()));
        }
        if !self.cuts || batch.num_rows() == 0 {
            return Ok(batch);
        }
        self.portions = portions(batch)?;
        // Cutting leaves at least one.
        Ok(self.portions.pop().unwrap_or_else(|| RecordBatch::new_empty(self.inner.schema())))
    }
}

impl Stream for GuardedStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.has_failed {
            return Poll::Ready(None);
        }
        let next = self.next(context);
        self.has_failed = matches!(next, Poll::Ready(Some(Err(_))));
        next
    }
}

impl RecordBatchStream for GuardedStream {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }
}

fn too_large(bytes: usize, rows: usize) -> DataFusionError {
    let text = format!("{rows} rows of a step take {} MiB, at most {} may", bytes >> 20, BATCH_BYTES_MAX >> 20);
    DataFusionError::ResourcesExhausted(text)
}

/// What these rows take, of buffers that may hold many more.
pub(crate) fn slice_bytes(batch: &RecordBatch) -> usize {
    // The buffers bound it, and that is quickly known.
    let whole = batch.get_array_memory_size();
    if whole <= PORTION_BYTES {
        return whole;
    }
    batch.columns().iter().map(|column| array_bytes(column)).sum()
}

pub(super) fn array_bytes(array: &dyn Array) -> usize {
    // A slice of views is said to take what its views take, without the texts that they show.
    if let Some(texts) = array.as_string_view_opt() {
        return texts.len() * size_of::<u128>() + texts.iter().flatten().map(str::len).sum::<usize>();
    }
    array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size())
}

/// The batch in pieces, the first last, of each of which an `unnest` makes about [`PORTION_BYTES`].
fn portions(batch: RecordBatch) -> Result<Vec<RecordBatch>> {
    let (mut waiting, mut ready) = (vec![batch], Vec::new());
    while let Some(batch) = waiting.pop() {
        let rows = batch.num_rows();
        let made = slice_bytes(&batch) / rows.max(1) * elements(&batch);
        if made <= PORTION_BYTES || rows <= 1 {
            if made > BATCH_BYTES_MAX {
                return Err(too_large(made, elements(&batch)));
            }
            ready.push(batch);
            continue;
        }
        let half = rows / 2;
        waiting.push(batch.slice(half, rows - half));
        waiting.push(batch.slice(0, half));
    }
    ready.reverse();
    Ok(ready)
}

/// Of the lists in it.
fn elements(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(list_elements).sum()
}

/// Elements of the lists of a column; 0 when it has none.
pub(super) fn list_elements(column: &ArrayRef) -> usize {
    match column.data_type() {
        DataType::List(_) => {
            let offsets = column.as_list::<i32>().value_offsets();
            (offsets[offsets.len() - 1] - offsets[0]) as usize
        }
        DataType::LargeList(_) => {
            let offsets = column.as_list::<i64>().value_offsets();
            (offsets[offsets.len() - 1] - offsets[0]) as usize
        }
        DataType::FixedSizeList(_, width) => column.len() * *width as usize,
        _ => 0,
    }
}

/// A condition of a join.
#[derive(Debug)]
struct Checked {
    inner: Arc<dyn PhysicalExpr>,
    permit: Arc<Permit>,
}

impl PartialEq for Checked {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Checked {}

impl Hash for Checked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, out)
    }
}

impl PhysicalExpr for Checked {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.permit.check()?;
        self.inner.evaluate(batch)
    }

    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.pop().unwrap_or_else(|| Arc::clone(&self.inner));
        Ok(Arc::new(Self { inner, permit: Arc::clone(&self.permit) }))
    }

    fn fmt_sql(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(out)
    }
}
