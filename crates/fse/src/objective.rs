use c10d::torch::range;
use encoder::{Fidelity, SEPARATION_LAYERS};
use tch::Tensor;

use crate::extractor::halves;
use crate::{
    Error, Estimator, Extractor, FseWeights, Noise, PerceptualNoise, angle_loss, hsic_loss,
};

/// What the separation layers make of a batch: sources, then targets.
#[derive(Debug)]
pub struct Separated {
    /// z_id [2B, 512].
    pub identity: Tensor,
    /// λ_i.
    pub lambdas: Vec<Tensor>,
    /// P_i.
    pub perceptual: Vec<Tensor>,
}

impl Separated {
    /// The same values without their graph.
    pub fn detach(&self) -> Self {
        let all = |tensors: &[Tensor]| tensors.iter().map(Tensor::detach).collect();
        Separated {
            identity: self.identity.detach(),
            lambdas: all(&self.lambdas),
            perceptual: all(&self.perceptual),
        }
    }
}

/// The terms of the stage I loss on a batch (method.md §4), and what the
/// separation layers made of it.
///
/// Every term is 0-dim and carries its graph; none is weighted.
#[derive(Debug)]
pub struct Objective {
    /// −θ, mean over layers 1…9 and sources.
    pub angle_source: Tensor,
    /// −θ, mean over layers 1…9 and targets.
    pub angle_target: Tensor,
    /// HSIC · ln C, mean over layers 1…9 and sources.
    pub hsic_source: Tensor,
    /// HSIC · ln C, mean over layers 1…9 and targets.
    pub hsic_target: Tensor,
    /// 2 − cos(E(Xs), z_id(Xs)) − cos(E(Xt), z_id(Xt)), means over the batch.
    pub retention: Tensor,
    /// Information let through: mean over neurons and layers 1…9.
    pub information: Tensor,
    /// What the terms were computed from.
    pub separated: Separated,
}

impl Objective {
    /// From the features of a batch, sources first, then targets.
    ///
    /// # Errors
    /// When the noise does not fit the batch.
    pub fn new(
        extractor: &Extractor,
        features: &[Tensor],
        noise: &Noise,
        weights: &FseWeights,
    ) -> Result<Self, Error> {
        let separate = range(c"separate");
        let separation = extractor.separation();
        let fidelity = separation.fidelity();
        let lambdas = separation.lambdas(features);
        let z = separation.identity_parts(features, &lambdas, noise)?;
        let (sources, _) = halves(features);
        let kind = match fidelity {
            Fidelity::Corrected => PerceptualNoise::DataSet,
            Fidelity::Published => PerceptualNoise::BatchMean(&sources),
        };
        let p = separation.perceptual_parts(features, &lambdas, noise, &kind)?;
        let identity = extractor.separated(&z);
        drop(separate);

        let _range = range(c"losses");
        // A term that counts for nothing is computed for the log, without a graph.
        let term = |weight: f64, f: &dyn Fn(usize) -> Tensor| {
            let mean = || {
                let layers: Vec<Tensor> = (1..SEPARATION_LAYERS).map(f).collect();
                Tensor::stack(&layers, 0).mean_dim(&[0i64][..], false, None)
            };
            if weight == 0.0 { tch::no_grad(mean) } else { mean() }
        };
        let part = |x: &[Tensor], i: usize| match fidelity {
            Fidelity::Corrected => separation.centre(&x[i], i),
            Fidelity::Published => x[i].shallow_clone(),
        };
        let angle = term(weights.angle, &|i| angle_loss(&part(&z, i), &part(&p, i), fidelity));
        let estimator = Estimator::from(fidelity);
        let hsic = term(weights.hsic, &|i| hsic_loss(&part(&z, i), &part(&p, i), estimator));
        let information = term(weights.information, &|i| {
            separation.information(&features[i], &lambdas[i], i).mean(None)
        });
        let whole = tch::no_grad(|| extractor.identity(features));
        let cos = Tensor::cosine_similarity(&whole, &identity, 1, 1e-8);

        let (source, target) = halves(&[angle, hsic, cos]);
        let mean = |t: &Tensor| t.mean(None);
        Ok(Objective {
            angle_source: mean(&source[0]),
            angle_target: mean(&target[0]),
            hsic_source: mean(&source[1]),
            hsic_target: mean(&target[1]),
            retention: 2.0 - mean(&source[2]) - mean(&target[2]),
            information,
            separated: Separated { identity, lambdas, perceptual: p },
        })
    }

    /// The weighted sum.
    pub fn total(&self, w: &FseWeights) -> Tensor {
        (&self.angle_source + &self.angle_target) * w.angle
            + (&self.hsic_source + &self.hsic_target) * w.hsic
            + &self.retention * w.retention
            + &self.information * w.information
    }
}
