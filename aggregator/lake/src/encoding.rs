//! How a table's columns are written to Parquet: compression, encodings, dictionaries, statistics, bloom filters.
//!
//! Chosen by measurement, column by column, with `ridealong-load bytes`; its table in `tests/load/README.md` has the numbers.
//! Every choice is one that deltalake, ClickHouse and Spark read, and none changes a type.

use ridealong_common::table::{Column, ColumnKind, RECEIVED_AT, Table};
use ridealong_engine::datafusion::parquet::basic::{Compression, Encoding, ZstdLevel};
use ridealong_engine::datafusion::parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder,
};
use ridealong_engine::datafusion::parquet::schema::types::ColumnPath;

use crate::schema::TIMESTAMP;

/// In the form that Parquet's Java library takes apart: it ignores statistics of writers that it cannot name.
const CREATED_BY: &str = concat!("ridealong version ", env!("CARGO_PKG_VERSION"));
/// Rows of a row group at most: what one thread of a query takes at a time, and what statistics and bloom filters skip.
pub(crate) const GROUP_ROWS: usize = 262_144;
/// Rows of a page at most: what the page index skips. Pages of 131,072 rows take 3 % less, but a minute of a busy day is less.
const PAGE_ROWS: usize = 20_000;
/// A flush competes with queries and with taking rows: 6 takes a quarter to four fifths more time for 2 to 5 % fewer bytes.
const FLUSH_LEVEL: i32 = 3;
/// Compaction writes once what stays: twice the time of a flush for 3 to 7 % fewer bytes, where 12 adds 1 %.
const SETTLED_LEVEL: i32 = 9;
/// Nobody asks for a range of these, and in files sorted by time every row group has values from all over.
const UNORDERED: [&str; 9] =
    ["path", "query", "headers", "user_agent", "client_address", "ip_address", "properties", "detail", "payload"];
/// Texts that are nearly all distinct: a dictionary would be filled and left.
const DISTINCT: [&str; 2] = ["properties", "payload"];
/// Of lookups of what is not there, the part that a filter does not spare. A hundredth would take twice the bytes.
const BLOOM_FALSE: f64 = 0.05;

/// Files of a flush: written often, and soon replaced by compaction.
pub(crate) fn properties(table: Table) -> WriterProperties {
    written_for(table, Purpose::Flush)
}

/// Files that stay: more time for fewer bytes.
pub(crate) fn settled(table: Table) -> WriterProperties {
    written_for(table, Purpose::Settled)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Flush,
    Settled,
}

fn written_for(table: Table, purpose: Purpose) -> WriterProperties {
    let level = match purpose {
        Purpose::Flush => FLUSH_LEVEL,
        Purpose::Settled => SETTLED_LEVEL,
    };
    let builder = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level).unwrap_or_default()))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Chunk);
    let columns = table.columns().iter();
    let builder = columns.fold(builder, |builder, column| looked_up(encoded(builder, column, purpose), table, column));
    builder.build()
}

fn encoded(builder: WriterPropertiesBuilder, column: &Column, purpose: Purpose) -> WriterPropertiesBuilder {
    let path = ColumnPath::from(column.name);
    let plain = |builder: WriterPropertiesBuilder, encoding| {
        builder.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path.clone(), encoding)
    };
    match column.kind {
        // One value for all rows of a batch, and batches of several agents interleave: 0.65 bytes a row instead of 1.5.
        ColumnKind::Time if column.id == RECEIVED_AT => {
            builder.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED)
        }
        ColumnKind::Time => plain(builder, Encoding::DELTA_BINARY_PACKED),
        // Differences find what ids have in common at once; a thorough zstd finds more without them.
        ColumnKind::Id => match purpose {
            Purpose::Flush => plain(builder, Encoding::DELTA_BYTE_ARRAY),
            Purpose::Settled => plain(builder, Encoding::PLAIN),
        },
        // Durations are nearly all distinct: their bytes, each kind together, are smaller and faster than a dictionary.
        ColumnKind::Integer if column.name.ends_with("_us") => plain(builder, Encoding::BYTE_STREAM_SPLIT),
        // Sizes, counts, places: a dictionary while values repeat, bytes of a kind together once they do not.
        ColumnKind::Integer | ColumnKind::Float => builder.set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT),
        ColumnKind::Text if DISTINCT.contains(&column.name) => plain(builder, Encoding::DELTA_LENGTH_BYTE_ARRAY),
        // A dictionary until it is full.
        ColumnKind::Text => builder.set_column_encoding(path, Encoding::DELTA_LENGTH_BYTE_ARRAY),
        ColumnKind::Boolean | ColumnKind::Sketch => builder,
    }
}

/// Statistics and filters: what lets a query skip rows, and nothing else.
fn looked_up(builder: WriterPropertiesBuilder, table: Table, column: &Column) -> WriterPropertiesBuilder {
    let path = ColumnPath::from(column.name);
    let builder = if has_filter(table, column.name) {
        builder
            .set_column_bloom_filter_fpp(path.clone(), BLOOM_FALSE)
            .set_column_bloom_filter_max_ndv(path.clone(), GROUP_ROWS as u64)
    } else {
        builder
    };
    if column.name == TIMESTAMP || column.kind == ColumnKind::Id {
        return builder.set_column_statistics_enabled(path, EnabledStatistics::Page);
    }
    if UNORDERED.contains(&column.name) {
        return builder.set_column_statistics_enabled(path, EnabledStatistics::None);
    }
    builder
}

/// Events are looked up by ids that callers made: random ones leave bounds nothing to skip. Requests have ids of our own
/// making, which sort by time.
fn has_filter(table: Table, name: &str) -> bool {
    table == Table::Events && matches!(name, "event_id" | "user_id")
}

#[cfg(test)]
mod tests;
