//! `ridealong-aggregator`: reads its configuration and runs the command it was given.

mod command;
mod config;
mod data;
mod lock;
mod logging;
mod memory;
mod serve;

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use ridealong_common::settings::{Layered, with_flags};

use crate::config::{Config, PREFIX, SETTINGS};

/// Exit codes: 0 done, 1 failed, 2 wrong usage (clap's own), 78 bad configuration (`EX_CONFIG` of sysexits).
const BAD_CONFIGURATION: u8 = 78;

const SALVAGE: &str = "salvage";

fn main() -> ExitCode {
    let matches = command().get_matches();
    let Some((name, flags)) = matches.subcommand() else { unreachable!("clap requires a subcommand") };
    if name == "openapi" {
        return print(&ridealong_api::openapi());
    }
    let (layered, config) = match configuration(flags) {
        Ok(read) => read,
        Err(faults) => return say(&faults.to_string(), BAD_CONFIGURATION),
    };
    match name {
        "serve" => match serve::serve(config, &layered.unknown_variables, flags.get_flag(SALVAGE)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => say(&format!("error: {error:#}\n"), 1),
        },
        "check" => print("the configuration is valid\n"),
        "config" => print(&config::shown(&layered)),
        name => match command::run(name, &config, flags) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => say(&format!("error: {error:#}\n"), 1),
        },
    }
}

fn command() -> Command {
    let with_settings =
        |name: &'static str, about: &'static str| with_flags(Command::new(name).about(about), SETTINGS, PREFIX);
    // On the command line only: a file or a variable would salvage again at every start.
    let salvage = Arg::new(SALVAGE)
        .long(SALVAGE)
        .action(ArgAction::SetTrue)
        .help("Before starting, set aside what is damaged in the log, in <data>/log/salvaged, and go on without it");
    Command::new("ridealong-aggregator")
        .about("Takes what agents deliver, keeps it in Delta tables, answers SQL")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings("serve", "Run the aggregator").arg(salvage))
        .subcommand(with_settings("check", "Check the configuration and say every fault"))
        .subcommand(with_settings("config", "Show every setting, its value and where it came from"))
        .subcommands(command::all().map(|command| with_flags(command, SETTINGS, PREFIX)))
        .subcommand(Command::new("openapi").about("Print the description of the HTTP API (OpenAPI 3.1)"))
}

fn configuration(flags: &ArgMatches) -> Result<(Layered, Config), ridealong_common::settings::Faults> {
    let layered = Layered::gather(SETTINGS, PREFIX, flags, ridealong_common::settings::environment())?;
    let config = Config::check(&layered)?;
    Ok((layered, config))
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
