//! The `faceshield` command: reads arguments, calls the crates, turns what they
//! return into text and an exit code.

mod cli;
mod commands;
mod conformance;
mod failure;
mod logging;
mod options;
mod output;
mod places;
mod training;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    failure::install_panic_hook();
    std::panic::catch_unwind(run).unwrap_or(failure::FAILED)
}

fn run() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return failure::report_arguments(&error),
    };
    logging::start(cli.verbose, cli.quiet);
    c10d::torch::cache_cpu_memory();
    match commands::launch::follow_launcher().and_then(|()| commands::run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}
