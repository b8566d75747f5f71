//! Deletions and corrections of rows that are in the tables already.
//!
//! A [`Mutation`] says which rows of one table change, and how. It holds for the rows that were there when it was made and
//! for none after. Rows in memory are changed at once; files are not: a file that has such rows carries the mutation as
//! *pending*, and whoever reads it applies it. Later a job writes the file anew. A file with pending mutations is left
//! alone by everybody else, except that it may be dropped whole, or moved under its name.
//!
//! [`condition`] reads what is asked; [`mutation`] applies it, to a plan or to rows; [`journal`] keeps what is not done, and
//! [`state`] has it ready. [`perform`] makes one; [`rewrite`] is the job that brings them into the files, and [`anew`] makes
//! the visits anew of those whose events have changed ([`people`]). [`seek`] reads single files.

mod anew;
mod condition;
mod journal;
mod mutation;
mod people;
mod perform;
mod rewrite;
mod seek;
mod state;

pub use mutation::{Action, Mutation};
pub use state::OpenError as MutationsError;

pub(crate) use anew::{Anew, commit};
pub(crate) use mutation::{applied, projected};
pub(crate) use perform::{Begin, at_once, begin};
pub(crate) use rewrite::rewrite;
pub(crate) use state::{Changed, Mutations, Pending};

#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;
