//! What is identity in the features, and what perception: Z, P and what goes with them.

use encoder::Fidelity;
use tch::Tensor;

use super::{MIN_STD, Separation};
use crate::{Error, Noise};

/// What the noise of the perceptual part is made of: ε' = n·spread + mean.
#[derive(Debug)]
pub enum PerceptualNoise<'a> {
    /// Mean and spread of the data set (corrected).
    DataSet,
    /// Published: the mean over the batch of these features (the sources'),
    /// serving as mean and as spread.
    BatchMean(&'a [Tensor]),
}

impl Separation {
    /// A feature's identity component D Vᵀ (f − m), where discriminants are known, and what is
    /// left of it, f − D Vᵀ (f − m), mean included.
    fn split(&self, feature: &Tensor, i: usize) -> (Option<Tensor>, Tensor) {
        let s = &self.stats.layers[i];
        let component = s.discriminants.as_ref().map(|d| d.component(&(feature - &s.mean)));
        let rest = match &component {
            Some(component) => feature - component,
            None => feature.shallow_clone(),
        };
        (component, rest)
    }

    /// What takes the place of what is left out of P, as the fidelity has it; `sources` are the
    /// features that the published one takes means of.
    pub fn perceptual_noise<'a>(&self, sources: &'a [Tensor]) -> PerceptualNoise<'a> {
        match self.fidelity {
            Fidelity::Corrected => PerceptualNoise::DataSet,
            Fidelity::Published => PerceptualNoise::BatchMean(sources),
        }
    }

    /// Identity parts Z_i = active_i (id_i + λ_i f'_i + (1 − λ_i) ε): the identity component
    /// whole, of the rest f' as much as the masks let through.
    ///
    /// ε = n·σ_i + m_i, the noise's own identity component taken out of it. Without
    /// discriminants id is 0 and f' the feature (method.md §4).
    ///
    /// # Errors
    /// When the noise does not fit the batch.
    pub fn identity_parts(
        &self,
        features: &[Tensor],
        lambdas: &[Tensor],
        noise: &Noise,
    ) -> Result<Vec<Tensor>, Error> {
        let parts = lambdas.iter().enumerate().map(|(i, lambda)| {
            let s = &self.stats.layers[i];
            let deviation = noise.normal(2 * i as u64, &features[i])? * s.std();
            let (component, rest) = self.split(&features[i], i);
            let part = match (component, &s.discriminants) {
                (Some(component), Some(discriminants)) => {
                    let epsilon = &deviation - discriminants.component(&deviation) + &s.mean;
                    epsilon.lerp_tensor(&rest, lambda) + component
                }
                _ => (deviation + &s.mean).lerp_tensor(&rest, lambda),
            };
            Ok(part * s.active())
        });
        parts.collect()
    }

    /// Perceptual parts P_i = (1 − λ_i) f'_i + λ_i ε', f' the feature without its identity
    /// component. `P_0` here is that of feature 0; the decoder takes the image instead.
    ///
    /// # Errors
    /// When the noise does not fit the batch.
    pub fn perceptual_parts(
        &self,
        features: &[Tensor],
        lambdas: &[Tensor],
        noise: &Noise,
        kind: &PerceptualNoise,
    ) -> Result<Vec<Tensor>, Error> {
        let parts = lambdas.iter().enumerate().map(|(i, lambda)| {
            let s = &self.stats.layers[i];
            let n = noise.normal(2 * i as u64 + 1, &features[i])?;
            let epsilon = match kind {
                PerceptualNoise::DataSet => n * s.std() + &s.mean,
                PerceptualNoise::BatchMean(sources) => {
                    let mean = sources[i].mean_dim(&[0i64][..], true, None);
                    n * &mean + mean
                }
            };
            let (_, rest) = self.split(&features[i], i);
            Ok(rest.lerp_tensor(&epsilon, lambda))
        });
        parts.collect()
    }

    /// What of the features counts as perception, without any noise:
    /// (1 − λ_i) f'_i, i = 0…9.
    pub fn perceived(&self, features: &[Tensor], lambdas: &[Tensor]) -> Vec<Tensor> {
        let parts = lambdas.iter().zip(features).enumerate().map(|(i, (lambda, feature))| {
            let (_, rest) = self.split(feature, i);
            &rest - lambda * &rest
        });
        parts.collect()
    }

    /// A part of feature `i` in units of the layer's spread, about its mean.
    pub fn standardise(&self, part: &Tensor, i: usize) -> Tensor {
        let s = &self.stats.layers[i];
        (part - &s.mean) / s.std().clamp_min(MIN_STD)
    }

    /// Information that λ lets through of f', per neuron of feature `i` (nats):
    /// −½ (1 + ln (1−λ)² − (λ r̂)² − (1−λ)²)·active, r̂ = (f' − m)/σ.
    pub fn information(&self, feature: &Tensor, lambda: &Tensor, i: usize) -> Tensor {
        let s = &self.stats.layers[i];
        let (_, rest) = self.split(feature, i);
        let r = self.standardise(&rest, i);
        let variance: Tensor = (lambda - 1).square();
        (variance.log() + 1 - (lambda * r).square() - variance) * -0.5 * s.active()
    }
}
