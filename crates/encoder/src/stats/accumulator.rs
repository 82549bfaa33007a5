use c10d::World;
use tch::{Device, Kind, Tensor};

use super::scatter::Scatter;
use super::{Discriminants, LayerStats, Stats};
use crate::config::READOUT_LAYERS;
use crate::{Encoder, Error, Fidelity, ModelConfig};

/// Gathers statistics batch by batch: exact for any batch size, and mergeable
/// over ranks (Chan, Golub, LeVeque 1983), in float64.
#[derive(Debug)]
pub struct StatsAccumulator {
    threshold: f64,
    count: f64,
    /// Mean, Σ(x − mean)², responses: float64 [C, H, W] each, per layer.
    moments: Vec<[Tensor; 3]>,
    /// Where discriminants are wanted: what they are made of, then they.
    scatter: Option<Scatter>,
    discriminants: Vec<Discriminants>,
}

impl StatsAccumulator {
    /// An empty one for this model's features.
    pub fn new(config: &ModelConfig, device: Device) -> Self {
        let shapes = config.feature_shapes();
        let zeros =
            |&(c, side): &(i64, i64)| Tensor::zeros([c, side, side], (Kind::Double, device));
        StatsAccumulator {
            threshold: match config.fidelity {
                Fidelity::Corrected => 0.0,
                Fidelity::Published => 0.01,
            },
            count: 0.0,
            moments: shapes[..READOUT_LAYERS]
                .iter()
                .map(|shape| [zeros(shape), zeros(shape), zeros(shape)])
                .collect(),
            scatter: None,
            discriminants: Vec::new(),
        }
    }

    /// Gathers `count` discriminants of the features 1…9 as well, if that is not 0 and the
    /// images' people are told. On two accumulators, the people must not be the same.
    #[must_use]
    pub fn discriminating(mut self, config: &ModelConfig, count: usize) -> Self {
        let device = self.moments[0][0].device();
        self.scatter = (count > 0).then(|| Scatter::new(config, count as i64, device));
        self
    }

    /// Adds a batch of images [B, 3, S, S].
    pub fn add(&mut self, encoder: &Encoder, images: &Tensor) {
        let _guard = tch::no_grad_guard();
        self.measure(&encoder.features(images, READOUT_LAYERS - 1));
    }

    /// Adds a batch of images [B, 3, S, S] of these people, any numbers. Images of a person
    /// follow one another, from batch to batch too; of more than some 256, those beyond count
    /// as another's.
    pub fn add_people(&mut self, encoder: &Encoder, images: &Tensor, people: &[usize]) {
        let _guard = tch::no_grad_guard();
        let features = encoder.features(images, READOUT_LAYERS - 1);
        self.measure(&features);
        if let Some(scatter) = &mut self.scatter {
            scatter.add(&features, people);
        }
    }

    fn measure(&mut self, features: &[Tensor]) {
        let batch = features[0].size()[0] as f64;
        for (moments, feature) in self.moments.iter_mut().zip(features) {
            let x = feature.to_kind(Kind::Double);
            let mean = x.mean_dim(&[0i64][..], false, None);
            let squares = (&x - &mean).square().sum_dim_intlist(&[0i64][..], false, None);
            let responses =
                x.abs().gt(self.threshold).sum_dim_intlist(&[0i64][..], false, Kind::Double);
            combine(moments, self.count, &[mean, squares, responses], batch);
        }
        self.count += batch;
    }

    /// Adds what another accumulator has seen.
    pub fn merge(&mut self, other: &StatsAccumulator) {
        let _guard = tch::no_grad_guard();
        for (moments, theirs) in self.moments.iter_mut().zip(&other.moments) {
            combine(moments, self.count, theirs, other.count);
        }
        if let (Some(scatter), Some(theirs)) = (&mut self.scatter, &other.scatter) {
            scatter.merge(theirs);
        }
        self.count += other.count;
    }

    /// Merges all ranks' accumulators, in the order of ranks, on every rank. Nothing can be
    /// added afterwards.
    ///
    /// # Errors
    /// When another rank cannot be reached; features that are not finite.
    pub fn merge_ranks(mut self, world: &World) -> Result<Self, Error> {
        if let Some(scatter) = self.scatter.take() {
            self.discriminants = scatter.solve(world)?;
        }
        if world.size() == 1 {
            return Ok(self);
        }
        let device = self.moments[0][0].device();
        let counts = world.all_gather(&Tensor::from_slice(&[self.count]).to_device(device))?;
        let mut parts: Vec<StatsAccumulator> = counts
            .iter()
            .map(|count| StatsAccumulator {
                threshold: self.threshold,
                count: count.double_value(&[0]),
                moments: Vec::new(),
                scatter: None,
                discriminants: Vec::new(),
            })
            .collect();
        for moments in &self.moments {
            let gathered = world.all_gather(&Tensor::stack(moments, 0))?;
            for (part, tensor) in parts.iter_mut().zip(gathered) {
                part.moments.push([tensor.get(0), tensor.get(1), tensor.get(2)]);
            }
        }
        let mut parts = parts.into_iter();
        let Some(mut all) = parts.next() else { return Ok(self) };
        parts.for_each(|part| all.merge(&part));
        all.discriminants = self.discriminants;
        Ok(all)
    }

    /// The statistics of all that was added.
    ///
    /// # Errors
    /// When nothing was; features that are not finite.
    pub fn finish(mut self) -> Result<Stats, Error> {
        if let Some(scatter) = self.scatter.take() {
            self.discriminants = scatter.solve(&World::solo())?;
        }
        if self.count == 0.0 {
            return Err(Error::NoImages);
        }
        let float = |t: &Tensor| t.to_kind(Kind::Float);
        // Feature 0 has none.
        let discriminants = self.discriminants.into_iter().map(Some);
        let mut discriminants = std::iter::once(None).chain(discriminants);
        let layers = self.moments.iter().map(|[mean, squares, nonzero]| LayerStats {
            mean: float(mean),
            squares: float(squares),
            nonzero: float(nonzero),
            count: Tensor::from(self.count as i64).to_device(mean.device()),
            discriminants: discriminants.next().flatten(),
        });
        Ok(Stats { layers: layers.collect() })
    }
}

/// Adds moments over `n` images to moments over `count`.
fn combine(into: &mut [Tensor; 3], count: f64, other: &[Tensor; 3], n: f64) {
    if n == 0.0 {
        return;
    }
    let total = count + n;
    let delta = &other[0] - &into[0];
    into[1] += &other[1] + delta.square() * (count * n / total);
    into[0] += delta * (n / total);
    into[2] += &other[2];
}
