//! Deletions and corrections of rows that are in the tables already.
//!
//! A [`Mutation`] says which rows of one table change, and how. It holds for the rows that were there when it was made and
//! for none after. Rows in memory are changed at once; files are not: a file that has such rows carries the mutation as
//! *pending*, and whoever reads it applies it. Later a job writes the file anew. A file with pending mutations is left
//! alone by everybody else, except that it may be dropped whole, or moved under its name.
//!
//! [`condition`] reads what is asked; [`mutation`] applies it, to a plan or to rows; [`journal`] keeps what is not done.

mod condition;
mod mutation;

pub use condition::ConditionError;
pub use mutation::{Action, Mutation};
pub(crate) use mutation::{Ready, applied, projected};
