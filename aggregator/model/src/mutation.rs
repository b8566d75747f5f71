//! The port by which rows that are stored already are deleted or corrected.

use async_trait::async_trait;
use ridealong_common::table::Table;
use thiserror::Error;

use crate::query::Param;
use crate::tenant::TenantId;

#[derive(Clone, Debug)]
pub struct MutationRequest {
    pub tenant: TenantId,
    pub table: Table,
    /// Which rows, as an SQL condition over the table's columns as queries show them.
    pub condition: String,
    pub change: MutationChange,
    /// Only says how many rows it would be.
    pub dry_run: bool,
}

#[derive(Clone, Debug)]
pub enum MutationChange {
    Delete,
    /// Columns with their new values.
    Set(Vec<(String, Param)>),
}

/// What became of a request. It is durable, and in force for every query begun from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mutated {
    /// None when there was nothing to change.
    pub number: Option<u64>,
    /// Rows that were found.
    pub rows: u64,
}

/// A mutation that has not reached every file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MutationStatus {
    pub number: u64,
    pub at_us: i64,
    pub table: &'static str,
    pub condition: String,
    pub deletes: bool,
    pub rows: u64,
    /// Files that still hold the rows as they were.
    pub files_left: u64,
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MutationError {
    /// The caller's fault.
    #[error("{0}")]
    Invalid(String),
    #[error("{0} mutations are not yet written into files, which is the limit; try again in a minute")]
    TooMany(usize),
    #[error("too many deletions and corrections are being made at this moment")]
    Busy,
    #[error("the newest rows are not readable yet")]
    Behind,
    #[error("{0}")]
    Failed(String),
}

#[async_trait]
pub trait Mutate: Send + Sync {
    async fn mutate(&self, request: MutationRequest) -> Result<Mutated, MutationError>;

    /// Those of a tenant that are not yet in every file, oldest first.
    fn mutations(&self, tenant: &TenantId) -> Vec<MutationStatus>;
}
