//! The engine's errors by whose fault they are.

use std::any::Any;

use ridealong_engine::datafusion::common::DataFusionError;
use ridealong_engine::datafusion::parquet::errors::ParquetError;
use ridealong_engine::deltalake::logstore::object_store::Error as StoreError;
use ridealong_model::query::QueryError;
use tokio::task::JoinError;

use crate::limits::{Permit, Why};

/// How an S3 store's error begins where a Parquet reader has made a text of it.
const STORE_FAILED: &str = "Generic S3 error";
/// What is said of a pattern that whoever asked has written wrong.
const PATTERNS: [&str; 2] = ["regex parse error", "regex exceeds size limit"];
/// Of an error's text: one that quotes a plan is of no use to whoever reads it.
const TEXT_BYTES_MAX: usize = 2_000;

pub(super) fn fault(error: DataFusionError) -> QueryError {
    if let Some(unread) = unread(&error) {
        return unread;
    }
    let text = || cut(error.strip_backtrace());
    match error.find_root() {
        DataFusionError::ResourcesExhausted(text) => QueryError::TooLarge(cut(text.clone())),
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::ArrowError(..)
        | DataFusionError::Execution(_) => QueryError::Invalid(text()),
        DataFusionError::External(source) => match (source.downcast_ref(), source.downcast_ref()) {
            (Some(QueryError::Behind), _) => QueryError::Behind,
            (_, Some(why @ Why::Memory)) => QueryError::Short(why.to_string()),
            _ if PATTERNS.iter().any(|text| source.to_string().contains(text)) => QueryError::Invalid(text()),
            _ => QueryError::Failed(text()),
        },
        _ => QueryError::Failed(text()),
    }
}

/// The same, of a query that works by this permit.
pub(super) fn fault_of(error: DataFusionError, permit: &Permit) -> QueryError {
    match (fault(error), permit.revoked()) {
        (_, Some(why @ Why::Memory)) => QueryError::Short(why.to_string()),
        (QueryError::TooLarge(text), None) if permit.is_starved() => QueryError::Short(text),
        (other, _) => other,
    }
}

/// A task that did not come to its end.
pub(super) fn broken(error: JoinError) -> QueryError {
    match error.try_into_panic() {
        Ok(panic) => QueryError::Failed(format!("the engine gave up: {}", cut(panic_text(&*panic)))),
        Err(_) => QueryError::Short("its threads were given up".into()),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "it panicked".into())
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}

/// A store that did not give what was asked of it; what it has not got is another matter.
fn unread(error: &DataFusionError) -> Option<QueryError> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        match (error.downcast_ref::<StoreError>(), error.downcast_ref::<ParquetError>()) {
            (Some(StoreError::NotFound { .. } | StoreError::InvalidPath { .. }), _) => return None,
            (Some(store), _) => return Some(QueryError::Unread(store.to_string())),
            (_, Some(ParquetError::General(text))) if text.contains(STORE_FAILED) => {
                return Some(QueryError::Unread(text.clone()));
            }
            _ => cause = error.source(),
        }
    }
    None
}
