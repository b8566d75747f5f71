//! The planner's rules with a look at the query's permit before each: planning does not yield, and a large statement can
//! keep it busy for long.

use std::fmt;
use std::sync::Arc;

use ridealong_engine::datafusion::common::Result;
use ridealong_engine::datafusion::common::config::ConfigOptions;
use ridealong_engine::datafusion::common::tree_node::Transformed;
use ridealong_engine::datafusion::execution::SessionState;
use ridealong_engine::datafusion::execution::SessionStateBuilder;
use ridealong_engine::datafusion::logical_expr::LogicalPlan;
use ridealong_engine::datafusion::optimizer::{AnalyzerRule, OptimizerConfig, OptimizerRule};
use ridealong_engine::datafusion::physical_optimizer::PhysicalOptimizerRule;
use ridealong_engine::datafusion::physical_plan::ExecutionPlan;

use super::permit::Permit;

/// A session like this one, whose planning ends when the permit is revoked.
pub(crate) fn interrupted(state: &SessionState, permit: &Arc<Permit>) -> SessionState {
    let look = || Arc::new(Look(Arc::clone(permit)));
    let mut analyzer: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = Vec::new();
    for rule in state.analyzer().rules.iter().cloned() {
        analyzer.extend([look() as _, rule]);
    }
    let mut optimizer: Vec<Arc<dyn OptimizerRule + Send + Sync>> = Vec::new();
    for rule in state.optimizers().iter().cloned() {
        optimizer.extend([look() as _, rule]);
    }
    let mut physical: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> = Vec::new();
    for rule in state.physical_optimizers().iter().cloned() {
        physical.extend([look() as _, rule]);
    }
    SessionStateBuilder::new_from_existing(state.clone())
        .with_analyzer_rules(analyzer)
        .with_optimizer_rules(optimizer)
        .with_physical_optimizer_rules(physical)
        .build()
}

/// A rule that changes nothing.
struct Look(Arc<Permit>);

const NAME: &str = "look at the permit";

impl fmt::Debug for Look {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(NAME)
    }
}

impl AnalyzerRule for Look {
    fn name(&self) -> &str {
        NAME
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        self.0.check()?;
        Ok(plan)
    }
}

impl OptimizerRule for Look {
    fn name(&self) -> &str {
        NAME
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        self.0.check()?;
        Ok(Transformed::no(plan))
    }
}

impl PhysicalOptimizerRule for Look {
    fn name(&self) -> &str {
        NAME
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.check()?;
        Ok(plan)
    }

    fn schema_check(&self) -> bool {
        true
    }
}
