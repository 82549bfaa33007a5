use serde::{Deserialize, Serialize};

use crate::Error;

/// What stage I can be told, beside the engine's and the model's options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FseConfig {
    /// α that the separation layers start from; λ = sigmoid(α), so 5 is λ = 0.993.
    pub initial_alpha: f64,
    /// Weights of the terms of the loss.
    pub loss: FseWeights,
}

impl Default for FseConfig {
    fn default() -> Self {
        FseConfig { initial_alpha: 5.0, loss: FseWeights::default() }
    }
}

/// L = angle (angle_s + angle_t) + hsic (hsic_s + hsic_t) + retention · retention
/// + information · information.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FseWeights {
    /// Spatial independence.
    pub angle: f64,
    /// Statistical independence.
    pub hsic: f64,
    /// Identity retention.
    pub retention: f64,
    /// Information let through, nats per active neuron, mean over layers 1…9.
    pub information: f64,
}

impl Default for FseWeights {
    fn default() -> Self {
        FseWeights { angle: 1.0, hsic: 0.5, retention: 0.5, information: 0.0 }
    }
}

impl FseConfig {
    /// # Errors
    /// When a value is no finite number or the loss is zero whatever happens.
    pub fn validate(&self) -> Result<(), Error> {
        let w = &self.loss;
        let weights = [w.angle, w.hsic, w.retention, w.information];
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
