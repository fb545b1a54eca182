//! `events`: the command-line tool of an event log.
//!
//! Each command is a file under `commands`: its arguments, then what it does. What several need stands beside it.

mod commands;
mod connect;
mod database;
mod failure;
mod output;
mod parse;
mod row;
mod whose;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{
    commands::{doctor, export, migrate, purge, tail, timeline},
    connect::Connect,
    failure::Failure,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  fine
  1  something failed, or `doctor` found an error or a danger
  2  the command cannot be run as it was written";

const EXAMPLES: &str = "\
Examples:
  events migrate up                           make the tables
  events doctor                               whether the log is guarded, and what mends it
  events tail --team acme -n 5                the last five events of a team
  events tail --all-teams --follow --json     everything as it comes, for a script
  events timeline campaign 12 --team acme     the history of one object
  events export --all-teams -o log.jsonl      the whole log in a file
  events purge --older-than 730d --reason 'two years, as our policy says' --yes";

/// Look after the event log of a SeaORM application: make its tables, check its guards, read it.
#[derive(Debug, Parser)]
#[command(name = "events", version, after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
#[command(infer_subcommands = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    connect: Connect,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Migrate(migrate::Migrate),
    Doctor(doctor::Doctor),
    Tail(tail::Tail),
    Timeline(timeline::Timeline),
    Export(export::Export),
    Purge(purge::Purge),
}

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Fine,
    /// What was looked for was found, and it is not good.
    Unclean,
}

fn main() -> ExitCode {
    // Before the arguments are read, some of which come from the environment.
    if dotenvy::dotenv().is_err_and(|error| !error.not_found()) {
        output::note("the file .env cannot be read: its variables are not set");
    }
    let cli = Cli::parse();
    match run(cli) {
        Ok(Ended::Fine) | Err(Failure::BrokenPipe) => ExitCode::SUCCESS,
        Ok(Ended::Unclean) => ExitCode::FAILURE,
        Err(Failure::Failed(text)) => {
            output::note(&text);
            ExitCode::FAILURE
        }
        Err(Failure::Usage(text)) => {
            output::note(&text);
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> Result<Ended, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Migrate(migrate) => migrate.run(&cli.connect).await,
            Command::Doctor(doctor) => doctor.run(&cli.connect).await,
            Command::Tail(tail) => tail.run(&cli.connect).await,
            Command::Timeline(timeline) => timeline.run(&cli.connect).await,
            Command::Export(export) => export.run(&cli.connect).await,
            Command::Purge(purge) => purge.run(&cli.connect).await,
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_sound() {
        super::Cli::command().debug_assert();
    }
}
