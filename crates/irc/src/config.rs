use encoder::BatchStatistics;
use serde::{Deserialize, Serialize};

use crate::Error;

/// What stage II can be told, beside the engine's and the model's options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IrcConfig {
    /// Share of the batches whose generator is conditioned on a perturbed
    /// identity; published fidelity never does.
    pub perturbed_share: f64,
    /// ε of that perturbation (the published mechanism: a noise scale, no
    /// privacy guarantee).
    pub epsilon: f64,
    /// What the batch norms of decoder and discriminators see.
    pub batch_norm: BatchStatistics,
    /// Blocks of the generator whose maps are this many pixels wide or more compute their
    /// intermediate results again in the backward pass instead of keeping them: less memory
    /// for more time. 0: none does. Unless it is 0, the Xception's blocks do the same.
    pub recompute_from: i64,
    /// Xception weights from ImageNet for the implicit identity discriminator;
    /// empty: none.
    pub iid_weights: String,
    /// Weights of the generator's terms.
    pub loss: IrcWeights,
}

impl Default for IrcConfig {
    fn default() -> Self {
        IrcConfig {
            perturbed_share: 0.5,
            epsilon: 1.0,
            batch_norm: BatchStatistics::default(),
            recompute_from: 128,
            iid_weights: String::new(),
            loss: IrcWeights::default(),
        }
    }
}

/// L = adv·adv + iid·iid + per·per + neg·neg + pos·pos (method.md §6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IrcWeights {
    /// Deceive the image discriminator.
    pub adv: f64,
    /// Deceive the implicit identity discriminator.
    pub iid: f64,
    /// Keep the target's perceptual features and pixels.
    pub per: f64,
    /// Keep away from the target's identity.
    pub neg: f64,
    /// Come near the source's identity.
    pub pos: f64,
}

impl Default for IrcWeights {
    fn default() -> Self {
        IrcWeights { adv: 3.3, iid: 1.6, per: 1.0, neg: 0.5, pos: 2.0 }
    }
}

impl IrcConfig {
    /// # Errors
    /// When a value makes no sense.
    pub fn validate(&self) -> Result<(), Error> {
        if !(0.0..=1.0).contains(&self.perturbed_share) {
            return Err(Error::Config(format!(
                "perturbed_share = {}: a share lies between 0 and 1",
                self.perturbed_share
            )));
        }
        dpp::Angular::new(self.epsilon)?;
        let w = &self.loss;
        let weights = [w.adv, w.iid, w.per, w.neg, w.pos];
        if !weights.iter().all(|w| w.is_finite()) || weights.iter().all(|w| *w == 0.0) {
            return Err(Error::Config(
                "the weights under loss must be finite numbers, and not all 0".into(),
            ));
        }
        Ok(())
    }
}
