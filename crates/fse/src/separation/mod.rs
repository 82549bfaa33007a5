mod layer;
mod parts;

use encoder::{Encoder, Fidelity, ModelConfig, READOUT_LAYERS, SEPARATION_LAYERS, Stats};
use tch::{Kind, Tensor, nn};

use layer::{SeparationLayer, first_convolutions};
pub use parts::PerceptualNoise;

/// The smallest spread a readout feature is divided by.
const MIN_STD: f64 = 0.01;

/// The separation layers `se`, one on each of the features 0…9 (method.md §4).
#[derive(Debug)]
pub struct Separation {
    layers: Vec<SeparationLayer>,
    stats: Stats,
    fidelity: Fidelity,
}

impl Separation {
    /// Builds the layers under `p` (`iba_0` … `iba_9`). `initial_alpha` is the
    /// bias that λ = sigmoid(α) starts from. `stats` lie on the layers' device.
    pub fn new(p: &nn::Path, config: &ModelConfig, stats: Stats, initial_alpha: f64) -> Self {
        let shapes = config.feature_shapes();
        let readout: i64 = shapes[..READOUT_LAYERS].iter().map(|s| s.0).sum();
        let layers = (0..SEPARATION_LAYERS)
            .map(|i| {
                SeparationLayer::new(p / format!("iba_{i}"), readout, shapes[i].0, initial_alpha)
            })
            .collect();
        let stats = match config.fidelity {
            Fidelity::Corrected => stats,
            // Masks alone.
            Fidelity::Published => stats.with_discriminants(0),
        };
        Separation { layers, stats, fidelity: config.fidelity }
    }

    /// The statistics the layers work with.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Readout features r_i = (f_i − m_i) / max(σ_i, 0.01), i = 0…10.
    pub fn readouts(&self, features: &[Tensor]) -> Vec<Tensor> {
        features[..READOUT_LAYERS]
            .iter()
            .enumerate()
            .map(|(i, feature)| self.standardise(feature, i))
            .collect()
    }

    /// λ_0 … λ_9 from the features 0…10.
    ///
    /// # Shapes
    /// λ_i as feature i.
    pub fn lambdas(&self, features: &[Tensor]) -> Vec<Tensor> {
        let readouts = self.readouts(features);
        let side = |i: usize| features[i].size()[2];
        let mut lambdas = Vec::with_capacity(self.layers.len());
        while lambdas.len() < self.layers.len() {
            let first = lambdas.len();
            let same = (first..self.layers.len()).take_while(|&i| side(i) == side(first)).count();
            let layers = &self.layers[first..first + same];
            let hidden = first_convolutions(layers, &readouts, side(first), self.fidelity);
            let own = hidden.split(hidden.size()[1] / same as i64, 1);
            lambdas.extend(layers.iter().zip(&own).map(|(layer, own)| layer.lambda(own)));
        }
        lambdas
    }

    /// The dtype of its weights.
    pub(crate) fn kind(&self) -> Kind {
        self.layers[0].conv1.ws.kind()
    }

    /// Published or corrected formulas.
    pub fn fidelity(&self) -> Fidelity {
        self.fidelity
    }
}

/// The separated identity z_id = (1/N) Σ_i E_i(Z_i).
///
/// # Shapes
/// Z_i of a batch B → [B, 512], not of unit length.
pub fn separated_identity(encoder: &Encoder, z: &[Tensor]) -> Tensor {
    encoder.restricted(z).mean_dim(&[0i64][..], false, None)
}
