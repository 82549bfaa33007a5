//! The identity encoder, stage I and stage II, put together from their options.

use std::path::{Path, PathBuf};

use anyhow::Context;
use encoder::pretraining::STAGE;
use encoder::{FrozenEncoder, HeldOut, Stats};
use fse::{Extractor, FseStage, Painter, PainterFactory};
use irc::{IrcStage, Reconstructor, Validation};
use tch::Device;
use train::checkpoint::{self, Checkpoint};

use super::Setting;
use super::data::DataSet;
use crate::options::{Channels, Common, FseOptions, IrcOptions, folder_of_faces};

/// The identity encoder that the options name: by `encoder_weights`, or, where that is empty,
/// the one in `began` (a checkpoint of stage I that goes on), or the newest of
/// `checkpoints_ENCODER` in `checkpoint_dir`, or a random one.
///
/// # Errors
///
/// A file or checkpoint that cannot be read or holds another model.
pub(crate) fn encoder(
    common: &Common,
    began: Option<&Checkpoint>,
    checkpoint_dir: Option<&Path>,
    device: Device,
) -> anyhow::Result<FrozenEncoder> {
    let (model, seed) = (&common.model, common.engine.seed);
    let given = common.encoder.encoder_weights.as_str();
    let found = match (given, began, checkpoint_dir) {
        (RANDOM, ..) | ("", None, None) => None,
        // One of another model is the engine's to refuse.
        ("", Some(began), _) => Some(began.clone()).filter(|began| fits(began, common).is_ok()),
        ("", None, Some(folder)) => newest_encoder(folder)?,
        (given, ..) if Path::new(given).is_dir() => {
            Some(checkpoint::find(Path::new(given), STAGE)?)
        }
        (given, ..) => return Ok(FrozenEncoder::load(model, Path::new(given), seed, device)?),
    };
    let Some(found) = found else { return Ok(FrozenEncoder::random(model, seed, device)) };
    fits(&found, common)?;
    let file = found.path().join(checkpoint::MODEL);
    Ok(FrozenEncoder::from_checkpoint(model, &found.model()?, &file, device)?)
}

/// The value of `encoder_weights` that asks for no weights at all.
const RANDOM: &str = "random";

/// The newest checkpoint of `train encoder`, if there is one.
fn newest_encoder(checkpoint_dir: &Path) -> anyhow::Result<Option<Checkpoint>> {
    let folder = checkpoint::folder(checkpoint_dir, STAGE);
    // What is no folder holds none; where a run cannot write, the engine says so.
    if !folder.is_dir() {
        return Ok(None);
    }
    let (found, skipped) = checkpoint::newest(&folder)?;
    for torn in skipped {
        tracing::warn!("checkpoint {} skipped: {}", torn.path.display(), torn.problem);
    }
    Ok(found)
}

/// Refuses an encoder of another size, or of another order of colours.
fn fits(found: &Checkpoint, common: &Common) -> anyhow::Result<()> {
    let ours = [
        ("image_size", toml::Value::from(common.model.image_size)),
        ("width_divisor", toml::Value::from(common.model.width_divisor)),
        ("channels", toml::Value::from(common.data.channels.name())),
    ];
    for (key, ours) in ours {
        let theirs = found.manifest().configuration.get(key);
        if let Some(theirs) = theirs.filter(|theirs| **theirs != ours) {
            anyhow::bail!(
                "the identity encoder in {} has {key} = {theirs}, this run has {ours}: train one \
                 that fits (`faceshield train encoder`), set encoder_weights to its file, or \
                 encoder_weights=random to go without",
                found.path().display()
            );
        }
    }
    Ok(())
}

/// Stage I at its start.
///
/// # Errors
///
/// Options that make no sense.
pub(crate) fn fse(
    options: &FseOptions,
    encoder: FrozenEncoder,
    stats: &Stats,
    device: Device,
) -> anyhow::Result<FseStage> {
    let Common { model, engine, .. } = &options.common;
    let (alpha, seed) = (options.stage.initial_alpha, engine.seed);
    let extractor = Extractor::new(model, encoder, stats, alpha, seed, device);
    // Pictures of stage I are painted by what stage II will start from.
    let model = model.clone();
    let painter: PainterFactory = Box::new(move || -> Box<dyn Painter> {
        Box::new(Reconstructor::new(&model, train::mix(seed, 0), device))
    });
    Ok(FseStage::new(extractor, options.stage.clone(), Some(painter))?)
}

/// Stage II at its start, beside the given extractor.
///
/// # Errors
///
/// Options that make no sense; `iid_weights` or `judges` that cannot be read.
pub(crate) fn irc(options: &IrcOptions, extractor: Extractor) -> anyhow::Result<IrcStage> {
    let Common { model, engine, .. } = &options.common;
    let device = extractor.device();
    let judges = recognisers("judges", &options.judges, &options.common, device)?;
    let stage = IrcStage::new(extractor, model, options.stage.clone(), engine.seed)?;
    let stage = stage.judged_by(judges);
    match options.adversary.as_str() {
        "" => Ok(stage),
        file => {
            let origin = recogniser("adversary", Path::new(file), &options.common, device)?;
            Ok(stage.pursued_by(origin)?)
        }
    }
}

/// Who stage II is validated on, and by whom.
///
/// # Errors
///
/// Too few people; `attackers` that cannot be read.
pub(crate) fn validation(
    options: &IrcOptions,
    setting: &Setting,
) -> anyhow::Result<Option<Validation>> {
    let IrcOptions { common, validation_data: root, validation_images: limit, .. } = options;
    if root.is_empty() {
        return Ok(None);
    }
    let faces = DataSet::open_root(&folder_of_faces(root)?, common.links(), setting, None)?;
    let faces = faces.faces_from(common, None)?;
    let people: Vec<usize> = (0..faces.index().people().len()).collect();
    let bgr = common.data.channels == Channels::Bgr;
    let images = HeldOut::new(faces, &people, *limit, bgr).map_err(anyhow::Error::msg)?;
    let attackers = recognisers("attackers", &options.attackers, common, setting.device)?;
    let validation = Validation::new(images, attackers);
    if setting.world.is_main() {
        let (images, people) = validation.size();
        tracing::info!("validation on {images} images of {people} people");
    }
    Ok(Some(validation))
}

/// The recognisers that the key `asked` names.
fn recognisers(
    asked: &str,
    files: &[String],
    common: &Common,
    device: Device,
) -> anyhow::Result<Vec<FrozenEncoder>> {
    files.iter().map(|file| recogniser(asked, Path::new(file), common, device)).collect()
}

/// A recogniser of any width that fits this run's images, from the file that `train encoder` left.
fn recogniser(
    asked: &str,
    file: &Path,
    common: &Common,
    device: Device,
) -> anyhow::Result<FrozenEncoder> {
    let found = super::recogniser::exported(file, device).with_context(|| asked.to_owned())?;
    let (ours, theirs) = (&common.model, &found.config);
    for (key, ours, theirs) in [
        ("image_size", ours.image_size.to_string(), theirs.image_size.to_string()),
        ("channels", common.data.channels.name().to_owned(), found.channels.name().to_owned()),
    ] {
        anyhow::ensure!(
            theirs == ours,
            "{asked}: {} has {key} = {theirs}, this run has {ours}: train one that fits \
             (`faceshield train encoder --set {key}={ours}`)",
            file.display()
        );
    }
    Ok(found.encoder)
}

/// What stage I has learnt, from `fse_checkpoint` or the newest checkpoint in
/// `checkpoint_dir`; and where it was found.
///
/// # Errors
///
/// No checkpoint, another stage's, a damaged one, one of another model.
pub(crate) fn trained_extractor(
    options: &IrcOptions,
    checkpoint_dir: &Path,
    device: Device,
) -> anyhow::Result<(Extractor, PathBuf)> {
    let place = match options.fse_checkpoint.as_str() {
        "" => checkpoint::folder(checkpoint_dir, "fse"),
        given => PathBuf::from(given),
    };
    let found = checkpoint::find(&place, "fse")?;
    let file = found.path().join(checkpoint::MODEL);
    let extractor = Extractor::from_state(&found.model()?, &options.common.model, &file, device)?;
    Ok((extractor, found.path().to_path_buf()))
}
