//! The command line: global options and the list of commands.

use clap::{Parser, Subcommand};

use crate::commands::{
    align, bench, compare, conformance, data, doctor, evaluate, launch, protect, prototypes, stats,
    train, weights,
};

/// Protects faces in photos, and trains the models that do it.
#[derive(Debug, Parser)]
#[command(name = "faceshield", version, propagate_version = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 misused.\n\
    Training adds 75: stopped by a signal or --max-hours, the same command goes on.\n\
    Start here: faceshield data demo && faceshield train all --preset demo")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Log details as well
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,

    /// Log warnings only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what this machine offers, what is missing, and the command that mends it
    Doctor(doctor::Args),
    /// Get, index and check data sets of faces
    #[command(subcommand)]
    Data(data::Command),
    /// Find and cut faces out of photos
    Align(align::Args),
    /// Compute the layer statistics of a data set
    Stats(stats::Args),
    /// Train the recogniser, stage I, stage II, or both stages
    #[command(subcommand)]
    Train(train::Command),
    /// Start several ranks of a command on this machine
    Launch(launch::Args),
    /// Protect the faces in photos
    Protect(Box<protect::Args>),
    /// Measure privacy and utility of a model, or of photos protected by anything
    Evaluate(Box<evaluate::Args>),
    /// Put several evaluations beside each other
    Compare(compare::Args),
    /// Make the public identities that protected faces are given
    Prototypes(prototypes::Args),
    /// Look into weight files and convert them
    #[command(subcommand)]
    Weights(weights::Command),
    /// Check the models against conformance cases
    Conformance(conformance::Args),
    /// Measure time and memory
    #[command(subcommand)]
    Bench(bench::Command),
}
