//! `sql`: one statement, its rows as a table, JSON or CSV.

use std::io::{Read, Write, stdin, stdout};

use anyhow::{Context, Result};
use clap::{Arg, ArgMatches, Command, value_parser};
use ridealong_model::export::ExportFormat;
use ridealong_model::query::{ROWS_DEFAULT, ROWS_MAX, SQL_BYTES_MAX};

use super::source::{Rows, Source, Wanted};
use super::{export, table};

const STANDARD_INPUT: &str = "-";

pub fn command() -> Command {
    Command::new("sql")
        .about("Run a statement that reads; through the running server if there is one")
        .arg(Arg::new("query").value_name("QUERY").required(true).help("The statement; - reads it from standard input"))
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .value_parser(["table", "json", "csv"])
                .default_value("table")
                .help("json: a list of objects; csv: without a limit on rows, as export writes it"),
        )
        .arg(
            Arg::new("max-rows")
                .long("max-rows")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..=ROWS_MAX as u64))
                .help("Rows of a table or of JSON, 1000 unless given, at most 10000"),
        )
}

pub async fn run(source: &Source, flags: &ArgMatches) -> Result<()> {
    let sql = statement(flags.get_one::<String>("query").map_or("", String::as_str))?;
    let rows_max = flags.get_one::<u64>("max-rows").map_or(ROWS_DEFAULT, |rows| *rows as usize);
    match flags.get_one::<String>("format").map(String::as_str) {
        Some("csv") => export::to_standard_output(source.export(&Wanted::Sql(sql), ExportFormat::Csv).await?).await,
        format => show(&source.query(&sql, rows_max).await?, format == Some("json")),
    }
}

fn statement(given: &str) -> Result<String> {
    if given != STANDARD_INPUT {
        return Ok(given.to_owned());
    }
    let mut sql = String::new();
    // One byte too many is told by who runs it.
    stdin().take(SQL_BYTES_MAX as u64 + 1).read_to_string(&mut sql).context("cannot read standard input")?;
    Ok(sql)
}

#[allow(clippy::print_stderr, reason = "what is not a row goes to standard error")]
fn show(rows: &Rows, as_json: bool) -> Result<()> {
    let text = match as_json {
        true => serde_json::to_string(&rows.data).context("cannot write the rows as JSON")? + "\n",
        false => table::text(rows),
    };
    stdout().write_all(text.as_bytes()).context("standard output was closed")?;
    if rows.truncated {
        eprintln!("only the first {} rows; --max-rows raises that, export has no limit", rows.data.len());
    }
    Ok(())
}
