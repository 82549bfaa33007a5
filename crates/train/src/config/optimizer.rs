//! How gradients become updates.

use serde::{Deserialize, Serialize};

/// The rule that parameters follow their gradients by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// Adam (Kingma & Ba 2015), with the betas of each group.
    #[default]
    Adam,
    /// Stochastic gradient descent with `momentum`, and Nesterov's if `nesterov`.
    Sgd,
}
