//! Which events a viewer wants: each field that is given must be equal.

use ridealong_common::block::CheckedBlock;
use ridealong_common::table::events;

use crate::columns::Texts;

/// What is not given is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventFilter {
    pub event_type: Option<Box<str>>,
    pub category: Option<Box<str>>,
    /// An event's `source`.
    pub service: Option<Box<str>>,
    pub environment: Option<Box<str>>,
    pub user_id: Option<Box<str>>,
    pub session_id: Option<Box<str>>,
}

/// A filter made ready for one block: texts are compared once for each distinct one, rows by number.
pub(crate) struct Matcher<'a> {
    /// The column and the number that a row must have there. None: no row of the block can match.
    tests: Option<Vec<(Texts<'a>, u32)>>,
}

impl EventFilter {
    fn fields(&self) -> [(u16, Option<&str>); 6] {
        [
            (events::EVENT_TYPE, self.event_type.as_deref()),
            (events::EVENT_CATEGORY, self.category.as_deref()),
            (events::SOURCE, self.service.as_deref()),
            (events::ENVIRONMENT, self.environment.as_deref()),
            (events::USER_ID, self.user_id.as_deref()),
            (events::SESSION_ID, self.session_id.as_deref()),
        ]
    }

    pub(crate) fn matcher<'a>(&self, block: &'a CheckedBlock) -> Matcher<'a> {
        let test = |(id, wanted): (u16, Option<&str>)| {
            let texts = Texts::of(block, id);
            wanted.map(|wanted| texts.find(wanted).map(|number| (texts, number)))
        };
        Matcher { tests: self.fields().into_iter().filter_map(test).collect() }
    }
}

impl Matcher<'_> {
    pub fn is_match(&self, row: usize) -> bool {
        let holds = |tests: &Vec<(Texts<'_>, u32)>| tests.iter().all(|(texts, number)| texts.number(row) == *number);
        self.tests.as_ref().is_some_and(holds)
    }
}

#[cfg(test)]
mod tests;
