//! Rows as an aligned table: numbers to the right, null as nothing, and no byte that a terminal would obey.

use std::fmt::Write;

use serde_json::Value;

use super::source::Rows;

pub fn text(rows: &Rows) -> String {
    let cells: Vec<Vec<(String, bool)>> =
        rows.data.iter().map(|row| rows.columns.iter().map(|column| cell(row.get(&column.name))).collect()).collect();
    let width = |at: usize| {
        let longest = cells.iter().map(|row| row[at].0.chars().count()).max().unwrap_or(0);
        longest.max(safe(&rows.columns[at].name).chars().count())
    };
    let widths: Vec<usize> = (0..rows.columns.len()).map(width).collect();
    let mut text = String::new();
    let heads = rows.columns.iter().map(|column| (safe(&column.name), false));
    line(&mut text, heads, &widths);
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    text.push_str(&(rule.join("-+-") + "\n"));
    for row in &cells {
        line(&mut text, row.iter().cloned(), &widths);
    }
    let ending = if rows.data.len() == 1 { "row" } else { "rows" };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "({} {ending})", rows.data.len());
    text
}

fn line(text: &mut String, cells: impl Iterator<Item = (String, bool)>, widths: &[usize]) {
    let cells = cells.zip(widths).map(|((cell, is_number), width)| match is_number {
        true => format!("{cell:>width$}"),
        false => format!("{cell:<width$}"),
    });
    let line = cells.collect::<Vec<_>>().join(" | ");
    text.push_str(line.trim_end());
    text.push('\n');
}

/// Its text, and whether it is a number.
fn cell(value: Option<&Value>) -> (String, bool) {
    match value {
        None | Some(Value::Null) => (String::new(), false),
        Some(Value::String(text)) => (safe(text), false),
        Some(value @ Value::Number(_)) => (value.to_string(), true),
        Some(value) => (safe(&value.to_string()), false),
    }
}

fn safe(text: &str) -> String {
    let shown = text.chars().map(|letter| match letter.is_control() {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_is_obeyed() {
        let rows = json!({
            "columns": [{ "name": "name" }, { "name": "count" }],
            "data": [{ "name": "ä", "count": 12_345 }, { "name": "b\u{1b}[2J\n", "count": null }],
            "truncated": false,
        });
        let rows = serde_json::from_value(rows).expect("rows");
        let expected = "name         | count\n-------------+------\nä            | 12345\nb\\u{1b}[2J\\n |\n(2 rows)\n";
        assert_eq!(text(&rows), expected);
    }
}
