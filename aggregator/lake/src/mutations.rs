//! Deletions and corrections of rows that are in the tables already.
//!
//! A [`Mutation`] says which rows of one table change, and how. It holds for the rows that were there when it was made and
//! for none after. Rows in memory are changed at once; files are not: a file that has such rows carries the mutation as
//! *pending*, and whoever reads it applies it. Later a job writes the file anew. A file with pending mutations is left
//! alone by everybody else, except that it may be dropped whole, or moved under its name.

use ridealong_engine::datafusion::common::ScalarValue;
use ridealong_engine::datafusion::logical_expr::Expr;

/// A change of some rows of one table.
#[derive(Debug)]
pub struct Mutation {
    /// Mutations of all tables are counted from 1.
    pub number: u64,
    /// Which rows, in terms of the stored columns. Where it is null, the row stays as it is.
    pub filter: Expr,
    pub action: Action,
}

#[derive(Debug)]
pub enum Action {
    Delete,
    /// Columns by name, with their new values.
    Set(Vec<(String, ScalarValue)>),
}
