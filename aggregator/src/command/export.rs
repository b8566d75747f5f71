//! `export`: all rows of a table or a statement into a file.

use std::io::{IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command};
use futures::StreamExt;
use ridealong_model::export::ExportFormat;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::progress::Progress;
use super::source::{Pieces, Source, Wanted};

const STANDARD_OUTPUT: &str = "-";

pub fn command() -> Command {
    let argument = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let formats = PossibleValuesParser::new(ExportFormat::ALL.map(ExportFormat::name));
    Command::new("export")
        .about("Write all rows of a table or a statement to a file; through the running server if there is one")
        .arg(argument("sql", "QUERY", "A statement that reads").conflicts_with_all(["table", "from", "to"]))
        .arg(argument("table", "NAME", "A table, all of its columns").required_unless_present("sql"))
        .arg(argument("from", "TIME", "Its rows from this time on (RFC 3339)"))
        .arg(argument("to", "TIME", "Its rows before this time"))
        .arg(argument("format", "FORMAT", "As --output ends unless given, otherwise csv").value_parser(formats))
        .arg(argument("output", "FILE", "Where to; - is standard output").default_value(STANDARD_OUTPUT))
}

pub async fn run(source: &Source, flags: &ArgMatches) -> Result<()> {
    let text = |name: &str| flags.get_one::<String>(name).cloned();
    let wanted = match (text("sql"), text("table")) {
        (Some(sql), _) => Wanted::Sql(sql),
        (None, Some(name)) => Wanted::Table { name, from: text("from"), to: text("to") },
        (None, None) => bail!("say what: --sql QUERY or --table NAME"),
    };
    let output = text("output").unwrap_or_default();
    let format = format(text("format"), &output)?;
    let pieces = source.export(&wanted, format).await?;
    match output.as_str() {
        STANDARD_OUTPUT => to_standard_output(pieces).await,
        path => to_file(pieces, Path::new(path)).await,
    }
}

fn format(named: Option<String>, output: &str) -> Result<ExportFormat> {
    let ending = Path::new(output).extension().and_then(|ending| ending.to_str()).and_then(ExportFormat::from_name);
    match named {
        Some(name) => ExportFormat::from_name(&name).with_context(|| format!("{name} is no format")),
        None => Ok(ending.unwrap_or(ExportFormat::Csv)),
    }
}

/// Only a whole file gets the name that was asked for.
async fn to_file(pieces: Pieces, path: &Path) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let written = write_file(pieces, &part, path).await;
    if written.is_err() {
        // The failure is what counts; a file that is left says by its name that it is not whole.
        let _ = tokio::fs::remove_file(&part).await;
    }
    written
}

async fn write_file(mut pieces: Pieces, part: &Path, path: &Path) -> Result<()> {
    let mut file = File::create(part).await.with_context(|| format!("cannot make {}", part.display()))?;
    let mut progress = Progress::start(path.display().to_string());
    let cannot = || format!("cannot write {}", part.display());
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        file.write_all(&piece).await.with_context(cannot)?;
        progress.add(piece.len());
    }
    file.flush().await.with_context(cannot)?;
    file.sync_all().await.with_context(cannot)?;
    tokio::fs::rename(part, path).await.with_context(|| format!("cannot make {}", path.display()))?;
    progress.end();
    Ok(())
}

pub(super) async fn to_standard_output(mut pieces: Pieces) -> Result<()> {
    let mut out = stdout();
    // A terminal shows the rows themselves.
    let mut progress = (!out.is_terminal()).then(|| Progress::start("standard output".to_owned()));
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        out.write_all(&piece).context("standard output was closed")?;
        progress.iter_mut().for_each(|progress| progress.add(piece.len()));
    }
    out.flush().context("standard output was closed")?;
    progress.into_iter().for_each(Progress::end);
    Ok(())
}
