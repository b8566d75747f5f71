//! Who is named by rows of events: whose visits have to be made anew when these change. An empty text names nobody, as in
//! visits: taken for a name, it would be found in events and not in the visits that they have made.

use std::collections::BTreeSet;

use ridealong_engine::datafusion::arrow::array::{Array, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch};
use serde::{Deserialize, Serialize};

/// The columns of ids, in events and in visits.
pub(crate) const COLUMNS: [&str; 3] = ["user_id", "anonymous_id", "session_id"];
/// More are not noted one by one: the visits of everybody are made anew.
const NAMES_MAX: usize = 10_000;

/// Users, visitors and sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum People {
    Named([BTreeSet<String>; COLUMNS.len()]),
    Everybody,
}

impl Default for People {
    fn default() -> Self {
        Self::Named(Default::default())
    }
}

impl People {
    pub fn is_nobody(&self) -> bool {
        matches!(self, Self::Named(names) if names.iter().all(BTreeSet::is_empty))
    }

    /// Those named in the chosen rows, which have the three columns.
    pub fn add_named_in(&mut self, rows: &RecordBatch, chosen: &BooleanArray) {
        let Self::Named(names) = self else { return };
        for (names, column) in names.iter_mut().zip(COLUMNS) {
            let Some(texts) = rows.column_by_name(column).and_then(|texts| texts.as_string_opt::<i32>()) else {
                continue;
            };
            for row in chosen.values().set_indices().filter(|row| texts.is_valid(*row)) {
                let name = texts.value(row);
                if !name.is_empty() && !names.contains(name) {
                    names.insert(name.to_owned());
                }
            }
        }
        self.limit();
    }

    pub fn add_name(&mut self, column: &str, name: &str) {
        let Self::Named(names) = self else { return };
        if let Some(at) = COLUMNS.iter().position(|other| *other == column).filter(|_| !name.is_empty()) {
            names[at].insert(name.to_owned());
        }
    }

    pub fn add(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Named(ours), Self::Named(theirs)) => {
                for (ours, theirs) in ours.iter_mut().zip(theirs) {
                    ours.extend(theirs.iter().cloned());
                }
                self.limit();
            }
            _ => *self = Self::Everybody,
        }
    }

    fn limit(&mut self) {
        if let Self::Named(names) = self
            && names.iter().map(BTreeSet::len).sum::<usize>() > NAMES_MAX
        {
            *self = Self::Everybody;
        }
    }

    /// Rows, of events or of visits, that name one of them.
    pub fn named_in(&self, rows: &RecordBatch) -> BooleanArray {
        let Self::Named(names) = self else {
            return BooleanArray::from(vec![true; rows.num_rows()]);
        };
        let mut named = BooleanBufferBuilder::new(rows.num_rows());
        named.append_n(rows.num_rows(), false);
        for (names, column) in names.iter().zip(COLUMNS).filter(|(names, _)| !names.is_empty()) {
            let Some(texts) = rows.column_by_name(column).and_then(|texts| texts.as_string_opt::<i32>()) else {
                continue;
            };
            for row in 0..texts.len() {
                if texts.is_valid(row) && names.contains(texts.value(row)) {
                    named.set_bit(row, true);
                }
            }
        }
        BooleanArray::new(named.finish(), None)
    }
}
