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

/// The checkpoint of stage I that this run goes on from.
fn began(plan: &Plan<'_>) -> anyhow::Result<Option<Checkpoint>> {
    let folder = checkpoint::folder(&plan.args.checkpoint_dir, "fse");
    Ok(match &plan.args.resume {
        Resume::Path(path) => Some(checkpoint::find(path, "fse")?),
        Resume::Auto if folder.is_dir() => checkpoint::newest(&folder)?.0,
        Resume::Auto | Resume::None => None,
    })
}

/// The options with as many discriminants as the run has begun with: one from before there were
/// any goes on without.
///
/// # Errors
///
/// It has begun with others.
fn as_begun(options: &FseOptions, began: Option<&Checkpoint>) -> anyhow::Result<FseOptions> {
    let (mut options, ours) = (options.clone(), options.stage.discriminants);
    let Some(began) = began else { return Ok(options) };
    let theirs = began.manifest().configuration.get("discriminants");
    match theirs.map(|theirs| (theirs, theirs.as_integer())) {
        None => options.stage.discriminants = 0,
        Some((_, Some(same))) if usize::try_from(same) == Ok(ours) => {}
        Some((theirs, _)) => anyhow::bail!(
            "checkpoint {}: it was trained with discriminants = {theirs}, this run has {ours}; \
             change discriminants, or start anew with --resume none",
            began.path().display()
        ),
    }
    Ok(options)
}

/// Stage I on the identity encoder.
pub(super) fn fse(
    plan: &Plan<'_>,
    options: &FseOptions,
    images: &DataSet,
    setting: &Setting,
) -> anyhow::Result<Summary> {
    let faces = images.faces(&options.common)?;
    let began = began(plan)?;
    let options = &as_begun(options, began.as_ref())?;
    // Where no encoder is named, it goes on with the one it has begun with.
    let own = began.as_ref().filter(|_| options.common.encoder.encoder_weights.is_empty());
    let dir = &plan.args.checkpoint_dir;
    let encoder = stages::encoder(&options.common, own, Some(dir), setting.device)?;
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
