//! Rows of events and of visits read as visits, and visits as rows.

use std::sync::Arc;

use ridealong_common::table::{Table, events, visits};
use ridealong_engine::datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use ridealong_engine::datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use ridealong_engine::datafusion::arrow::error::ArrowError;

use super::{KEY, Key, Visit};
use crate::schema::file_schema;

/// A batch whose rows can be read as visits.
pub(super) struct Rows<'a> {
    key: [&'a StringArray; KEY.len()],
    first: &'a [i64],
    received: &'a [i64],
    rest: Rest<'a>,
}

enum Rest<'a> {
    Events { event_type: &'a StringArray, category: &'a StringArray, referrer: &'a StringArray },
    Visits(Box<Gathered<'a>>),
}

struct Gathered<'a> {
    last: &'a [i64],
    /// Of events, pages, errors.
    counts: [&'a [i64]; 3],
    entry_type: &'a StringArray,
    exit_type: &'a StringArray,
    referrer: &'a StringArray,
    referrer_at: &'a TimestampMicrosecondArray,
}

impl<'a> Rows<'a> {
    pub fn of_events(batch: &'a RecordBatch) -> Self {
        let columns = Columns { table: Table::Events, batch };
        Self {
            key: KEY.map(|(_, column)| columns.texts(column)),
            first: columns.times(events::TIMESTAMP).values(),
            received: columns.times(events::RECEIVED_AT).values(),
            rest: Rest::Events {
                event_type: columns.texts(events::EVENT_TYPE),
                category: columns.texts(events::EVENT_CATEGORY),
                referrer: columns.texts(events::REFERRER),
            },
        }
    }

    pub fn of_visits(batch: &'a RecordBatch) -> Self {
        let columns = Columns { table: Table::Visits, batch };
        let counts = [visits::EVENT_COUNT, visits::PAGE_COUNT, visits::ERROR_COUNT];
        Self {
            key: KEY.map(|(column, _)| columns.texts(column)),
            first: columns.times(visits::TIMESTAMP).values(),
            received: columns.times(visits::RECEIVED_AT).values(),
            rest: Rest::Visits(Box::new(Gathered {
                last: columns.times(visits::LAST_TIMESTAMP).values(),
                counts: counts.map(|column| &**columns.of(column).as_primitive::<Int64Type>().values()),
                entry_type: columns.texts(visits::ENTRY_EVENT_TYPE),
                exit_type: columns.texts(visits::EXIT_EVENT_TYPE),
                referrer: columns.texts(visits::REFERRER),
                referrer_at: columns.times(visits::REFERRER_TIMESTAMP),
            })),
        }
    }

    pub fn len(&self) -> usize {
        self.first.len()
    }

    pub fn key(&self, row: usize) -> Key<'a> {
        self.key.map(|column| text(column, row))
    }

    pub fn first(&self, row: usize) -> i64 {
        self.first[row]
    }

    pub fn visit(&self, row: usize) -> Visit<'a> {
        let (key, first, received) = (self.key(row), self.first[row], self.received[row]);
        match &self.rest {
            Rest::Events { event_type, category, referrer } => {
                let (kind, category) = (event_type.value(row), text(category, row));
                Visit {
                    key,
                    first,
                    last: first,
                    received,
                    events: 1,
                    pages: i64::from(is_page(kind, category)),
                    errors: i64::from(is_error(kind, category)),
                    entry_type: kind,
                    exit_type: kind,
                    referrer: text(referrer, row).map(|referrer| (first, referrer)),
                }
            }
            Rest::Visits(rest) => Visit {
                key,
                first,
                last: rest.last[row],
                received,
                events: rest.counts[0][row],
                pages: rest.counts[1][row],
                errors: rest.counts[2][row],
                entry_type: rest.entry_type.value(row),
                exit_type: rest.exit_type.value(row),
                referrer: text(rest.referrer, row).map(|referrer| (rest.referrer_at.value(row), referrer)),
            },
        }
    }
}

/// Segment's `page` calls have the category `page`; others name the type.
fn is_page(event_type: &str, category: Option<&str>) -> bool {
    category == Some("page") || ["page", "page_view"].contains(&event_type)
}

fn is_error(event_type: &str, category: Option<&str>) -> bool {
    category == Some("error") || event_type == "exception"
}

fn text(column: &StringArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row)).filter(|text| !text.is_empty())
}

/// The columns of a batch by their numbers.
struct Columns<'a> {
    table: Table,
    batch: &'a RecordBatch,
}

impl<'a> Columns<'a> {
    fn of(&self, column: u16) -> &'a ArrayRef {
        let at = self.table.columns().iter().position(|known| known.id == column);
        self.batch.column(at.expect("a batch has the columns of its table"))
    }

    fn texts(&self, column: u16) -> &'a StringArray {
        self.of(column).as_string::<i32>()
    }

    fn times(&self, column: u16) -> &'a TimestampMicrosecondArray {
        self.of(column).as_primitive::<TimestampMicrosecondType>()
    }
}

pub(super) fn batch_of(found: &[Visit<'_>]) -> Result<RecordBatch, ArrowError> {
    let columns = Table::Visits.columns().iter().map(|column| array_of(found, column.id));
    RecordBatch::try_new(file_schema(Table::Visits), columns.collect())
}

fn array_of(found: &[Visit<'_>], column: u16) -> ArrayRef {
    let times = |read: fn(&Visit<'_>) -> i64| -> ArrayRef {
        Arc::new(found.iter().map(|visit| Some(read(visit))).collect::<TimestampMicrosecondArray>())
    };
    let integers = |read: fn(&Visit<'_>) -> i64| -> ArrayRef {
        Arc::new(found.iter().map(|visit| Some(read(visit))).collect::<Int64Array>())
    };
    match column {
        visits::TIMESTAMP => times(|visit| visit.first),
        visits::LAST_TIMESTAMP => times(|visit| visit.last),
        visits::RECEIVED_AT => times(|visit| visit.received),
        visits::EVENT_COUNT => integers(|visit| visit.events),
        visits::PAGE_COUNT => integers(|visit| visit.pages),
        visits::ERROR_COUNT => integers(|visit| visit.errors),
        visits::ENTRY_EVENT_TYPE => texts(found.iter().map(|visit| Some(visit.entry_type))),
        visits::EXIT_EVENT_TYPE => texts(found.iter().map(|visit| Some(visit.exit_type))),
        visits::REFERRER => texts(found.iter().map(|visit| visit.referrer.map(|(_, referrer)| referrer))),
        visits::REFERRER_TIMESTAMP => {
            let at = found.iter().map(|visit| visit.referrer.map(|(at, _)| at));
            Arc::new(at.collect::<TimestampMicrosecondArray>())
        }
        of_key => {
            let at = KEY.iter().position(|(column, _)| *column == of_key).expect("every column is written here");
            texts(found.iter().map(|visit| visit.key[at]))
        }
    }
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}
