//! `faceshield stats`: the layer statistics of a data set, as a file.

use std::path::PathBuf;

use crate::failure::misuse;
use crate::options::{FseOptions, Options, Sources, resolve};
use crate::output;
use crate::training::data::DataSet;
use crate::training::{Setting, stages, statistics};

/// Compute the layer statistics of a data set
///
/// Mean, spread and activity of the encoder's features 0 to 10 over all images, and the linear
/// discriminants of people that stage I wants (fse.discriminants). Training computes them by
/// itself; this writes them to a file for `--set stats_file=FILE`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    faceshield stats --preset demo --data datasets/demo --out demo_stats.safetensors")]
pub(crate) struct Args {
    #[command(flatten)]
    sources: Sources,

    /// Where the statistics go
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,

    /// Folder that holds checkpoints_ENCODER, whose newest encoder is used
    #[arg(long, value_name = "DIR", default_value = ".")]
    checkpoint_dir: PathBuf,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.out.extension().is_none_or(|ending| ending != "safetensors") {
        return Err(misuse(format!("--out {}: end it in .safetensors", args.out.display())));
    }
    let options: FseOptions = resolve(&args.sources.layers()?, "fse")?;
    let common = options.common();
    common.data_root()?;
    let setting = Setting::join(&common.engine, None)?;
    let faces = DataSet::open(common, &setting, None)?.faces(common)?;
    let encoder = stages::encoder(common, None, Some(&args.checkpoint_dir), setting.device)?;
    if setting.world.is_main() {
        tracing::info!("{}", encoder.origin());
    }
    let stats = statistics::compute(&options, &faces, &encoder, &setting)?;
    if setting.world.is_main() {
        statistics::write(&stats, &args.out, common)?;
        if args.json {
            output::json(
                &serde_json::json!({ "out": output::path_text(&args.out), "images": stats.images() }),
            )?;
        } else {
            output::line(format_args!("{}: {} images", args.out.display(), stats.images()))?;
        }
    }
    Ok(())
}
