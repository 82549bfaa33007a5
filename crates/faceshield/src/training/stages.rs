//! Stage I and stage II, put together from their options.

use std::path::{Path, PathBuf};

use encoder::{FrozenEncoder, Stats};
use fse::{Extractor, FseStage, Painter, PainterFactory};
use irc::{IrcStage, Reconstructor};
use tch::Device;
use train::checkpoint;

use crate::options::{Common, FseOptions, IrcOptions};

/// The identity encoder that the options name, or a random one.
///
/// # Errors
///
/// A file that cannot be read or holds another model.
pub(crate) fn encoder(common: &Common, device: Device) -> anyhow::Result<FrozenEncoder> {
    let file = Path::new(&common.encoder.encoder_weights);
    Ok(FrozenEncoder::load(&common.model, file, common.engine.seed, device)?)
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
/// Options that make no sense, `iid_weights` that cannot be read.
pub(crate) fn irc(options: &IrcOptions, extractor: Extractor) -> anyhow::Result<IrcStage> {
    let Common { model, engine, .. } = &options.common;
    Ok(IrcStage::new(extractor, model, options.stage.clone(), engine.seed)?)
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
