//! `faceshield conformance`: the models against cases with known answers.

use std::path::PathBuf;

use crate::commands::align::device;

/// Check the models against conformance cases
///
/// Prints, per tensor, the largest error relative to the tensor's spread, and whether
/// that is within the tolerance. Exit code 1 when any case fails.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  faceshield conformance tests/data/conformance")]
pub(crate) struct Args {
    /// Case files (.safetensors), or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// cpu, cuda, cuda:N or auto
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if crate::conformance::run(&args.paths, device(&args.device)?, args.json)? {
        Ok(())
    } else {
        Err(anyhow::anyhow!("conformance cases failed: see the lines marked above"))
    }
}
