//! Photos taken apart by the model: how independent the parts are, and what they are to a probe.

use encoder::SEPARATION_LAYERS;
use faces::RgbImage;
use fse::{Extractor, Inspection, LayerIndependence};
use rayon::prelude::*;
use tch::{Kind, Tensor};

use super::super::sample::Photo;
use crate::commands::protect::model::{Model, rows};

/// Numbers that a face's perception is for a probe, at most: maps are averaged until it fits.
const MOST: i64 = 16_384;

/// Streams of the seed for the noise of perception. Photos to train on and photos to judge have
/// noise of their own: a probe that has learnt noise must not meet it again.
pub(super) const JUDGED_NOISE: u64 = 0x0073_6570;
pub(super) const TRAINED_NOISE: u64 = 0x0074_7261;

/// Descriptions that are probed, by name.
pub(super) const DESCRIPTIONS: [&str; 4] = ["embedding", "z_id", "perception", "raw"];

/// One description of photos: rows of equally many numbers.
pub(super) type Table = Vec<f32>;

/// How photos are taken apart.
pub(super) struct Look<'a> {
    pub(super) model: &'a Model,
    pub(super) batch: usize,
    pub(super) seed: u64,
}

/// Independence of some photos.
pub(super) struct Compared {
    pub(super) layers: Vec<OneLayer>,
    pub(super) retention: Vec<f64>,
}

/// A layer's numbers, one a photo; angles in degrees.
#[derive(Default)]
pub(super) struct OneLayer {
    pub(super) layer: usize,
    pub(super) hsic: Vec<f64>,
    pub(super) alignment: Vec<f64>,
    pub(super) angle: Vec<f64>,
    pub(super) lambda: Vec<f64>,
}

impl Compared {
    /// Means over layers, one a photo.
    pub(super) fn over(&self, of: fn(&OneLayer) -> &Vec<f64>) -> Vec<f64> {
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

    pub(super) fn layers(
        &self,
        extractor: &Extractor,
        photos: &[&Photo],
    ) -> anyhow::Result<Compared> {
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
    pub(super) fn descriptions(&self, photos: &[&Photo], noise: u64) -> anyhow::Result<[Table; 4]> {
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
}
