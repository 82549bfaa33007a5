//! `faceshield bench step`: one training step.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use encoder::pretraining::EncoderStage;
use encoder::{LayerStats, ModelConfig, READOUT_LAYERS, Stats};
use faces::{FaceBatch, FaceItem, PairBatch, PairItem};
use fse::{Extractor, FseStage};
use irc::IrcStage;
use serde::Serialize;
use tch::{Cuda, Device, Kind, Tensor};
use train::config::Layers;
use train::{Optimizers, Stage, StepInfo, mix};

use super::limit;
use crate::failure::misuse;
use crate::options::{
    Common, FseOptions, IrcOptions, Options, RecogniserOptions, Sources, resolve,
};
use crate::output;
use crate::training::{recogniser, stages};

#[derive(Debug, clap::Args)]
pub(crate) struct Step {
    /// The stage
    #[arg(long, value_name = "encoder|fse|irc")]
    stage: StageName,

    #[command(flatten)]
    sources: Sources,

    /// Pairs (of `encoder`, images) in the batch [default: the preset's]
    #[arg(long, value_name = "B", value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,

    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,

    /// Steps to measure
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,

    /// Keep the Chrome trace of one more step in this file
    #[arg(long, value_name = "FILE.json")]
    profile: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum StageName {
    Encoder,
    Fse,
    Irc,
}

/// What `bench step` prints.
#[derive(Serialize)]
struct Report {
    stage: &'static str,
    preset: String,
    batch: usize,
    device: String,
    threads: i32,
    precision: train::config::Precision,
    step_seconds_median: f64,
    step_seconds_min: f64,
    images_per_second: f64,
    peak_memory_mb: f64,
    limit_seconds: Option<f64>,
    ratio_to_limit: Option<f64>,
    /// Seconds of what is not part of a later step.
    parts: BTreeMap<&'static str, f64>,
}

pub(crate) fn run(args: &Step) -> anyhow::Result<()> {
    let mut layers = args.sources.layers()?;
    if let Some(batch) = args.batch {
        layers.flag("--batch", "batch_size", i64::from(batch));
    }
    if let Some(device) = &args.device {
        layers.flag("--device", "device", device.as_str());
    }
    let started = Instant::now();
    let report = match args.stage {
        StageName::Encoder => {
            let (stage, options) = recogniser(&layers)?;
            measure(stage, random_faces, args, options.common(), started)?
        }
        StageName::Fse => {
            let (stage, options) = fse(&layers)?;
            measure(stage, random_batch, args, options.common(), started)?
        }
        StageName::Irc => {
            let (stage, options) = irc(&layers)?;
            measure(stage, random_batch, args, options.common(), started)?
        }
    };
    output::json(&report)
}

/// People that the recogniser tells apart.
const PEOPLE: usize = 300;

/// The recogniser's training as `train encoder` makes it, for [`PEOPLE`] people.
pub(super) fn recogniser(layers: &Layers) -> anyhow::Result<(EncoderStage, RecogniserOptions)> {
    let options: RecogniserOptions = resolve(layers, encoder::pretraining::STAGE)?;
    let device = device(options.common())?;
    let start = recogniser::start(&options, device)?;
    Ok((recogniser::stage(&options, &start, PEOPLE, device)?, options))
}

/// Stage I as `train fse` makes it, on statistics that need no data.
pub(super) fn fse(layers: &Layers) -> anyhow::Result<(FseStage, FseOptions)> {
    let options: FseOptions = resolve(layers, "fse")?;
    let device = device(options.common())?;
    let (encoder, stats) = frozen(options.common(), device)?;
    Ok((stages::fse(&options, encoder, &stats, device)?, options))
}

/// Stage II on a fresh stage I.
pub(super) fn irc(layers: &Layers) -> anyhow::Result<(IrcStage, IrcOptions)> {
    let options: IrcOptions = resolve(layers, "irc")?;
    let (common, device) = (options.common(), device(options.common())?);
    let (encoder, stats) = frozen(common, device)?;
    let (model, seed) = (&common.model, common.engine.seed);
    let extractor = Extractor::new(model, encoder, &stats, 5.0, seed, device);
    Ok((stages::irc(&options, extractor)?, options))
}

pub(super) fn device(common: &Common) -> anyhow::Result<Device> {
    common.engine.apply()?;
    common.engine.device(0).map_err(|error| misuse(error.to_string()))
}

pub(super) fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}

/// An encoder, and statistics that need no data: mean 0, spread 1, all active.
fn frozen(common: &Common, device: Device) -> anyhow::Result<(encoder::FrozenEncoder, Stats)> {
    Ok((stages::encoder(common, None, None, device)?, plain_stats(&common.model)))
}

fn plain_stats(model: &ModelConfig) -> Stats {
    let on_cpu = (Kind::Float, Device::Cpu);
    let layer = |&(channels, side): &(i64, i64)| {
        let shape = [channels, side, side];
        LayerStats::from_parts(
            Tensor::zeros(shape, on_cpu),
            &Tensor::ones(shape, on_cpu),
            &Tensor::ones(shape, on_cpu),
        )
    };
    let layers = model.feature_shapes()[..READOUT_LAYERS].iter().map(layer).collect();
    Stats { layers }
}

/// `batch` pairs of random images.
fn random_batch(model: &ModelConfig, batch: usize, seed: u64) -> anyhow::Result<PairBatch> {
    let images = |stream| random_images(model, batch, mix(seed, stream));
    let item = |k: usize| PairItem {
        position: k as u64,
        source: 2 * k,
        target: 2 * k + 1,
        relation: faces::Relation::Different,
        seed: mix(seed, 2 + k as u64),
    };
    let items: Vec<PairItem> = (0..batch).map(item).collect();
    let names = vec!["random numbers".to_owned(); batch];
    Ok(PairBatch { source: images(0)?, target: images(1)?, items, names })
}

/// `batch` random images, each of another person.
fn random_faces(model: &ModelConfig, batch: usize, seed: u64) -> anyhow::Result<FaceBatch> {
    let images = random_images(model, batch, mix(seed, 0))?;
    let item = |k: usize| FaceItem {
        position: k as u64,
        image: k,
        label: k % PEOPLE,
        seed: mix(seed, 2 + k as u64),
    };
    let names = vec!["random numbers".to_owned(); batch];
    Ok(FaceBatch { images, items: (0..batch).map(item).collect(), names })
}

fn random_images(model: &ModelConfig, count: usize, seed: u64) -> anyhow::Result<Tensor> {
    let shape = [count as i64, 3, model.image_size, model.image_size];
    let noise = c10d::torch::randn_seeded(&shape, seed, Kind::Float, Device::Cpu)?;
    Ok(((noise + 1.0) * 127.5).clamp(0.0, 255.0).to_kind(Kind::Uint8))
}

fn measure<S: Stage>(
    mut stage: S,
    random: impl Fn(&ModelConfig, usize, u64) -> anyhow::Result<S::Batch>,
    args: &Step,
    common: &Common,
    started: Instant,
) -> anyhow::Result<Report> {
    let (engine, device) = (&common.engine, device(common)?);
    let world = c10d::World::solo();
    let batch = random(&common.model, engine.batch_size, engine.seed)?;
    let mut optimizers = Optimizers::new(&world, stage.groups(), engine)?;
    let mut parts = BTreeMap::from([("build", started.elapsed().as_secs_f64())]);
    let mut step = |step: u64| -> anyhow::Result<f64> {
        let step = step + 1;
        let info = StepInfo {
            epoch: 0,
            batch: step,
            step,
            // Past every warm-up: all terms at their weights.
            total: 1,
            seed: mix(engine.seed, step),
            log_due: false,
            preview_due: false,
        };
        let start = Instant::now();
        optimizers.begin_step(engine.lr);
        let _precision = engine.precision.enter(device);
        stage.step(&batch, &mut optimizers, &info).map_err(|error| anyhow::anyhow!("{error}"))?;
        if let Device::Cuda(index) = device {
            Cuda::synchronize(index as i64);
        }
        Ok(start.elapsed().as_secs_f64())
    };
    // One more than asked for: the first step also allocates.
    let steps = u64::from(args.steps);
    let mut seconds = (0..=steps).map(&mut step).collect::<Result<Vec<_>, _>>()?;
    let peak = train::peak_memory_mb(device);
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let trace = args.profile.clone().unwrap_or_else(|| scratch.path().join("step.json"));
    let profile = c10d::torch::Profile::start()?;
    step(steps + 1)?;
    profile.save(&trace)?;
    // What was measured is worth printing without it.
    let limit = limit::seconds(&trace, &scratch.path().join("alone.json"), device)
        .inspect_err(|error| tracing::warn!("no limit: {error:#}"))
        .ok();
    parts.insert("first_step", seconds.remove(0));
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    Ok(Report {
        stage: stage.name(),
        preset: args.sources.run_name(),
        batch: engine.batch_size,
        device: name(device),
        threads: tch::get_num_threads(),
        precision: engine.precision,
        step_seconds_median: median,
        step_seconds_min: seconds[0],
        images_per_second: engine.batch_size as f64 / median,
        peak_memory_mb: peak,
        limit_seconds: limit,
        ratio_to_limit: limit.map(|limit| median / limit),
        parts,
    })
}
