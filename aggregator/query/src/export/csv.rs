//! CSV as RFC 4180 has it: a header line, CRLF, quotes around what needs them and doubled within. An empty field is null
//! and `""` an empty text, as PostgreSQL writes and reads them. Nothing is changed in a value, also not one that a
//! spreadsheet would take for a formula.

use ridealong_engine::datafusion::arrow::array::{Array, AsArray, RecordBatch};
use ridealong_engine::datafusion::arrow::datatypes::{DataType, SchemaRef};
use ridealong_engine::datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use ridealong_engine::datafusion::common::DataFusionError;
use std::fmt::Write;

use crate::answer::with_text_times;

const LINE_END: &[u8] = b"\r\n";

pub(super) fn header(schema: &SchemaRef) -> Vec<u8> {
    let mut line = Vec::new();
    for (at, field) in schema.fields().iter().enumerate() {
        if at > 0 {
            line.push(b',');
        }
        push_text(&mut line, field.name());
    }
    line.extend_from_slice(LINE_END);
    line
}

pub(super) fn lines(batch: &RecordBatch) -> Result<Vec<u8>, DataFusionError> {
    let batch = with_text_times(batch)?;
    let columns = batch.columns().iter().map(|column| Column::of(column)).collect::<Result<Vec<_>, _>>()?;
    let mut lines = Vec::with_capacity(batch.num_rows() * columns.len() * 8);
    let mut scratch = String::new();
    for row in 0..batch.num_rows() {
        for (at, column) in columns.iter().enumerate() {
            if at > 0 {
                lines.push(b',');
            }
            column.push(row, &mut lines, &mut scratch)?;
        }
        lines.extend_from_slice(LINE_END);
    }
    Ok(lines)
}

/// A column by how its values become text.
enum Column<'a> {
    Text(&'a dyn Array),
    /// Lower-case hexadecimal with `\x` before it, as PostgreSQL shows bytes.
    Bytes(&'a dyn Array),
    Other(&'a dyn Array, ArrayFormatter<'a>),
}

impl<'a> Column<'a> {
    fn of(column: &'a dyn Array) -> Result<Self, DataFusionError> {
        Ok(match column.data_type() {
            DataType::Utf8 => Self::Text(column),
            DataType::Binary => Self::Bytes(column),
            _ => Self::Other(column, ArrayFormatter::try_new(column, &FormatOptions::new())?),
        })
    }

    fn push(&self, row: usize, line: &mut Vec<u8>, scratch: &mut String) -> Result<(), DataFusionError> {
        match self {
            Self::Text(column) | Self::Bytes(column) | Self::Other(column, _) if column.is_null(row) => {}
            Self::Text(column) => push_text(line, column.as_string::<i32>().value(row)),
            Self::Bytes(column) => {
                line.extend_from_slice(b"\\x");
                for byte in column.as_binary::<i32>().value(row) {
                    line.extend_from_slice(&[hex(byte >> 4), hex(byte & 15)]);
                }
            }
            Self::Other(_, values) => {
                scratch.clear();
                write!(scratch, "{}", values.value(row)).map_err(|error| DataFusionError::External(Box::new(error)))?;
                push_text(line, scratch);
            }
        }
        Ok(())
    }
}

fn hex(digit: u8) -> u8 {
    b"0123456789abcdef"[usize::from(digit)]
}

fn push_text(line: &mut Vec<u8>, text: &str) {
    let plain = !text.is_empty() && !text.bytes().any(|byte| matches!(byte, b'"' | b',' | b'\r' | b'\n'));
    if plain {
        line.extend_from_slice(text.as_bytes());
        return;
    }
    line.push(b'"');
    for part in text.split_inclusive('"') {
        line.extend_from_slice(part.as_bytes());
        if part.ends_with('"') {
            line.push(b'"');
        }
    }
    line.push(b'"');
}
