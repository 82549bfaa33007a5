mod accumulator;
mod discriminants;
mod file;
mod scatter;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use weights::Tensors;

use crate::config::READOUT_LAYERS;
use crate::{Error, ModelConfig};

pub use accumulator::StatsAccumulator;
pub use discriminants::Discriminants;

/// A neuron is active when it responds on more than this share of the images.
const ACTIVE_SHARE: f64 = 0.01;

/// What `s` of a published statistics file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatsMeaning {
    /// Σ(x − m)²: what files released with the method hold, and ours.
    #[default]
    Centred,
    /// Σx²: what the published preprocessing script writes. Read back, like the
    /// published code does, as if it were centred.
    Raw,
}

/// Mean, spread and activity of one feature, element by element [C, H, W].
///
/// Holds the sums as a file or checkpoint does, so that a resumed run, which
/// copies these in place, computes with what it has read.
#[derive(Debug)]
pub struct LayerStats {
    /// m.
    pub mean: Tensor,
    /// Σ(x − m)².
    squares: Tensor,
    /// Number of images with a response.
    nonzero: Tensor,
    /// Number of images, one int64.
    count: Tensor,
    /// What tells people apart, where it was asked for: in the features 1…9.
    pub discriminants: Option<Discriminants>,
}

/// Layer statistics of the features 0…10 over a data set (method.md §3).
#[derive(Debug)]
pub struct Stats {
    /// One entry a feature.
    pub layers: Vec<LayerStats>,
}

impl LayerStats {
    /// σ = √(Σ(x − m)²/(n − 1)).
    pub fn std(&self) -> Tensor {
        // One image has no spread; dividing by 1 keeps it at zero.
        let freedom = (&self.count - 1).clamp_min(1).to_kind(Kind::Float);
        (&self.squares / freedom).sqrt()
    }

    /// 1 where the neuron is active, else 0.
    pub fn active(&self) -> Tensor {
        let share = &self.nonzero / self.count.to_kind(Kind::Float);
        share.gt(ACTIVE_SHARE).to_kind(Kind::Float)
    }

    /// Statistics given directly, without a data set: as if of two images.
    pub fn from_parts(mean: Tensor, std: &Tensor, active: &Tensor) -> Self {
        let count = Tensor::from(2i64).to_device(mean.device());
        LayerStats {
            mean,
            squares: std.square(),
            nonzero: active * 2.0,
            count,
            discriminants: None,
        }
    }
}

impl Stats {
    /// Number of images measured.
    pub fn images(&self) -> i64 {
        self.layers.first().map_or(0, |layer| layer.count.int64_value(&[]))
    }

    /// The number of discriminants of a feature, the most that any has; 0: none was measured.
    pub fn discriminants(&self) -> i64 {
        let counts = self.layers.iter().flat_map(|layer| &layer.discriminants);
        counts.map(Discriminants::count).max().unwrap_or(0)
    }

    /// Keeps at most so many discriminants of each feature; 0: none.
    #[must_use]
    pub fn with_discriminants(mut self, most: usize) -> Self {
        for layer in &mut self.layers {
            let kept = layer.discriminants.take().filter(|_| most > 0);
            layer.discriminants =
                kept.map(|found| found.first(i64::try_from(most).unwrap_or(i64::MAX)));
        }
        self
    }

    /// Named as the published files are: `readout_layer{i}.m`, `.s`,
    /// `.n_samples`, `.neuron_nonzero`, with `s` centred; and, where there are discriminants,
    /// `.filters` and `.patterns`.
    pub fn state(&self) -> Tensors {
        let mut state = Tensors::new();
        for (i, layer) in self.layers.iter().enumerate() {
            let name = |part: &str| format!("readout_layer{i}.{part}");
            state.insert(name("m"), layer.mean.shallow_clone());
            state.insert(name("s"), layer.squares.shallow_clone());
            state.insert(name("neuron_nonzero"), layer.nonzero.shallow_clone());
            state.insert(name("n_samples"), layer.count.shallow_clone());
            if let Some(found) = &layer.discriminants {
                state.insert(name("filters"), found.filters().shallow_clone());
                state.insert(name("patterns"), found.patterns().shallow_clone());
            }
        }
        state
    }

    /// The reverse of [`Stats::state`]; `what` names the source in errors.
    ///
    /// # Errors
    /// When a name is missing or a shape is not this model's.
    pub fn from_state(state: &Tensors, config: &ModelConfig, what: &Path) -> Result<Self, Error> {
        let fail = |what_is: String| Error::File { path: what.to_path_buf(), what: what_is };
        let shapes = config.feature_shapes();
        let mut layers = Vec::new();
        for (i, &(c, side)) in shapes[..READOUT_LAYERS].iter().enumerate() {
            let get = |part: &str| {
                let name = format!("readout_layer{i}.{part}");
                state.get(&name).ok_or_else(|| {
                    fail(format!("no tensor {name}: this is not a file of layer statistics"))
                })
            };
            for part in ["m", "s", "neuron_nonzero"] {
                let size = get(part)?.size();
                if size != [c, side, side] {
                    return Err(fail(format!(
                        "readout_layer{i}.{part} is {size:?}, but this model's feature {i} is \
                         [{c}, {side}, {side}]: measure the statistics again for this image_size \
                         and width_divisor"
                    )));
                }
            }
            let n = get("n_samples")?;
            if n.numel() != 1 {
                return Err(fail(format!("readout_layer{i}.n_samples must be one number")));
            }
            let float = |t: &Tensor| t.to_kind(Kind::Float).to_device(Device::Cpu);
            let mut discriminants = None;
            if state.contains_key(&format!("readout_layer{i}.filters")) {
                let found = Discriminants::new(float(get("filters")?), float(get("patterns")?));
                if let Some(misfit) = found.misfit((c, side)) {
                    return Err(fail(format!("readout_layer{i}: {misfit}")));
                }
                discriminants = Some(found);
            }
            layers.push(LayerStats {
                mean: float(get("m")?),
                squares: float(get("s")?),
                nonzero: float(get("neuron_nonzero")?),
                count: n.to_kind(Kind::Int64).to_device(Device::Cpu).reshape([0i64; 0]),
                discriminants,
            });
        }
        Ok(Stats { layers })
    }

    /// A copy on another device.
    pub fn to_device(&self, device: Device) -> Self {
        let layers = self.layers.iter().map(|layer| LayerStats {
            mean: layer.mean.to_device(device),
            squares: layer.squares.to_device(device),
            nonzero: layer.nonzero.to_device(device),
            count: layer.count.to_device(device),
            discriminants: layer
                .discriminants
                .as_ref()
                .map(|found| found.map(|t| t.to_device(device))),
        });
        Stats { layers: layers.collect() }
    }
}
