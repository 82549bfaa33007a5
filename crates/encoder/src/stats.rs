use std::collections::BTreeMap;
use std::path::Path;

use c10d::World;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use weights::Tensors;

use crate::config::READOUT_LAYERS;
use crate::{Encoder, Error, Fidelity, ModelConfig};

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
}

/// Layer statistics of the features 0…10 over a data set (method.md §3).
#[derive(Debug)]
pub struct Stats {
    /// One entry a feature.
    pub layers: Vec<LayerStats>,
}

/// Gathers statistics batch by batch: exact for any batch size, and mergeable
/// over ranks (Chan, Golub, LeVeque 1983), in float64.
#[derive(Debug)]
pub struct StatsAccumulator {
    threshold: f64,
    count: f64,
    /// Mean, Σ(x − mean)², responses: float64 [C, H, W] each, per layer.
    moments: Vec<[Tensor; 3]>,
}

impl StatsAccumulator {
    /// An empty one for this model's features.
    pub fn new(config: &ModelConfig, device: Device) -> Self {
        let shapes = config.feature_shapes();
        let zeros =
            |&(c, side): &(i64, i64)| Tensor::zeros([c, side, side], (Kind::Double, device));
        StatsAccumulator {
            threshold: match config.fidelity {
                Fidelity::Corrected => 0.0,
                Fidelity::Published => 0.01,
            },
            count: 0.0,
            moments: shapes[..READOUT_LAYERS]
                .iter()
                .map(|shape| [zeros(shape), zeros(shape), zeros(shape)])
                .collect(),
        }
    }

    /// Adds a batch of images [B, 3, S, S].
    pub fn add(&mut self, encoder: &Encoder, images: &Tensor) {
        let _guard = tch::no_grad_guard();
        let batch = images.size()[0] as f64;
        let features = encoder.features(images, READOUT_LAYERS - 1);
        for (moments, feature) in self.moments.iter_mut().zip(features) {
            let x = feature.to_kind(Kind::Double);
            let mean = x.mean_dim(&[0i64][..], false, None);
            let squares = (&x - &mean).square().sum_dim_intlist(&[0i64][..], false, None);
            let responses =
                x.abs().gt(self.threshold).sum_dim_intlist(&[0i64][..], false, Kind::Double);
            combine(moments, self.count, &[mean, squares, responses], batch);
        }
        self.count += batch;
    }

    /// Adds what another accumulator has seen.
    pub fn merge(&mut self, other: &StatsAccumulator) {
        let _guard = tch::no_grad_guard();
        for (moments, theirs) in self.moments.iter_mut().zip(&other.moments) {
            combine(moments, self.count, theirs, other.count);
        }
        self.count += other.count;
    }

    /// Merges all ranks' accumulators, in the order of ranks, on every rank.
    ///
    /// # Errors
    /// When another rank cannot be reached.
    pub fn merge_ranks(self, world: &World) -> Result<Self, Error> {
        if world.size() == 1 {
            return Ok(self);
        }
        let device = self.moments[0][0].device();
        let counts = world.all_gather(&Tensor::from_slice(&[self.count]).to_device(device))?;
        let mut parts: Vec<StatsAccumulator> = counts
            .iter()
            .map(|count| StatsAccumulator {
                threshold: self.threshold,
                count: count.double_value(&[0]),
                moments: Vec::new(),
            })
            .collect();
        for moments in &self.moments {
            let gathered = world.all_gather(&Tensor::stack(moments, 0))?;
            for (part, tensor) in parts.iter_mut().zip(gathered) {
                part.moments.push([tensor.get(0), tensor.get(1), tensor.get(2)]);
            }
        }
        let mut parts = parts.into_iter();
        let Some(mut all) = parts.next() else { return Ok(self) };
        parts.for_each(|part| all.merge(&part));
        Ok(all)
    }

    /// The statistics of all that was added.
    ///
    /// # Errors
    /// When nothing was.
    pub fn finish(self) -> Result<Stats, Error> {
        if self.count == 0.0 {
            return Err(Error::NoImages);
        }
        let float = |t: &Tensor| t.to_kind(Kind::Float);
        let layers = self.moments.iter().map(|[mean, squares, nonzero]| LayerStats {
            mean: float(mean),
            squares: float(squares),
            nonzero: float(nonzero),
            count: Tensor::from(self.count as i64).to_device(mean.device()),
        });
        Ok(Stats { layers: layers.collect() })
    }
}

/// Adds moments over `n` images to moments over `count`.
fn combine(into: &mut [Tensor; 3], count: f64, other: &[Tensor; 3], n: f64) {
    if n == 0.0 {
        return;
    }
    let total = count + n;
    let delta = &other[0] - &into[0];
    into[1] += &other[1] + delta.square() * (count * n / total);
    into[0] += delta * (n / total);
    into[2] += &other[2];
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
        LayerStats { mean, squares: std.square(), nonzero: active * 2.0, count }
    }
}

impl Stats {
    /// Number of images measured.
    pub fn images(&self) -> i64 {
        self.layers.first().map_or(0, |layer| layer.count.int64_value(&[]))
    }

    /// Named as the published files are: `readout_layer{i}.m`, `.s`,
    /// `.n_samples`, `.neuron_nonzero`, with `s` centred.
    pub fn state(&self) -> Tensors {
        let mut state = Tensors::new();
        for (i, layer) in self.layers.iter().enumerate() {
            let name = |part: &str| format!("readout_layer{i}.{part}");
            state.insert(name("m"), layer.mean.shallow_clone());
            state.insert(name("s"), layer.squares.shallow_clone());
            state.insert(name("neuron_nonzero"), layer.nonzero.shallow_clone());
            state.insert(name("n_samples"), layer.count.shallow_clone());
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
            layers.push(LayerStats {
                mean: float(get("m")?),
                squares: float(get("s")?),
                nonzero: float(get("neuron_nonzero")?),
                count: n.to_kind(Kind::Int64).to_device(Device::Cpu).reshape([0i64; 0]),
            });
        }
        Ok(Stats { layers })
    }

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

    /// A copy on another device.
    pub fn to_device(&self, device: Device) -> Self {
        let layers = self.layers.iter().map(|layer| LayerStats {
            mean: layer.mean.to_device(device),
            squares: layer.squares.to_device(device),
            nonzero: layer.nonzero.to_device(device),
            count: layer.count.to_device(device),
        });
        Stats { layers: layers.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::nn;

    fn setup() -> (ModelConfig, Encoder, Tensor) {
        tch::manual_seed(3);
        let config = ModelConfig { image_size: 256, width_divisor: 16, ..Default::default() };
        let vs = nn::VarStore::new(Device::Cpu);
        let encoder = Encoder::new(&vs.root(), &config);
        let images = Tensor::rand([7, 3, 256, 256], (Kind::Float, Device::Cpu)) * 2 - 1;
        (config, encoder, images)
    }

    #[test]
    fn any_split_and_merge_gives_the_plain_two_pass_statistics() {
        let (config, encoder, images) = setup();
        let mut one = StatsAccumulator::new(&config, Device::Cpu);
        for k in 0..3 {
            one.add(&encoder, &images.narrow(0, k, 1));
        }
        let mut two = StatsAccumulator::new(&config, Device::Cpu);
        two.add(&encoder, &images.narrow(0, 3, 4));
        one.merge(&two);
        let stats = one.finish().unwrap();
        let features = tch::no_grad(|| encoder.features(&images, 10));
        for (layer, feature) in stats.layers.iter().zip(features) {
            let x = feature.to_kind(Kind::Double);
            let mean = x.mean_dim(&[0i64][..], false, None);
            let std = x.std_dim(&[0i64][..], true, false);
            // Convolutions of different batch sizes differ in the last bits.
            let error =
                |a: &Tensor, b: &Tensor| ((a - b).abs().max() / b.abs().max()).double_value(&[]);
            assert!(error(&layer.mean, &mean) < 1e-5);
            assert!(error(&layer.std(), &std) < 1e-5);
        }
        assert_eq!(stats.images(), 7);
    }

    #[test]
    fn a_file_gives_back_what_was_measured() {
        let (config, encoder, images) = setup();
        let mut acc = StatsAccumulator::new(&config, Device::Cpu);
        acc.add(&encoder, &images);
        let stats = acc.finish().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stats.safetensors");
        stats.write(&path, "test").unwrap();
        let read = Stats::read(&path, &config, StatsMeaning::Centred).unwrap();
        for (a, b) in stats.layers.iter().zip(&read.layers) {
            assert!(a.mean.equal(&b.mean) && a.active().equal(&b.active()));
            assert!(a.std().equal(&b.std()));
        }
        let wider = ModelConfig { width_divisor: 8, ..config };
        let error = Stats::read(&path, &wider, StatsMeaning::Centred).unwrap_err().to_string();
        assert!(error.contains("readout_layer0.m is [4, 64, 64]"), "{error}");
    }
}
