use encoder::Fidelity;
use serde::{Deserialize, Serialize};

use crate::Error;

/// What stage I can be told, beside the engine's and the model's options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FseConfig {
    /// α that the separation layers start from; λ = sigmoid(α), so 5 is λ = 0.993.
    pub initial_alpha: f64,
    /// Linear discriminants of each feature 1…9 that go wholly to the identity part, measured
    /// with the layer statistics; 0: none, masks alone separate.
    pub discriminants: usize,
    /// Weights of the terms of the loss.
    pub loss: FseWeights,
}

impl FseConfig {
    /// What a fidelity starts from.
    pub fn of(fidelity: Fidelity) -> Self {
        let (initial_alpha, discriminants) = match fidelity {
            Fidelity::Corrected => (0.0, 128),
            Fidelity::Published => (5.0, 0),
        };
        FseConfig { initial_alpha, discriminants, loss: FseWeights::of(fidelity) }
    }
}

impl Default for FseConfig {
    fn default() -> Self {
        FseConfig::of(Fidelity::default())
    }
}

/// The weight of each term of the loss, by the term's name. One of weight 0 is not computed,
/// but for `retention` and `information`, which cost little and are logged.
///
/// The published objective is at its floor where λ → 1, and starts there: identity keeps
/// everything, perception is noise. The corrected one asks for as little information in the
/// identity part as retention allows, and measures independence on standardised features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FseWeights {
    /// Spatial independence as published: −θ, the folded angle of the mean cosine, once on
    /// sources and once on targets.
    pub angle: f64,
    /// Spatial independence: mean |cos| of the channels' maps, on sources and on targets.
    pub alignment: f64,
    /// Statistical independence: HSIC · ln C, on sources and on targets.
    pub hsic: f64,
    /// Identity retention: 1 − cos(z_id, E(X)), on sources and on targets.
    pub retention: f64,
    /// Information let through, nats per active neuron, mean over layers 1…9.
    pub information: f64,
    /// The same over the layers 1…3, which see most of pose and light, on top of it: what these
    /// carry beside the discriminants stays in perception, and deeper layers give to identity.
    pub shallow_information: f64,
    /// Identity left in perception: cos⁺(E_i(P_i), E(X))², mean over three layers a step.
    pub leakage: f64,
}

impl FseWeights {
    /// Those of a fidelity.
    pub fn of(fidelity: Fidelity) -> Self {
        let none = FseWeights {
            angle: 0.0,
            alignment: 0.0,
            hsic: 0.0,
            retention: 0.0,
            information: 0.0,
            shallow_information: 0.0,
            leakage: 0.0,
        };
        match fidelity {
            Fidelity::Corrected => FseWeights {
                alignment: 2.0,
                hsic: 130.0,
                retention: 1.0,
                information: 0.25,
                shallow_information: 0.3,
                leakage: 2.0,
                ..none
            },
            Fidelity::Published => FseWeights { angle: 1.0, hsic: 0.5, retention: 0.5, ..none },
        }
    }

    fn all(&self) -> [f64; 7] {
        let w = self;
        [w.angle, w.alignment, w.hsic, w.retention, w.information, w.shallow_information, w.leakage]
    }
}

impl Default for FseWeights {
    fn default() -> Self {
        FseWeights::of(Fidelity::default())
    }
}

impl FseConfig {
    /// # Errors
    /// When a value is no finite number or the loss is zero whatever happens.
    pub fn validate(&self) -> Result<(), Error> {
        let weights = self.loss.all();
        if !self.initial_alpha.is_finite() || !weights.iter().all(|w| w.is_finite()) {
            return Err(Error::Config(
                "initial_alpha and the loss weights must be finite numbers".into(),
            ));
        }
        if weights.iter().all(|w| *w == 0.0) {
            return Err(Error::Config(
                "all weights under loss are 0, so stage I would learn nothing: give one a value"
                    .into(),
            ));
        }
        Ok(())
    }
}
