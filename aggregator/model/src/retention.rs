//! How long rows are kept: rules that an admin sets, and the port between who keeps them and who applies them.

use std::fmt;
use std::time::Duration;

use ridealong_common::table::Table;

/// What becomes of the days of a table as they grow old. A day's age is counted from its end, by `timestamp`, so that
/// days go whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Older days lie in the archive, where queries still find them; None: never.
    pub archive_after: Option<Duration>,
    /// Older days are gone; None: never.
    pub drop_after: Option<Duration>,
}

/// Who keeps the rules.
pub trait RetentionRules: fmt::Debug + Send + Sync {
    fn retention(&self, tenant: &str, table: Table) -> Retention;
}

/// No rules: everything stays where it is.
#[derive(Debug)]
pub struct KeepForEver;

impl RetentionRules for KeepForEver {
    fn retention(&self, _: &str, _: Table) -> Retention {
        Retention::default()
    }
}
