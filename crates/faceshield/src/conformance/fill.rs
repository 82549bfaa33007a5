//! Known weights and inputs: a counter-based generator, so that a case needs no
//! weight file.
use tch::{Device, Tensor};
use weights::Tensors;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// FNV-1a, 64 bits, over the UTF-8 bytes.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Element `k` of the uniform sequence of `name`, in [0, 1).
fn uniform(base: u64, k: u64) -> f64 {
    let mut z = base.wrapping_add((k + 1).wrapping_mul(GOLDEN));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 40) as f64 / (1u64 << 24) as f64
}

/// The generator of one case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fill {
    pub(super) seed: u64,
    /// Where its tensors lie.
    pub(super) device: Device,
}

impl Fill {
    fn tensor(self, name: &str, shape: &[i64], value: impl Fn(f64) -> f64) -> Tensor {
        let base = fnv1a(name) ^ self.seed.wrapping_mul(GOLDEN);
        let n: i64 = shape.iter().product();
        let values: Vec<f32> = (0..n as u64).map(|k| value(uniform(base, k)) as f32).collect();
        Tensor::from_slice(&values).view(shape).to_device(self.device)
    }

    /// `t(name, shape, lo, hi)` of the conformance cases.
    pub(super) fn between(self, name: &str, shape: &[i64], lo: f64, hi: f64) -> Tensor {
        self.tensor(name, shape, |u| lo + (hi - lo) * u)
    }

    /// `t(name, shape)`: in [−1, 1).
    pub(super) fn input(self, name: &str, shape: &[i64]) -> Tensor {
        self.between(name, shape, -1.0, 1.0)
    }

    /// Overwrites every weight with its known value; `prefix` (with its dot) is
    /// put before the names.
    pub(super) fn weights(self, prefix: &str, state: &Tensors) {
        let _guard = tch::no_grad_guard();
        for (name, tensor) in state {
            if name.contains("gaussin") {
                continue;
            }
            let shape = tensor.size();
            let fan = (3.0 * shape.first().copied().unwrap_or(1) as f64) / tensor.numel() as f64;
            let scale = 2.0 * fan.sqrt();
            let value: Box<dyn Fn(f64) -> f64> = match shape.len() {
                _ if name.ends_with("running_mean") || name.ends_with("bias") => {
                    Box::new(|u| 0.2 * (u - 0.5))
                }
                _ if name.ends_with("running_var") => Box::new(|u| 0.5 + u),
                0 | 1 => Box::new(|u| 0.8 + 0.4 * u),
                _ => Box::new(move |u| (u - 0.5) * scale),
            };
            let known = self.tensor(&format!("{prefix}{name}"), &shape, value);
            tensor.shallow_clone().copy_(&known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_and_sequence_are_the_documented_ones() {
        // FNV-1a's published test vectors.
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a"), 0xaf63_dc4c_8601_ec8c);
        // SplitMix64 with state 0: its first output is 0xE220A8397B1DCDAF.
        assert_eq!(uniform(0, 0), (0xE220_A839_7B1D_CDAFu64 >> 40) as f64 / 16_777_216.0);
    }
}
