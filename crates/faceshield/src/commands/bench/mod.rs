//! `faceshield bench`: time and memory.

mod limit;
mod step;

/// Measure time and memory
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// One training step on random images
    ///
    /// Prints one JSON object: seconds of a step (minimum and median, after one step that is
    /// not counted), images per second, peak memory in MB (10^6 bytes) of the process, or of
    /// the device on CUDA; and `limit_seconds`, what the step's convolutions and matrix
    /// products take alone, with `ratio_to_limit`, the median step against it.
    #[command(after_help = "Example:\n  \
        faceshield bench step --stage fse --preset published --batch 1 --steps 3")]
    Step(step::Step),
}

pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Step(args) => step::run(args),
    }
}
