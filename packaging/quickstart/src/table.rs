//! The table of routes and the line of totals, as text that fits a given width. Knows nothing of terminals.

mod number;

use crate::measurement::RouteRow;
pub use number::{milliseconds, thousands};

const INDENT: usize = 2;
const GAP: usize = 2;
/// Below this a route says too little: columns give way first.
const ROUTE_MIN: usize = 14;
/// What separates two totals.
const BETWEEN: &str = " · ";

/// What there is to write on.
#[derive(Clone, Copy, Debug)]
pub struct Paper {
    /// In characters.
    pub width: usize,
    /// Lines for routes; the rarest share the last one.
    pub routes_max: usize,
    pub is_coloured: bool,
}

/// A column of numbers, as text.
struct Column {
    header: &'static str,
    /// Numbers grow while one watches; a column should not.
    width_min: usize,
    cells: Vec<String>,
    is_alarming: bool,
}

impl Column {
    fn new(header: &'static str, width_min: usize, cells: impl Iterator<Item = String>) -> Self {
        Self { header, width_min, cells: cells.collect(), is_alarming: false }
    }

    fn width(&self) -> usize {
        let longest = self.cells.iter().map(String::len).max().unwrap_or(0);
        longest.max(self.header.len()).max(self.width_min)
    }

    fn cell(&self, at: usize, paper: &Paper) -> String {
        let (text, width) = (&self.cells[at], self.width());
        let is_red = paper.is_coloured && self.is_alarming && text != "0";
        if is_red { format!("\x1b[31m{text:>width$}\x1b[0m") } else { format!("{text:>width$}") }
    }
}

/// A header, a line for each route, and a word on those for which there was no room.
pub fn lines(routes: &[RouteRow], paper: &Paper) -> Vec<String> {
    let is_cut = routes.len() > paper.routes_max;
    let shown = &routes[..if is_cut { paper.routes_max.saturating_sub(1) } else { routes.len() }];
    let longest = shown.iter().map(|row| row.route.chars().count()).max().unwrap_or(0).max(ROUTE_MIN);
    let columns = fitting(columns(shown), longest, paper.width);
    let route_width = longest.min(paper.width.saturating_sub(taken(&columns))).max(1);
    let mut lines = vec![header(&columns, route_width, paper)];
    lines.extend(shown.iter().enumerate().map(|(at, row)| {
        let cells: String = columns.iter().map(|column| format!("{:GAP$}{}", "", column.cell(at, paper))).collect();
        format!("{:INDENT$}{:<route_width$}{cells}", "", cut(&row.route, route_width))
    }));
    if is_cut {
        let rest = &routes[shown.len()..];
        let requests: u64 = rest.iter().map(|row| row.requests).sum();
        let text = format!("and {} more routes with {} requests", rest.len(), thousands(requests));
        lines.push(format!("{:INDENT$}{}", "", cut(&text, paper.width.saturating_sub(INDENT))));
    }
    lines
}

/// The totals one after the other, on as few lines as they need.
pub fn totals(parts: &[String], paper: &Paper) -> Vec<String> {
    let width = paper.width.saturating_sub(INDENT);
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        let part = cut(part, width);
        match lines.last_mut() {
            Some(line) if line.chars().count() + BETWEEN.chars().count() + part.chars().count() <= width => {
                line.push_str(BETWEEN);
                line.push_str(&part);
            }
            _ => lines.push(part),
        }
    }
    lines.into_iter().map(|line| format!("{:INDENT$}{line}", "")).collect()
}

fn columns(routes: &[RouteRow]) -> Vec<Column> {
    let counts = |of: fn(&RouteRow) -> u64| routes.iter().map(move |row| thousands(of(row)));
    let times = |of: fn(&RouteRow) -> f64| routes.iter().map(move |row| milliseconds(of(row)));
    vec![
        Column::new("requests", 8, counts(|row| row.requests)),
        Column { is_alarming: true, ..Column::new("errors", 6, counts(|row| row.errors)) },
        Column::new("p50 ms", 8, times(|row| row.p50_ms)),
        Column::new("p95 ms", 8, times(|row| row.p95_ms)),
        Column::new("p99 ms", 8, times(|row| row.p99_ms)),
    ]
}

/// On a narrow paper the least telling columns go, one after the other.
fn fitting(mut columns: Vec<Column>, longest: usize, width: usize) -> Vec<Column> {
    for expendable in ["p50 ms", "p99 ms", "errors", "p95 ms"] {
        if taken(&columns) + longest.min(ROUTE_MIN) <= width {
            break;
        }
        columns.retain(|column| column.header != expendable);
    }
    columns
}

/// The width of everything but the routes.
fn taken(columns: &[Column]) -> usize {
    INDENT + columns.iter().map(|column| GAP + column.width()).sum::<usize>()
}

fn header(columns: &[Column], route_width: usize, paper: &Paper) -> String {
    let titles = columns.iter().map(|column| format!("{:GAP$}{:>width$}", "", column.header, width = column.width()));
    let text = format!("{:INDENT$}{:<route_width$}{}", "", cut("route", route_width), titles.collect::<String>());
    if paper.is_coloured { format!("\x1b[1m{text}\x1b[0m") } else { text }
}

/// At most so many characters, and none that would move a terminal's cursor.
fn cut(text: &str, width: usize) -> String {
    let plain = |letter: char| if letter.is_control() { '\u{fffd}' } else { letter };
    let mut short: String = text.chars().map(plain).take(width).collect();
    if text.chars().count() > width {
        short.pop();
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
