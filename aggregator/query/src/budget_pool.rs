//! Memory of queries: as the engine shares it out among them, and within what the whole program may take.

use std::sync::Arc;

use ridealong_engine::datafusion::common::{DataFusionError, Result};
use ridealong_engine::datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryPool, MemoryReservation,
};
use ridealong_model::budget::{Account, Budget};

#[derive(Debug)]
pub(crate) struct BudgetPool {
    /// The limit of all queries, fairly divided among those that can spill.
    queries: FairSpillPool,
    budget: Arc<Budget>,
}

impl BudgetPool {
    pub fn new(bytes_max: usize, budget: Arc<Budget>) -> Self {
        Self { queries: FairSpillPool::new(bytes_max), budget }
    }

    fn count(&self) {
        self.budget.hold(Account::Queries, self.queries.reserved() as u64);
    }
}

impl MemoryPool for BudgetPool {
    fn name(&self) -> &str {
        "budget"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.queries.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.queries.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.queries.grow(reservation, additional);
        self.count();
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.queries.shrink(reservation, shrink);
        self.count();
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if !self.budget.has_room(Account::Queries, additional as u64) {
            self.budget.count_refusal();
            let text = format!("the program is short of memory, {additional} bytes more are not there at this moment");
            return Err(DataFusionError::ResourcesExhausted(text));
        }
        self.queries.try_grow(reservation, additional)?;
        self.count();
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.queries.reserved()
    }
}

impl std::fmt::Display for BudgetPool {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name())
    }
}
