//! A row as JSON and back: what stands in quarantine as the payload of an agent's row. A tracked event has the shape that
//! the JSON doors take; any other row is an object of its columns by their names, null ones left out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ridealong_common::block::{Block, Cell, CheckedBlock};
use ridealong_common::ids::EventId;
use ridealong_common::table::{Column, ColumnKind, RECEIVED_AT, Table, events};
use ridealong_common::time::Timestamp;
use serde_json::{Map, Value};

pub(crate) fn row_json(block: &CheckedBlock, row: usize) -> Value {
    let columns = block.table().columns().iter();
    let members = columns.filter_map(|column| Some((column, value(block, row, column)?)));
    if block.table() == Table::Events {
        return event(members);
    }
    Value::Object(members.map(|(column, value)| (column.name.to_owned(), value)).collect())
}

fn value(block: &CheckedBlock, row: usize, column: &Column) -> Option<Value> {
    Some(match (block.cell(row, column.id), column.kind) {
        (Cell::Null, _) => return None,
        (Cell::Text(text), _) => Value::from(text),
        (Cell::Integer(micros), ColumnKind::Time) => Value::from(Timestamp(micros).to_string()),
        (Cell::Integer(value), ColumnKind::Boolean) => Value::from(value == 1),
        (Cell::Integer(value), _) => Value::from(value),
        (Cell::Float(value), _) => Value::from(value),
        (Cell::Id(id), _) => Value::from(id.to_string()),
        (Cell::Bytes(bytes), _) => Value::from(STANDARD.encode(bytes)),
    })
}

fn event<'a>(members: impl Iterator<Item = (&'a Column, Value)>) -> Value {
    let (mut root, mut context, mut location) = (Map::new(), Map::new(), Map::new());
    for (column, value) in members {
        let object = |value: Value| match value.as_str().map(serde_json::from_str) {
            Some(Ok(object)) => object,
            _ => value,
        };
        let name = column.name.to_owned();
        match column.id {
            events::PROPERTIES => root.insert(name, object(value)),
            events::CONSENT => context.insert(name, object(value)),
            events::USER_AGENT | events::IP_ADDRESS | events::DEVICE_TYPE | events::PLATFORM | events::REFERRER => {
                context.insert(name, value)
            }
            events::COUNTRY | events::REGION | events::CITY | events::LATITUDE | events::LONGITUDE => {
                location.insert(name, value)
            }
            _ => root.insert(name, value),
        };
    }
    if !location.is_empty() {
        context.insert("location".to_owned(), Value::Object(location));
    }
    if !context.is_empty() {
        root.insert("context".to_owned(), Value::Object(context));
    }
    Value::Object(root)
}

/// One row of a table but `events`; the error names the column and the mend.
pub(crate) fn row_block(table: Table, row: &Map<String, Value>) -> Result<Block, String> {
    let columns = || table.columns().iter().filter(|column| column.id != RECEIVED_AT);
    if let Some(unknown) = row.keys().find(|key| !columns().any(|column| column.name == *key)) {
        return Err(format!("{unknown} is no column of {}", table.name()));
    }
    columns().try_fold(Block::of_rows(1), |block, column| match row.get(column.name).filter(|value| !value.is_null()) {
        None => Ok(block),
        Some(value) => {
            with(block, column, value).ok_or_else(|| format!("{} must be {}", column.name, expected(column.kind)))
        }
    })
}

fn with(block: Block, column: &Column, value: &Value) -> Option<Block> {
    let id = column.id;
    Some(match column.kind {
        ColumnKind::Id => block.ids(id, [EventId::from_caller(value.as_str()?)].into_iter()),
        ColumnKind::Time => block.growing(id, [Timestamp::parse(value.as_str()?)?.micros()].into_iter()),
        ColumnKind::Text => block.constant(id, Some(value.as_str()?)),
        ColumnKind::Integer => block.integers(id, [value.as_i64()?].into_iter()),
        ColumnKind::Boolean => block.integers(id, [i64::from(value.as_bool()?)].into_iter()),
        ColumnKind::Float => block.floats(id, [value.as_f64()?].into_iter()),
        ColumnKind::Sketch => block.blobs(id, [STANDARD.decode(value.as_str()?).ok()?].into_iter()),
    })
}

fn expected(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Id | ColumnKind::Text => "a text",
        ColumnKind::Time => "a time in RFC 3339",
        ColumnKind::Integer => "a whole number",
        ColumnKind::Boolean => "true or false",
        ColumnKind::Float => "a number",
        ColumnKind::Sketch => "a sketch in base64",
    }
}
