//! The fields that have one case.

use ridealong_common::block::{Block, CheckedBlock};
use ridealong_common::table::events;
use serde_json::Value;

use super::{Change, text_of};

pub(super) struct Cased {
    id: u16,
    field: &'static str,
    is_upper: bool,
}

/// In the order in which the fields of an event are given to them.
pub(super) const CASED: [Cased; 4] = [
    Cased { id: events::COUNTRY, field: "context.location.country", is_upper: true },
    Cased { id: events::EVENT_CATEGORY, field: "eventCategory", is_upper: false },
    Cased { id: events::ENVIRONMENT, field: "environment", is_upper: false },
    Cased { id: events::DEVICE_TYPE, field: "context.deviceType", is_upper: false },
];

impl Cased {
    /// The text in its case, when it is in another. A country that is no code is a name and stays.
    pub fn change(&self, text: &str) -> Option<(String, Change)> {
        let after = match self.is_upper {
            true if text.len() == 2 => text.to_ascii_uppercase(),
            true => return None,
            false => text.to_lowercase(),
        };
        let change = || Change {
            field: self.field.to_owned(),
            rule: "casing",
            before: Value::from(text),
            after: Value::from(after.as_str()),
        };
        (after != text).then(|| (after.clone(), change()))
    }

    /// The column in its case, put into `columns` when any row of it changes.
    pub fn correct(&self, block: &CheckedBlock, columns: Block, changes: &mut [Vec<Change>]) -> Block {
        let mut any = false;
        let texts: Vec<Option<String>> = (0..block.rows())
            .map(|row| {
                let text = text_of(block, row, self.id)?;
                let Some((after, change)) = self.change(text) else { return Some(text.to_owned()) };
                any = true;
                changes[row].push(change);
                Some(after)
            })
            .collect();
        if any { columns.texts(self.id, texts.iter().map(Option::as_deref)) } else { columns }
    }
}
