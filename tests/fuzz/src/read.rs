//! Reads whatever was decoded to its end, and holds it to what its types promise.

use ridealong_common::block::{Block, Cell, Values};
use ridealong_common::chunk::{Chunk, Header};
use ridealong_common::frame::Frame;
use ridealong_common::sketch::Sketch;
use ridealong_common::table::{ColumnKind, RECEIVED_AT, Table};

use crate::memory;

/// Single cells are read in this many rows from each end: a cell of a column of differences walks all rows before it.
const ROWS_BY_CELL: usize = 32;

pub fn frame(frame: &Frame) {
    assert!(!frame.chunks.is_empty(), "a frame has chunks");
    for each in &frame.chunks {
        assert_eq!(each.producer, frame.producer, "a frame has one producer");
        chunk(each);
    }
    // It may be over the limit on the way back only by what zstd does.
    if let Ok(bytes) = frame.encode() {
        assert_eq!(Frame::decode(&bytes).as_ref(), Ok(frame), "what is encoded is decoded");
    }
}

pub fn chunk(chunk: &Chunk) {
    assert!(chunk.count > 0 && chunk.end() <= i64::MAX as u64, "numbers fit the integers of SQL");
    let stored = chunk.encode();
    assert_eq!(Chunk::decode(&stored).as_ref(), Ok(chunk), "what is encoded is decoded");
    let header = Header::read(&stored).expect("an encoded chunk has a header");
    assert_eq!((header.first, header.end(), header.table), (chunk.first, chunk.end(), chunk.table));
    block(chunk.table, &chunk.block);
}

pub fn block(table: Table, bytes: &[u8]) {
    let decoded = memory::bounded(memory::columns_max(bytes.len()), || Block::decode(bytes));
    let Ok(decoded) = decoded else { return };
    let Ok(checked) = decoded.check(table) else { return };
    let rows = checked.rows();
    for column in table.columns() {
        let integers = checked.integers(column.id);
        let ids = checked.ids(column.id);
        for row in (0..rows.min(ROWS_BY_CELL)).chain(rows.saturating_sub(ROWS_BY_CELL)..rows) {
            let cell = checked.cell(row, column.id);
            match (column.kind, &cell) {
                (_, Cell::Null) => assert!(column.nullable || column.id == RECEIVED_AT, "{} is null", column.name),
                (ColumnKind::Id, Cell::Id(id)) => assert_eq!(ids[row], *id),
                (ColumnKind::Integer | ColumnKind::Time, Cell::Integer(value)) => {
                    assert_eq!(integers[row], Some(*value))
                }
                (ColumnKind::Boolean, Cell::Integer(value)) => {
                    assert!([0, 1].contains(value));
                    assert_eq!(integers[row], Some(*value));
                }
                (ColumnKind::Float, Cell::Float(value)) => assert!(value.is_finite()),
                (ColumnKind::Text, Cell::Text(_)) => {}
                (ColumnKind::Sketch, Cell::Bytes(bytes)) => assert!(Sketch::decode(bytes).is_ok()),
                (kind, cell) => panic!("{} is {cell:?}, not {kind:?}", column.name),
            }
        }
        if let Some(Values::Dictionary { index, .. }) = checked.values(column.id) {
            assert_eq!(index.len(), rows);
        }
    }
    let again = checked.as_block().encode().expect("what was read can be written");
    // As bytes: a column that this program does not know may hold what is not equal to itself.
    let decoded = Block::decode(&again).expect("what was written can be read");
    assert_eq!(decoded.encode().expect("and written"), again, "what is encoded is decoded");
}

pub fn sketch(bytes: &[u8]) {
    let Ok(mut sketch) = memory::bounded(memory::columns_max(bytes.len()), || Sketch::decode(bytes)) else { return };
    assert_eq!(Sketch::decode(&sketch.encode()).as_ref(), Ok(&sketch), "what is encoded is decoded");
    for quantile in [0.0, 0.5, 0.99, 1.0] {
        let value = sketch.quantile(quantile);
        assert!(value.is_none_or(|value| value.is_finite() && value >= 0.0), "quantile {quantile} is {value:?}");
    }
    let other = sketch.clone();
    sketch.merge(&other);
    assert_eq!(Sketch::decode(&sketch.encode()).as_ref(), Ok(&sketch), "merged, encoded, decoded");
}
