//! `faceshield bench`: time and memory.

mod checkpoint;
mod cosines;
mod limit;
mod loader;
mod perturb;
mod process;
mod step;
mod synth;

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
    /// Loading faces: from files on disk to normalised tensors on the CPU
    ///
    /// Prints one JSON object: images per second, processor time per image in ms (of all
    /// threads together, and so per image and core), peak memory in MB (10^6 bytes) and how
    /// much the resident size grew. A tenth of the images more is loaded before, uncounted.
    /// For the time of one core alone, give --set workers=1 --set threads=1.
    #[command(after_help = "Examples:\n  \
        faceshield bench loader --preset published --data /data/faces\n  \
        faceshield bench loader --preset published --data /data/faces --batch 8 \
        --set decoded_cache=faces_512.safetensors")]
    Loader(loader::Loader),
    /// Saving a stage's checkpoint: with the run waiting, and in the background
    ///
    /// Prints one JSON object: seconds of a whole save, and seconds that a step waits when the
    /// files are written while the run goes on; a first save is not counted.
    #[command(after_help = "Example:\n  \
        faceshield bench checkpoint --stage irc --preset published --dir /data/runs")]
    Checkpoint(checkpoint::Checkpoint),
    /// Perturbing identities, on one core; or how much of an identity each ε leaves
    ///
    /// Prints, per mechanism, samples (of the angle to the identity, or of the index into the
    /// codebook) and whole vectors per second of processor time, each the median of five rounds.
    /// With --table it prints the mean cosine between identity and drawn vector instead, per ε.
    #[command(after_help = "Examples:\n  \
        faceshield bench perturb --json\n  \
        faceshield bench perturb --table")]
    Perturb(perturb::Perturb),
    /// Drawing synthetic faces: alone, and with PNG files written
    ///
    /// Prints one JSON object: images per second and processor time per image in ms (of all
    /// threads together, and so per image and core), for drawing alone and for drawing, encoding
    /// and writing. A tenth of the images more is drawn before, uncounted.
    #[command(after_help = "Example:\n  faceshield bench synth --size 256")]
    Synth(synth::Synth),
}

pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Step(args) => step::run(args),
        Command::Loader(args) => loader::run(args),
        Command::Checkpoint(args) => checkpoint::run(args),
        Command::Perturb(args) => perturb::run(args),
        Command::Synth(args) => synth::run(args),
    }
}
