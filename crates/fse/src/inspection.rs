//! What trained (or fresh) separation layers do to faces, to be judged: one definition for every
//! model, whatever it was trained by.

use encoder::{Fidelity, SEPARATION_LAYERS};
use tch::{Kind, Tensor};

use crate::{Error, Estimator, Extractor, Noise, alignment_loss, angle_loss, hsic_loss};

/// Faces taken apart.
#[derive(Debug)]
pub struct Inspection {
    /// E of the faces, [B, 512], of unit length.
    pub embedding: Tensor,
    /// z_id, [B, 512], not of unit length.
    pub identity: Tensor,
    /// Features 0…10.
    pub features: Vec<Tensor>,
    /// P_0…P_9 with their noise, as the generator gets them (P_0 is replaced by the image there).
    pub perceptual: Vec<Tensor>,
    identity_parts: Vec<Tensor>,
    lambdas: Vec<Tensor>,
}

/// How independent the two parts of a layer are, in each face: the terms of stage I's corrected
/// objective, on standardised parts.
#[derive(Debug)]
pub struct LayerIndependence {
    /// Which feature, 1…9.
    pub layer: usize,
    /// Unbiased HSIC · ln C, `[B]`.
    pub hsic: Tensor,
    /// Mean over channels of |cos|, `[B]`.
    pub alignment: Tensor,
    /// The folded angle of the mean cosine in radians, 0 to π/2, `[B]`.
    pub angle: Tensor,
    /// Mean of λ, `[B]`.
    pub lambda: Tensor,
}

impl Inspection {
    /// Takes faces apart, without a graph.
    ///
    /// # Arguments
    /// * `faces` - [B, 3, S, S] in [−1, 1], channels in the order the model was trained with.
    /// * `seeds` - one a face, for the noise.
    ///
    /// # Errors
    /// As many seeds as faces are needed.
    pub fn new(extractor: &Extractor, faces: &Tensor, seeds: Vec<u64>) -> Result<Self, Error> {
        let _guard = tch::no_grad_guard();
        let faces = faces.to_device(extractor.device()).to_kind(extractor.kind());
        let separation = extractor.separation();
        let noise = Noise::Seeded(seeds);
        let features = extractor.features(&faces);
        let lambdas = separation.lambdas(&features);
        let identity_parts = separation.identity_parts(&features, &lambdas, &noise)?;
        let kind = separation.perceptual_noise(&features);
        let perceptual = separation.perceptual_parts(&features, &lambdas, &noise, &kind)?;
        let embedding = extractor.identity(&features);
        let identity = extractor.separated(&identity_parts);
        Ok(Inspection { embedding, identity, features, perceptual, identity_parts, lambdas })
    }

    /// cos(z_id, E) of each face, `[B]`.
    pub fn retention(&self) -> Tensor {
        Tensor::cosine_similarity(&self.identity, &self.embedding, 1, 1e-8)
    }

    /// Layers 1…9, those that the losses compare.
    pub fn layers(&self, extractor: &Extractor) -> Vec<LayerIndependence> {
        let _guard = tch::no_grad_guard();
        let separation = extractor.separation();
        let of = |layer: usize| {
            let z = separation.standardise(&self.identity_parts[layer], layer);
            let p = separation.standardise(&self.perceptual[layer], layer);
            LayerIndependence {
                layer,
                hsic: hsic_loss(&z, &p, Estimator::Unbiased),
                alignment: alignment_loss(&z, &p),
                angle: -angle_loss(&z, &p, Fidelity::Corrected),
                lambda: self.lambdas[layer].mean_dim(&[1i64, 2, 3][..], false, Kind::Float),
            }
        };
        (1..SEPARATION_LAYERS).map(of).collect()
    }
}
