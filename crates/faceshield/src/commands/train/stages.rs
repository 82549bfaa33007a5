//! Each stage, built and handed to the engine.

use std::sync::Arc;

use faces::Faces;
use train::checkpoint::{self, Checkpoint};
use train::{Resume, Source, Stage, Summary};

use super::Plan;
use crate::failure::Stopped;
use crate::options::{FseOptions, IrcOptions, Options, RecogniserOptions};
use crate::training::data::DataSet;
use crate::training::{Setting, data, recogniser, stages, statistics};

/// The recogniser; at the end its encoder alone is written as well.
pub(super) fn encoder(
    plan: &Plan<'_>,
    options: &RecogniserOptions,
    images: &DataSet,
    setting: &Setting,
) -> anyhow::Result<Summary> {
    let faces = images.faces(&options.common)?;
    let (mut stage, mut singles) = recogniser::build(options, &faces, setting)?;
    let summary = train_stage(plan, options, &mut stage, &mut singles, &faces, setting)?;
    if setting.world.is_main() {
        let dir = &plan.args.checkpoint_dir;
        let file = recogniser::export(&stage, options, summary.steps, dir)?;
        tracing::info!("the encoder alone: {}", file.display());
    }
    Ok(summary)
}

/// The checkpoint of stage I that this run goes on from, where no encoder is named: it goes on
/// with the encoder it has begun with.
fn began(plan: &Plan<'_>, options: &FseOptions) -> anyhow::Result<Option<Checkpoint>> {
    if !options.common.encoder.encoder_weights.is_empty() {
        return Ok(None);
    }
    let folder = checkpoint::folder(&plan.args.checkpoint_dir, "fse");
    Ok(match &plan.args.resume {
        Resume::Path(path) => Some(checkpoint::find(path, "fse")?),
        Resume::Auto if folder.is_dir() => checkpoint::newest(&folder)?.0,
        Resume::Auto | Resume::None => None,
    })
}

/// Stage I on the identity encoder.
pub(super) fn fse(
    plan: &Plan<'_>,
    options: &FseOptions,
    images: &DataSet,
    setting: &Setting,
) -> anyhow::Result<Summary> {
    let faces = images.faces(&options.common)?;
    let began = began(plan, options)?;
    let dir = &plan.args.checkpoint_dir;
    let encoder = stages::encoder(&options.common, began.as_ref(), Some(dir), setting.device)?;
    if setting.world.is_main() {
        tracing::info!("{}", encoder.origin());
    }
    let stats = statistics::load_or_compute(options, &faces, &encoder, setting)?;
    let mut stage = stages::fse(options, encoder, &stats, setting.device)?;
    let mut pairs = data::Pairs::new(&options.common, [0.0; 2], Arc::clone(&faces), setting)?;
    train_stage(plan, options, &mut stage, &mut pairs, &faces, setting)
}

/// Stage II on stage I's result.
pub(super) fn irc(
    plan: &Plan<'_>,
    options: &IrcOptions,
    images: &DataSet,
    setting: &Setting,
) -> anyhow::Result<Summary> {
    let faces = images.faces(&options.common)?;
    let (extractor, found) =
        stages::trained_extractor(options, &plan.args.checkpoint_dir, setting.device)?;
    if setting.world.is_main() {
        tracing::info!("stage II stands on {}", found.display());
    }
    let validation = stages::validation(options, setting)?;
    let mut stage = stages::irc(options, extractor)?.validating(validation);
    let shares = [options.same_share, options.own_share];
    let mut pairs = data::Pairs::new(&options.common, shares, Arc::clone(&faces), setting)?;
    train_stage(plan, options, &mut stage, &mut pairs, &faces, setting)
}

/// Hands one stage to the engine.
///
/// # Errors
///
/// What the engine met; [`Stopped`], after the checkpoint was saved.
fn train_stage<S: Stage, D: Source<Batch = S::Batch>>(
    plan: &Plan<'_>,
    options: &impl Options,
    stage: &mut S,
    source: &mut D,
    faces: &Faces,
    setting: &Setting,
) -> anyhow::Result<Summary> {
    let Setting { world, requests, .. } = setting;
    let (engine, places) = (&options.common().engine, plan.places(options, world)?);
    let name = stage.name();
    let outcome = train::run(stage, source, engine, world, &places, requests);
    data::report_bad_images(faces);
    let summary = outcome?;
    if let Some(stop) = summary.stopped {
        let at = match &summary.checkpoint {
            Some(path) => {
                format!("after step {} of {name}, saved in {}", summary.steps, path.display())
            }
            None => format!("before the first step of {name}"),
        };
        return Err(Stopped(format!("stopped {stop} {at}: run the same command to go on")).into());
    }
    Ok(summary)
}
