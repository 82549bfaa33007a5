//! The training of the recogniser, put together from its options: who is learnt from, who is
//! held out, and where the result goes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use encoder::pretraining::{EncoderStage, Verification};
use encoder::{FrozenEncoder, HeldOut, ModelConfig, Origin};
use faces::{Faces, Split};
use tch::Device;

use super::Setting;
use super::data::{DataSet, Singles};
use crate::failure::misuse;
use crate::options::{Channels, RecogniserOptions, folder_of_faces};

/// The name of the exported encoder in the folder of checkpoints.
const EXPORT: &str = "encoder.safetensors";

/// What training starts from: `encoder_weights`, or random ones. Not the newest checkpoint of
/// an earlier training: a run that goes on resumes it, another one starts anew.
///
/// # Errors
///
/// Weights that cannot be read or are another model's.
pub(crate) fn start(options: &RecogniserOptions, device: Device) -> anyhow::Result<FrozenEncoder> {
    super::stages::encoder(&options.common, None, None, device)
}

/// The stage at its start, without validation.
///
/// # Errors
///
/// Options that make no sense.
pub(crate) fn stage(
    options: &RecogniserOptions,
    start: &FrozenEncoder,
    people: usize,
    device: Device,
) -> anyhow::Result<EncoderStage> {
    let (model, seed) = (&options.common.model, options.common.engine.seed);
    Ok(EncoderStage::new(model, start, people, options.stage.clone(), seed, device)?)
}

/// Stage, and this rank's images to learn from.
///
/// # Errors
///
/// Too few people or images to learn from or to validate on; those of [`stage`].
pub(crate) fn build(
    options: &RecogniserOptions,
    faces: &Arc<Faces>,
    setting: &Setting,
) -> anyhow::Result<(EncoderStage, Singles)> {
    let common = &options.common;
    // Not where options are checked: there they may be meant for the other stages.
    if common.engine.batch_size < 2 {
        return Err(misuse("encoder.batch_size = 1: batch norms need two images or more"));
    }
    let index = faces.index();
    let (people, verification) = match options.validation_data.as_str() {
        "" => {
            let split = Split::new(index, options.validation_people, common.engine.seed)?;
            let held_out = match split.held_out[..] {
                [] => None,
                _ => Some(verification(options, Arc::clone(faces), &split.held_out)?),
            };
            (split.training, held_out)
        }
        root => {
            let others =
                DataSet::open_root(&folder_of_faces(root)?, common.links(), setting, None)?;
            let others = others.faces_from(common, None)?;
            let all: Vec<usize> = (0..others.index().people().len()).collect();
            let everybody = (0..index.people().len()).collect();
            (everybody, Some(verification(options, others, &all)?))
        }
    };
    let start = start(options, setting.device)?;
    if setting.world.is_main() {
        let (images, others) = verification.as_ref().map_or((0, 0), Verification::size);
        let from = match start.origin() {
            Origin::File(path) => path.display().to_string(),
            Origin::Random(seed) => format!("random weights (seed {seed})"),
        };
        tracing::info!(
            "the recogniser learns {} people from {from}; validation on {images} images of \
             {others} others",
            people.len()
        );
    }
    let stage = stage(options, &start, people.len(), setting.device)?.validating(verification);
    Ok((stage, Singles::new(common, &people, Arc::clone(faces), setting)?))
}

fn verification(
    options: &RecogniserOptions,
    faces: Arc<Faces>,
    people: &[usize],
) -> anyhow::Result<Verification> {
    let bgr = options.common.data.channels == Channels::Bgr;
    let limit = options.validation_images;
    let images = HeldOut::new(faces, people, limit, bgr).map_err(anyhow::Error::msg)?;
    Ok(Verification::new(images))
}

/// Rank 0: writes the encoder alone, under its published names, beside its checkpoints.
///
/// # Errors
///
/// When the disk refuses.
pub(crate) fn export(
    stage: &EncoderStage,
    options: &RecogniserOptions,
    steps: u64,
    checkpoint_dir: &Path,
) -> anyhow::Result<PathBuf> {
    let common = &options.common;
    let metadata: BTreeMap<String, String> = [
        ("channels", common.data.channels.name().to_owned()),
        ("image_size", common.model.image_size.to_string()),
        ("width_divisor", common.model.width_divisor.to_string()),
        ("step", steps.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    let file = checkpoint_dir.join(EXPORT);
    weights::write_safetensors(&file, &stage.weights(), &metadata)?;
    Ok(file)
}

/// A recogniser of any width, with what its file says of itself.
pub(crate) struct Exported {
    pub(crate) encoder: FrozenEncoder,
    pub(crate) config: ModelConfig,
    pub(crate) channels: Channels,
}

/// Reads the file that [`export`] wrote.
///
/// # Errors
///
/// A file that cannot be read, or is another one.
pub(crate) fn exported(file: &Path, device: Device) -> anyhow::Result<Exported> {
    let archive = weights::read(file)?;
    let at = file.display();
    let said = |key: &str| {
        archive.metadata.get(key).with_context(|| {
            format!("{at} does not say its {key}: give a file that `faceshield train encoder` left")
        })
    };
    let number = |key: &str| {
        let value = said(key)?;
        value.parse().with_context(|| format!("{at}: {key} = {value}"))
    };
    let config = ModelConfig {
        image_size: number("image_size")?,
        width_divisor: number("width_divisor")?,
        ..ModelConfig::default()
    };
    config.validate().with_context(|| at.to_string())?;
    let channels = match said("channels")?.as_str() {
        name if name == Channels::Rgb.name() => Channels::Rgb,
        name if name == Channels::Bgr.name() => Channels::Bgr,
        other => anyhow::bail!("{at}: channels = {other}: must be rgb or bgr"),
    };
    let mut encoder = FrozenEncoder::random(&config, 0, device);
    encoder.fill(&archive.tensors, &at.to_string())?;
    Ok(Exported { encoder, config, channels })
}
