//! How long a tenant keeps the rows of a table, as it was set.

use std::collections::BTreeMap;
use std::time::Duration;

use ridealong_common::settings::{FromSetting, nearest};
use ridealong_common::table::Table;
use ridealong_model::retention::Retention;
use serde::{Deserialize, Serialize};

/// Less would be taken away while it still comes in.
const AGE_MIN: Duration = Duration::from_secs(3_600);

/// Durations as they were written, such as `30d`. Each at most once; none means never.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TableRetention {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_after: Option<String>,
}

/// By the names of the tables.
pub type Retentions = BTreeMap<String, TableRetention>;

/// The first fault there is, with its key.
pub(crate) fn fault(retentions: &Retentions) -> Option<String> {
    retentions.iter().find_map(|(table, retention)| {
        let known = Table::ALL.map(Table::name);
        if !known.contains(&table.as_str()) {
            let shown: String = table.chars().take(80).collect();
            let near = nearest(&shown, known.into_iter());
            let hint = near.map(|near| format!(", did you mean {near}?")).unwrap_or_default();
            return Some(format!("retention.{shown}: there is no such table{hint} There are: {}", known.join(", ")));
        }
        retention.checked(table).err()
    })
}

/// What is in force, by table. What cannot be read was never let in.
pub(crate) fn in_force(retentions: &Retentions) -> BTreeMap<Table, Retention> {
    let rules = retentions.iter().filter_map(|(name, retention)| {
        let table = Table::ALL.into_iter().find(|table| table.name() == name)?;
        Some((table, retention.checked(name).ok()?))
    });
    rules.collect()
}

impl TableRetention {
    fn checked(&self, table: &str) -> Result<Retention, String> {
        let age = |key: &str, text: &Option<String>| {
            let Some(text) = text else { return Ok(None) };
            let shown: String = text.chars().take(80).collect();
            let fault = |problem: &str| format!("retention.{table}.{key} {problem}; this is {shown:?}");
            let age = Duration::from_setting(text).map_err(|problem| fault(&problem))?;
            if age < AGE_MIN { Err(fault("must be at least 1h")) } else { Ok(Some(age)) }
        };
        let archive_after = age("archiveAfter", &self.archive_after)?;
        let drop_after = age("dropAfter", &self.drop_after)?;
        if let (Some(archived), Some(dropped)) = (archive_after, drop_after)
            && dropped <= archived
        {
            return Err(format!("retention.{table}.dropAfter must be longer than archiveAfter"));
        }
        Ok(Retention { archive_after, drop_after })
    }
}

#[cfg(test)]
mod tests;
