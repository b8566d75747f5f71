//! How a table's columns are written to Parquet: compression, encodings, dictionaries.

use ridealong_common::table::{ColumnKind, Table};
use ridealong_engine::datafusion::parquet::basic::{Compression, Encoding, ZstdLevel};
use ridealong_engine::datafusion::parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use ridealong_engine::datafusion::parquet::schema::types::ColumnPath;

/// Rows of a row group at most.
pub(crate) const GROUP_ROWS: usize = 262_144;

/// Ids and free text are nearly all distinct: a dictionary only costs there. Times and ids are close to the row before.
pub(crate) fn properties(table: Table) -> WriterProperties {
    let level = ZstdLevel::try_new(3).unwrap_or_default();
    let builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(GROUP_ROWS));
    let builder = table
        .columns()
        .iter()
        .fold(builder, |builder, column| encoded(builder, ColumnPath::from(column.name), column.kind, column.name));
    builder.build()
}

fn encoded(
    builder: WriterPropertiesBuilder,
    path: ColumnPath,
    kind: ColumnKind,
    name: &str,
) -> WriterPropertiesBuilder {
    match kind {
        ColumnKind::Time => builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
        ColumnKind::Id => builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BYTE_ARRAY),
        ColumnKind::Text if name == "properties" => builder.set_column_dictionary_enabled(path, false),
        _ => builder,
    }
}
