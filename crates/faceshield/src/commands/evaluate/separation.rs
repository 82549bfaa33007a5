//! How well the model separates: independence of the two parts layer by layer, what is kept of the
//! identity, and what linear probes read from each part.

use encoder::{FrozenEncoder, SEPARATION_LAYERS};
use faces::RgbImage;
use fse::{Extractor, FseConfig, Inspection, LayerIndependence};
use metrics::Rows;
use rayon::prelude::*;
use serde::Serialize;
use tch::{Kind, Tensor};

use super::attributes::{self, AttributesRead, COUNT};
use super::measure::{Intervals, Measured};
use super::sample::{Photo, Sample};
use super::setup::Training;
use crate::commands::protect::model::{Model, rows};

/// Photos whose layers are compared.
const COMPARED: usize = 200;
/// Photos that attribute probes are trained on, and photos that probes are judged on at most.
const TRAINED: usize = 1600;
const JUDGED: usize = 2000;
/// Numbers that a face's perception is for a probe, at most: maps are averaged until it fits.
const MOST: i64 = 16_384;

/// Streams of the seed for the noise of perception. Photos to train on and photos to judge have
/// noise of their own: a probe that has learnt noise must not meet it again.
const JUDGED_NOISE: u64 = 0x0073_6570;
const TRAINED_NOISE: u64 = 0x0074_7261;

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

/// A mean after training, and before it: with fresh separation layers, as stage I begins.
#[derive(Debug, Serialize)]
pub(super) struct Change {
    pub(super) trained: Measured,
    pub(super) start: Measured,
    /// The one over the other.
    pub(super) ratio: Measured,
    /// Before training, by fresh masks alone, where discriminants are split off as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) masks_alone: Option<Measured>,
    /// Trained over that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ratio_to_masks_alone: Option<Measured>,
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

/// What linear probes read from one description of the photos.
#[derive(Debug, Serialize)]
pub(super) struct Probe {
    pub(super) features: &'static str,
    pub(super) dimensions: usize,
    /// Share of photos whose person is read rightly, by a probe of the same people's other photos.
    pub(super) identity: Option<Measured>,
    pub(super) chance: Option<f64>,
    /// R² on people that the probe was not trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attributes: Option<AttributesRead>,
}

/// Descriptions that are probed, by name.
const DESCRIPTIONS: [&str; 4] = ["embedding", "z_id", "perception", "raw"];

/// One description of photos: rows of equally many numbers.
type Table = Vec<f32>;

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
    let probes = look.probes(sample, training, intervals)?;
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

/// How photos are taken apart.
struct Look<'a> {
    model: &'a Model,
    batch: usize,
    seed: u64,
}

/// Independence of some photos.
struct Compared {
    layers: Vec<OneLayer>,
    retention: Vec<f64>,
}

/// A layer's numbers, one a photo; angles in degrees.
#[derive(Default)]
struct OneLayer {
    layer: usize,
    hsic: Vec<f64>,
    alignment: Vec<f64>,
    angle: Vec<f64>,
    lambda: Vec<f64>,
}

impl Compared {
    /// Means over layers, one a photo.
    fn over(&self, of: fn(&OneLayer) -> &Vec<f64>) -> Vec<f64> {
        let mean = |photo: usize| {
            let sum: f64 = self.layers.iter().map(|layer| of(layer)[photo]).sum();
            sum / self.layers.len() as f64
        };
        (0..self.retention.len()).map(mean).collect()
    }
}

impl Look<'_> {
    /// Photos through `extractor`, a batch at a time.
    fn each(
        &self,
        extractor: &Extractor,
        photos: &[&Photo],
        noise: u64,
        mut take: impl FnMut(&Inspection) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut number = 0;
        for photos in photos.chunks(self.batch) {
            let side = self.model.side;
            let images: Vec<RgbImage> =
                photos.par_iter().map(|photo| photo.original(side)).collect::<Result<_, _>>()?;
            let seeds = (0..photos.len()).map(|k| train::mix(self.seed ^ noise, number + k as u64));
            let faces = self.model.tensor(&images.iter().collect::<Vec<_>>())?;
            take(&Inspection::new(extractor, &faces, seeds.collect())?)?;
            number += photos.len() as u64;
        }
        Ok(())
    }

    fn layers(&self, extractor: &Extractor, photos: &[&Photo]) -> anyhow::Result<Compared> {
        let mut all = Compared { layers: Vec::new(), retention: Vec::new() };
        self.each(extractor, photos, JUDGED_NOISE, |inspection| {
            for (place, layer) in inspection.layers(extractor).iter().enumerate() {
                if all.layers.len() == place {
                    all.layers.push(OneLayer { layer: layer.layer, ..OneLayer::default() });
                }
                all.layers[place].add(layer)?;
            }
            all.retention.extend(numbers(&inspection.retention())?);
            Ok(())
        })?;
        Ok(all)
    }

    /// The descriptions of `photos`, in the order of their names.
    fn descriptions(&self, photos: &[&Photo], noise: u64) -> anyhow::Result<[Table; 4]> {
        let extractor = self.model.protector.extractor();
        let mut tables: [Table; 4] = Default::default();
        self.each(extractor, photos, noise, |inspection| {
            let parts = |maps: &[Tensor]| flattened(&maps[1..SEPARATION_LAYERS]);
            let [of_e, of_z, of_p, raw] = &mut tables;
            of_e.extend(rows(&inspection.embedding)?.concat());
            of_z.extend(rows(&inspection.identity)?.concat());
            of_p.extend(rows(&parts(&inspection.perceptual)?)?.concat());
            raw.extend(rows(&parts(&inspection.features)?)?.concat());
            Ok(())
        })?;
        Ok(tables)
    }

    fn probes(
        &self,
        sample: &Sample,
        training: &Training,
        intervals: &Intervals,
    ) -> anyhow::Result<Vec<Probe>> {
        let tested: Vec<&Photo> =
            sample.some(JUDGED).into_iter().map(|k| &sample.photos[k]).collect();
        let people: Vec<usize> = tested.iter().map(|photo| photo.person).collect();
        let test = self.descriptions(&tested, JUDGED_NOISE)?;
        let learnt = spread(&training.photos, TRAINED);
        let train = self.descriptions(&learnt, TRAINED_NOISE)?;
        let judged: Vec<usize> =
            (0..tested.len()).filter(|&k| people[k] >= training.first).collect();
        let values = |photos: &mut dyn Iterator<Item = &Photo>| -> Vec<f64> {
            let scene = photos.filter_map(|photo| photo.label.as_deref());
            scene.flat_map(|label| attributes::of(&label.scene)).collect()
        };
        let train_values = values(&mut learnt.iter().copied());
        let truth = values(&mut judged.iter().map(|&k| tested[k]));
        let of_judged: Vec<usize> = judged.iter().map(|&k| people[k]).collect();
        let mut probes = Vec::new();
        for ((name, train), test) in DESCRIPTIONS.into_iter().zip(&train).zip(&test) {
            let width = test.len() / tested.len();
            let identity = match metrics::identity_probe(Rows::new(test, width)?, &people) {
                // Of people with one photo each nothing can be learnt.
                Err(metrics::Error::AtLeast { .. }) => None,
                found => Some(found?),
            };
            let attributes = match learnt.is_empty() || truth.len() < COUNT {
                true => None,
                false => {
                    let some: Table =
                        judged.iter().flat_map(|&k| &test[k * width..][..width]).copied().collect();
                    let (train, test) = (Rows::new(train, width)?, Rows::new(&some, width)?);
                    let read = metrics::attribute_probe(train, &train_values, test, &truth)?;
                    attributes::judge(&read.predictions, &truth, &of_judged, intervals)?
                }
            };
            probes.push(Probe {
                features: name,
                dimensions: width,
                identity: match &identity {
                    Some(found) => intervals.share(&found.hits, &found.people)?,
                    None => None,
                },
                chance: identity.map(|found| found.chance),
                attributes,
            });
        }
        Ok(probes)
    }
}

impl OneLayer {
    fn add(&mut self, layer: &LayerIndependence) -> anyhow::Result<()> {
        self.hsic.extend(numbers(&layer.hsic)?);
        self.alignment.extend(numbers(&layer.alignment)?);
        self.angle.extend(numbers(&layer.angle)?.into_iter().map(f64::to_degrees));
        self.lambda.extend(numbers(&layer.lambda)?);
        Ok(())
    }
}

fn numbers(values: &Tensor) -> anyhow::Result<Vec<f64>> {
    Ok(Vec::try_from(values.f_to_kind(Kind::Double)?.f_to_device(tch::Device::Cpu)?)?)
}

/// Maps as one row a face, each averaged over places to the largest common side that lets all of
/// them be `MOST` numbers at most.
fn flattened(maps: &[Tensor]) -> anyhow::Result<Tensor> {
    let own = |map: &Tensor| (map.size()[1], map.size()[2]);
    let fits = |side: i64| {
        let all = maps.iter().map(own).map(|(channels, own)| channels * own.min(side).pow(2));
        all.sum::<i64>() <= MOST
    };
    let mut side = maps.iter().map(|map| own(map).1).max().unwrap_or(1);
    while side > 1 && !fits(side) {
        side -= 1;
    }
    let part = |map: &Tensor| match own(map).1 <= side {
        true => map.flatten(1, -1),
        false => map.adaptive_avg_pool2d([side, side]).flatten(1, -1),
    };
    Ok(Tensor::f_cat(&maps.iter().map(part).collect::<Vec<_>>(), 1)?)
}

/// `most` of the photos at even distances, so that all people are among them.
fn spread(photos: &[Photo], most: usize) -> Vec<&Photo> {
    let count = photos.len().min(most);
    (0..count).map(|k| &photos[k * photos.len() / count]).collect()
}

/// Means, and of the first over the others; none of one person alone.
fn change(
    trained: &[f64],
    start: &[f64],
    masks: Option<&[f64]>,
    people: &[usize],
    intervals: &Intervals,
) -> Result<Option<Change>, metrics::Error> {
    let (Some(after), Some(before)) =
        (intervals.mean(trained, people)?, intervals.mean(start, people)?)
    else {
        return Ok(None);
    };
    let (masks_alone, ratio_to_masks_alone) = match masks {
        Some(masks) => {
            (intervals.mean(masks, people)?, Some(ratio(trained, masks, people, intervals)?))
        }
        None => (None, None),
    };
    Ok(Some(Change {
        trained: after,
        start: before,
        ratio: ratio(trained, start, people, intervals)?,
        masks_alone,
        ratio_to_masks_alone,
    }))
}

/// The ratio of two means over the same photos.
fn ratio(
    above: &[f64],
    below: &[f64],
    people: &[usize],
    intervals: &Intervals,
) -> Result<Measured, metrics::Error> {
    let count = people.iter().max().map_or(0, |most| most + 1);
    let sum = |values: &[f64]| {
        let mut sums = vec![0.0; count];
        values.iter().zip(people).for_each(|(value, &person)| sums[person] += value);
        sums
    };
    let (sums, sums_below) = (sum(above), sum(below));
    let weighed = |sums: &[f64], times: &[u32]| -> f64 {
        sums.iter().zip(times).map(|(sum, &times)| sum * f64::from(times)).sum()
    };
    let ratio = |times: &[u32]| Some([weighed(&sums, times) / weighed(&sums_below, times)]);
    let [interval] = intervals.0.intervals(count, ratio)?;
    Ok(Measured { interval, n: above.len() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tch::Device;

    #[test]
    fn maps_are_averaged_only_where_they_are_too_many() {
        let map =
            |channels, side| Tensor::ones([2, channels, side, side], (Kind::Float, Device::Cpu));
        assert_eq!(flattened(&[map(8, 16), map(16, 8)]).unwrap().size(), [2, 8 * 256 + 16 * 64]);
        // 64 · 15² + 128 · 8² are too many, 64 · 11² + 128 · 8² not.
        let wide = flattened(&[map(64, 64), map(128, 8)]).unwrap();
        assert_eq!(wide.size(), [2, 64 * 11 * 11 + 128 * 8 * 8]);
    }

    #[test]
    fn ratios_are_of_means() {
        let intervals = Intervals(metrics::Bootstrap::default());
        let people = [0, 0, 1, 1];
        let change =
            change(&[1.0, 1.0, 2.0, 2.0], &[2.0, 2.0, 4.0, 4.0], None, &people, &intervals);
        let change = change.unwrap().unwrap();
        assert_eq!((change.trained.value(), change.ratio.value()), (1.5, 0.5));
        assert_eq!((change.ratio.interval.low, change.ratio.interval.high), (0.5, 0.5));
    }
}
