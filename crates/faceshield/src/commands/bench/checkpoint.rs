//! `faceshield bench checkpoint`: how long a save keeps a run waiting.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use c10d::World;
use serde::Serialize;
use train::checkpoint::{Contents, FORMAT, Manifest, Outcome, Saver};
use train::{Optimizers, Stage};

use super::step::{self, StageName};
use crate::options::{Common, Options, Sources};
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Checkpoint {
    /// The stage
    #[arg(long, value_name = "encoder|fse|irc")]
    stage: StageName,

    #[command(flatten)]
    sources: Sources,

    /// Where to write, into a folder of its own that is removed again
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,

    /// Saves to measure, of each kind
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    saves: u32,
}

/// What `bench checkpoint` prints.
#[derive(Serialize)]
struct Report {
    stage: &'static str,
    preset: String,
    device: String,
    checkpoint_mb: f64,
    blocking_seconds_median: f64,
    blocking_seconds_min: f64,
    /// What a step waits for when the rest happens in the background.
    stall_seconds_median: f64,
    stall_seconds_min: f64,
    /// Median against median.
    stall_to_blocking: f64,
    peak_memory_mb: f64,
}

pub(crate) fn run(args: &Checkpoint) -> anyhow::Result<()> {
    let layers = args.sources.layers()?;
    match args.stage {
        StageName::Encoder => {
            let (stage, options) = step::recogniser(&layers)?;
            measure(&stage, args, options.common())
        }
        StageName::Fse => {
            let (stage, options) = step::fse(&layers)?;
            measure(&stage, args, options.common())
        }
        StageName::Irc => {
            let (stage, options) = step::irc(&layers)?;
            measure(&stage, args, options.common())
        }
    }
}

fn measure<S: Stage>(stage: &S, args: &Checkpoint, common: &Common) -> anyhow::Result<()> {
    let (world, engine) = (World::solo(), &common.engine);
    let device = step::device(common)?;
    let optimizers = Optimizers::new(&world, stage.groups(), engine)?;
    for tensor in optimizers.state().values() {
        // Zeros have no memory of their own before they are written for the first time.
        let _ = tensor.shallow_clone().f_fill_(0.0)?;
    }
    let folder = tempfile::tempdir_in(&args.dir)
        .with_context(|| format!("cannot write into {}", args.dir.display()))?;
    let mut saver = Saver::new(files::Folder::at(folder.path()), &world);
    let mut bytes = 0;
    // The same step again and again: the disk is asked for one checkpoint's room.
    let mut save = |wait: bool| -> anyhow::Result<f64> {
        let manifest = Manifest {
            format: FORMAT,
            stage: stage.name().to_owned(),
            step: 0,
            epoch: 0,
            batch: 0,
            dealt: 0,
            world_size: 1,
            batch_size: engine.batch_size,
            seed: engine.seed,
            fidelity: common.model.fidelity.to_string(),
            bad_steps: Default::default(),
            configuration: toml::Table::new(),
            files: BTreeMap::new(),
            checksum: String::new(),
        };
        let started = Instant::now();
        let rank = BTreeMap::new();
        let contents = Contents::gather(manifest, BTreeMap::new(), stage, &optimizers, rank);
        bytes = contents.bytes();
        let mut outcomes = saver.start(contents)?;
        let stall = started.elapsed().as_secs_f64();
        outcomes.extend(saver.settle()?);
        for outcome in outcomes {
            if let Outcome::Failed(error) = outcome {
                return Err(error.into());
            }
        }
        Ok(if wait { started.elapsed().as_secs_f64() } else { stall })
    };
    // One more than asked for: the first also allocates the copy.
    save(true)?;
    let mut times = |wait| -> anyhow::Result<Vec<f64>> {
        let mut times = (0..args.saves).map(|_| save(wait)).collect::<Result<Vec<_>, _>>()?;
        times.sort_by(f64::total_cmp);
        Ok(times)
    };
    let (blocking, stall) = (times(true)?, times(false)?);
    let median = |times: &[f64]| times[times.len() / 2];
    output::json(&Report {
        stage: stage.name(),
        preset: args.sources.run_name(),
        device: step::name(device),
        checkpoint_mb: bytes as f64 / 1e6,
        blocking_seconds_median: median(&blocking),
        blocking_seconds_min: blocking[0],
        stall_seconds_median: median(&stall),
        stall_seconds_min: stall[0],
        stall_to_blocking: median(&stall) / median(&blocking),
        peak_memory_mb: train::peak_memory_mb(device),
    })
}
