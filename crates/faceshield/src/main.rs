//! The `faceshield` command: reads arguments, calls the crates, turns what they
//! return into text and an exit code.

mod cli;
mod commands;
mod conformance;
mod failure;
mod logging;
mod memory;
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
    limit_threads();
    match commands::launch::follow_launcher().and_then(|()| commands::run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}

/// libtorch starts a thread for every core of the machine, also where a control group allows the
/// process fewer, as in a container.
fn limit_threads() {
    let cores = std::thread::available_parallelism().map_or(usize::MAX, usize::from);
    if let Ok(cores) = i32::try_from(cores)
        && cores < tch::get_num_threads()
        && std::env::var_os("OMP_NUM_THREADS").is_none()
    {
        tch::set_num_threads(cores);
    }
}
