//! Statistics as files: ours, and the published ones.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Kind, Tensor};
use weights::Tensors;

use super::{Stats, StatsMeaning};
use crate::config::READOUT_LAYERS;
use crate::{Error, Fidelity, ModelConfig};

impl Stats {
    /// Reads one safetensors (or `.pth`) file of all layers, or a folder of the
    /// published `readout_layer{i}.pth` files.
    ///
    /// `meaning` says what `s` holds; both readings compute √(s/(n−1)), which is
    /// right for centred files, and for raw ones is what the published code
    /// does with them under published fidelity; under corrected fidelity raw
    /// sums are centred by n·m² first.
    ///
    /// # Errors
    /// When a file cannot be read or is not this model's.
    pub fn read(path: &Path, config: &ModelConfig, meaning: StatsMeaning) -> Result<Self, Error> {
        let mut state = Tensors::new();
        if path.is_dir() {
            for i in 0..READOUT_LAYERS {
                let file = path.join(format!("readout_layer{i}.pth"));
                let archive = weights::read(&file)?;
                let count = match archive.other.get("n_samples") {
                    Some(weights::Scalar::Int(n)) => Some(Tensor::from(*n)),
                    Some(weights::Scalar::Float(n)) => Some(Tensor::from(*n)),
                    _ => None,
                };
                state.extend(count.map(|n| (format!("readout_layer{i}.n_samples"), n)));
                for (name, tensor) in archive.tensors {
                    state.insert(format!("readout_layer{i}.{name}"), tensor);
                }
            }
        } else {
            state = weights::read(path)?.tensors;
        }
        if meaning == StatsMeaning::Raw && config.fidelity == Fidelity::Corrected {
            for i in 0..READOUT_LAYERS {
                let name = |part: &str| format!("readout_layer{i}.{part}");
                let parts = (state.get(&name("m")), state.get(&name("n_samples")));
                if let ((Some(m), Some(n)), Some(s)) = (parts, state.get(&name("s"))) {
                    let n = n.to_kind(Kind::Double);
                    let m = m.to_kind(Kind::Double);
                    let centred = (s.to_kind(Kind::Double) - m.square() * n).clamp_min(0.0);
                    state.insert(name("s"), centred);
                }
            }
        }
        Stats::from_state(&state, config, path)
    }

    /// Writes one safetensors file, whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, path: &Path, note: &str) -> Result<(), Error> {
        let metadata = BTreeMap::from([
            ("kind".to_string(), "faceshield layer statistics".to_string()),
            ("s".to_string(), "centred: sum of (x - m)^2".to_string()),
            ("data".to_string(), note.to_string()),
        ]);
        weights::write_safetensors(path, &self.state(), &metadata)?;
        Ok(())
    }
}
