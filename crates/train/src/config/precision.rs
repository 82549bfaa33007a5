//! What a step computes in.

use c10d::torch::Autocast;
use serde::{Deserialize, Serialize};
use tch::Device;

/// The dtype of convolutions and matrix products. Parameters, their gradients, Adam's state
/// and the losses are float32 either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As the method was published.
    #[default]
    Float32,
    /// Half the memory for activations, and several times the speed where the device has
    /// units for it.
    BFloat16,
}

impl Precision {
    /// Applies to this thread's forward passes on `device` while it lives.
    pub fn enter(self, device: Device) -> Autocast {
        Autocast::new(device, self == Precision::BFloat16)
    }
}
