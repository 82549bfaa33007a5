//! How well the model separates: independence of the two parts layer by layer, what is kept of the
//! identity, and what linear probes read from each part.

mod change;
mod look;
mod probe;

use encoder::FrozenEncoder;
use fse::{Extractor, FseConfig};
use serde::Serialize;

use super::measure::{Intervals, Measured};
use super::sample::{Photo, Sample};
use super::setup::Training;
use crate::commands::protect::model::Model;
pub(super) use change::Change;
use change::change;
use look::{Compared, Look};
pub(super) use probe::Probe;
use probe::probes;

/// Photos whose layers are compared.
const COMPARED: usize = 200;

/// What is measured of the separation.
#[derive(Debug, Serialize)]
pub(super) struct Separation {
    /// Photos whose layers were compared.
    pub(super) photos: usize,
    pub(super) layers: Vec<Layer>,
    /// Means over layers.
    pub(super) hsic: Change,
    pub(super) alignment: Change,
    pub(super) angle_degrees: Change,
    /// cos(z_id, E).
    pub(super) retention: Change,
    pub(super) probes: Vec<Probe>,
}

/// One layer's means over photos.
#[derive(Debug, Serialize)]
pub(super) struct Layer {
    pub(super) layer: usize,
    pub(super) hsic: Measured,
    pub(super) hsic_start: Measured,
    pub(super) alignment: Measured,
    pub(super) alignment_start: Measured,
    pub(super) angle_degrees: Measured,
    pub(super) angle_degrees_start: Measured,
    /// Share of the layer that counts as identity.
    pub(super) lambda: Measured,
}

/// Everything about the separation of `model`.
///
/// # Errors
///
/// A photo that cannot be read; libtorch refuses; numbers that nothing can be measured on.
pub(super) fn measure(
    model: &Model,
    sample: &Sample,
    training: &Training,
    batch: usize,
    seed: u64,
    intervals: &Intervals,
) -> anyhow::Result<Option<Separation>> {
    let look = Look { model, batch, seed };
    let photos: Vec<&Photo> =
        sample.some(COMPARED).into_iter().map(|k| &sample.photos[k]).collect();
    let people: Vec<usize> = photos.iter().map(|photo| photo.person).collect();
    let trained = look.layers(model.protector.extractor(), &photos)?;
    let stats = model.protector.extractor().separation().stats();
    let start = look.layers(&fresh(model, usize::MAX, seed)?, &photos)?;
    let masks = match stats.discriminants() {
        0 => None,
        _ => Some(look.layers(&fresh(model, 0, seed)?, &photos)?),
    };
    let mean = |values: &[f64]| intervals.mean(values, &people);
    let changed = |of: &dyn Fn(&Compared) -> Vec<f64>| {
        change(&of(&trained), &of(&start), masks.as_ref().map(of).as_deref(), &people, intervals)
    };
    let (Some(hsic), Some(alignment), Some(angle_degrees), Some(retention)) = (
        changed(&|all| all.over(|layer| &layer.hsic))?,
        changed(&|all| all.over(|layer| &layer.alignment))?,
        changed(&|all| all.over(|layer| &layer.angle))?,
        changed(&|all| all.retention.clone())?,
    ) else {
        return Ok(None);
    };
    let mut layers = Vec::new();
    for (after, before) in trained.layers.iter().zip(&start.layers) {
        let all = [&after.hsic, &before.hsic, &after.alignment, &before.alignment]
            .into_iter()
            .chain([&after.angle, &before.angle, &after.lambda])
            .map(|values| mean(values))
            .collect::<Result<Option<Vec<_>>, _>>()?;
        if let Some([hsic, hsic_start, alignment, alignment_start, angle, angle_start, lambda]) =
            all.as_deref()
        {
            layers.push(Layer {
                layer: after.layer,
                hsic: *hsic,
                hsic_start: *hsic_start,
                alignment: *alignment,
                alignment_start: *alignment_start,
                angle_degrees: *angle,
                angle_degrees_start: *angle_start,
                lambda: *lambda,
            });
        }
    }
    let probes = probes(&look, sample, training, intervals)?;
    let photos = photos.len();
    Ok(Some(Separation { photos, layers, hsic, alignment, angle_degrees, retention, probes }))
}

/// The same model with separation layers as they are before training, and at most so many
/// discriminants.
fn fresh(model: &Model, discriminants: usize, seed: u64) -> anyhow::Result<Extractor> {
    let extractor = model.protector.extractor();
    let device = extractor.device();
    let mut encoder = FrozenEncoder::random(&model.config, 0, device);
    encoder.fill(&extractor.encoder().state(), "the model's encoder")?;
    let stats = extractor.separation().stats().to_device(device).with_discriminants(discriminants);
    let alpha = FseConfig::of(model.config.fidelity).initial_alpha;
    Ok(Extractor::new(&model.config, encoder, &stats, alpha, seed, device))
}
