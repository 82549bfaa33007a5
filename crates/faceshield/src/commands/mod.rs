//! One file per command.

pub(crate) mod align;
pub(crate) mod bench;
pub(crate) mod compare;
pub(crate) mod conformance;
pub(crate) mod data;
pub(crate) mod doctor;
pub(crate) mod evaluate;
pub(crate) mod launch;
pub(crate) mod photos;
pub(crate) mod protect;
pub(crate) mod prototypes;
pub(crate) mod stats;
pub(crate) mod train;
pub(crate) mod weights;

use crate::cli::Command;

/// Runs one command to its end.
pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Doctor(args) => doctor::run(&args),
        Command::Data(command) => data::run(&command),
        Command::Align(args) => align::run(&args),
        Command::Stats(args) => stats::run(&args),
        Command::Train(command) => train::run(&command),
        Command::Launch(args) => launch::run(&args),
        Command::Protect(args) => protect::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Prototypes(args) => prototypes::run(&args),
        Command::Weights(command) => weights::run(&command),
        Command::Conformance(args) => conformance::run(&args),
        Command::Bench(command) => bench::run(&command),
    }
}
