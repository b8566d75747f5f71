//! `ridealong-agent`: reads its configuration and runs the command it was given.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{ArgMatches, Command};
use ridealong_agent::config::{self, Config, PREFIX, SETTINGS};
use ridealong_agent::live::with_changes;
use ridealong_agent::run::run;
use ridealong_common::settings::{Faults, Layered, environment, with_flags};
use tracing_subscriber::EnvFilter;

/// Exit codes: 0 done, 1 failed, 2 wrong usage (clap's own), 78 bad configuration (`EX_CONFIG` of sysexits).
const BAD_CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let matches = command().get_matches();
    let Some((name, flags)) = matches.subcommand() else { unreachable!("clap requires a subcommand") };
    let (layered, config) = match configuration(name, flags) {
        Ok(read) => read,
        Err(Refused::Configuration(faults)) => return say(&faults.to_string(), BAD_CONFIGURATION),
        Err(Refused::Logging(error)) => return say(&format!("error: {error:#}\n"), 1),
    };
    match name {
        "run" => {
            let flags = flags.clone();
            let gather = Box::new(move || Layered::gather(SETTINGS, PREFIX, &flags, environment()));
            match run(&config, layered, gather) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => say(&format!("error: {error:#}\n"), 1),
            }
        }
        "check" => print("the configuration is valid\n"),
        _ => print(&config::shown(&layered)),
    }
}

fn command() -> Command {
    let with_settings =
        |name: &'static str, about: &'static str| with_flags(Command::new(name).about(about), SETTINGS, PREFIX);
    Command::new("ridealong-agent")
        .about("Rides beside a service: times its HTTP, samples its host, takes its events, delivers to the aggregator")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings("run", "Run the agent"))
        .subcommand(with_settings("check", "Check the configuration and say every fault"))
        .subcommand(with_settings("config", "Show every setting, its value and where it came from"))
}

/// Why there is nothing to run with.
enum Refused {
    Configuration(Faults),
    Logging(anyhow::Error),
}

impl From<Faults> for Refused {
    fn from(faults: Faults) -> Self {
        Refused::Configuration(faults)
    }
}

fn configuration(name: &str, flags: &ArgMatches) -> Result<(Layered, Config), Refused> {
    let layered = Layered::gather(SETTINGS, PREFIX, flags, environment())?;
    let written = Config::check(&layered)?;
    if name == "run" {
        // What was changed while running does not concern the log, and reading it may have something to say there.
        start_logging(&written).map_err(Refused::Logging)?;
    }
    Ok(with_changes(layered, &written.spool)?)
}

/// A plain level is ours; libraries speak from WARN on. Anything else is taken as a filter for all.
fn start_logging(config: &Config) -> Result<()> {
    let level = &config.log_level;
    let plain = level.bytes().all(|letter| letter.is_ascii_alphabetic());
    let filter = if plain { format!("warn,ridealong={level}") } else { level.clone() };
    let filter = EnvFilter::try_new(filter).with_context(|| format!("log-level {level:?} is no filter"))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if config.log_json {
        lines.json().init()
    } else {
        lines.with_target(false).init()
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "what a command answers goes to standard output")]
fn print(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}

#[allow(clippy::print_stderr, reason = "what went wrong goes to standard error")]
fn say(text: &str, code: u8) -> ExitCode {
    eprint!("{text}");
    ExitCode::from(code)
}
