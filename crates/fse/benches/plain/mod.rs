//! Stage I by its definition (method.md §3 and §4, in both fidelities), as a reader of the
//! formulas would write it: what ours is compared with, in value and gradients by
//! `tests/plain.rs`, in time and memory by `benches/step.rs`.
//!
//! Readouts are resized to every layer's own size and concatenated, each layer has its
//! convolutions to itself, the restricted passes run one by one, kernels are whole matrices,
//! and autograd goes through everything. All of it works on the named tensors of
//! `Extractor::state`; of our own code only the noise is drawn by it.
// A test or a bench that includes this uses a part of it.
#![allow(dead_code)]

pub(crate) mod encoder;
pub(crate) mod independence;

use ::encoder::{Fidelity, ModelConfig, READOUT_LAYERS, SEPARATION_LAYERS};
use fse::Noise;
use tch::Tensor;
use weights::Tensors;

/// The frozen encoder, statistics and separation layers, by name.
pub(crate) struct Plain {
    tensors: Tensors,
    model: ModelConfig,
}

/// What the separation layers make of features: λ_i, Z_i and P_i of the layers 0…9.
pub(crate) struct Parts {
    pub(crate) lambdas: Vec<Tensor>,
    pub(crate) z: Vec<Tensor>,
    pub(crate) p: Vec<Tensor>,
}

/// The terms of the loss, by the names that stage I reports.
pub(crate) type Terms = Vec<(&'static str, Tensor)>;

impl Plain {
    /// From `Extractor::state`, whose tensors are shared.
    pub(crate) fn new(tensors: Tensors, model: &ModelConfig) -> Self {
        Plain { tensors, model: model.clone() }
    }

    pub(crate) fn encoder(&self) -> encoder::PlainEncoder<'_> {
        encoder::PlainEncoder { tensors: &self.tensors, model: &self.model }
    }

    /// Mean, standard deviation and activity of feature `i`.
    fn stats(&self, i: usize) -> [Tensor; 3] {
        let get = |part: &str| &self.tensors[&format!("stats.readout_layer{i}.{part}")];
        let (m, s, n) = (get("m"), get("s"), get("n_samples").to_kind(get("m").kind()));
        let active = (get("neuron_nonzero") / &n).gt(0.01).to_kind(m.kind());
        [m.shallow_clone(), (s / (n - 1)).sqrt(), active]
    }

    /// D Vᵀ x of deviations of feature `i`, one filter at a time; none were measured: zeros.
    fn component(&self, x: &Tensor, i: usize) -> Tensor {
        let get = |part: &str| self.tensors.get(&format!("stats.readout_layer{i}.{part}"));
        let (Some(filters), Some(patterns)) = (get("filters"), get("patterns")) else {
            return x.zeros_like();
        };
        let (grid, side) = (filters.size()[2], x.size()[2]);
        let means = x.adaptive_avg_pool2d([grid, grid]);
        let cells = side / grid;
        let one = |k: i64| {
            let read = (&means * filters.get(k)).sum_dim_intlist(&[1i64, 2, 3][..], true, None);
            let pattern = patterns.get(k);
            let wide = pattern.repeat_interleave_self_int(cells, 1, None);
            read * wide.repeat_interleave_self_int(cells, 2, None)
        };
        (1..filters.size()[0]).map(one).fold(one(0), |sum, part| sum + part)
    }

    /// f − D Vᵀ (f − m), what of feature `i` the masks share out.
    fn rest(&self, feature: &Tensor, i: usize) -> Tensor {
        let [mean, ..] = self.stats(i);
        feature - self.component(&(feature - mean), i)
    }

    /// What of the features 0…9 counts as perception: (1 − λ_i) f'_i.
    pub(crate) fn perceived(&self, features: &[Tensor], lambdas: &[Tensor]) -> Vec<Tensor> {
        let of = |(i, lambda): (usize, &Tensor)| (1.0 - lambda) * self.rest(&features[i], i);
        lambdas.iter().enumerate().map(of).collect()
    }

    /// λ_i: all readouts at the size of feature `i`, concatenated, through three convolutions.
    fn lambda(&self, features: &[Tensor], i: usize) -> Tensor {
        let side = features[i].size()[2];
        let readout = |j: usize| {
            let [mean, std, _] = self.stats(j);
            ((&features[j] - mean) / std.clamp_min(0.01)).upsample_bilinear2d(
                [side, side],
                true,
                None::<f64>,
                None::<f64>,
            )
        };
        let readouts: Vec<Tensor> = (0..READOUT_LAYERS).map(readout).collect();
        let layer = |name: &str| &self.tensors[&format!("se.iba_{i}.{name}")];
        let conv = |x: &Tensor, name: &str| {
            let (weight, bias) = (layer(&format!("{name}.weight")), layer(&format!("{name}.bias")));
            x.conv2d(weight, Some(bias), [1, 1], [0, 0], [1, 1], 1)
        };
        let hidden = conv(&Tensor::cat(&readouts, 1), "conv1").relu();
        let alpha = conv(&conv(&hidden, "conv2").relu(), "conv3");
        let lambda = alpha.clamp(-5.0, 5.0).sigmoid();
        let smoothing = layer("gaussin.conv.weight");
        lambda.conv2d(smoothing, None::<Tensor>, [1, 1], [0, 0], [1, 1], smoothing.size()[0])
    }

    /// λ, Z and P of features 0…10: sources, then targets.
    pub(crate) fn parts(&self, features: &[Tensor], noise: &Noise) -> Parts {
        let normal =
            |stream: usize, like: &Tensor| noise.normal(stream as u64, like).expect("a seed each");
        let mut parts = Parts { lambdas: Vec::new(), z: Vec::new(), p: Vec::new() };
        for i in 0..SEPARATION_LAYERS {
            let (f, lambda) = (&features[i], self.lambda(features, i));
            let [mean, std, active] = self.stats(i);
            let (identity, rest) = (self.component(&(f - &mean), i), self.rest(f, i));
            let n = normal(2 * i, f) * &std;
            let epsilon = &n - self.component(&n, i) + &mean;
            parts.z.push((identity + &lambda * &rest + (1.0 - &lambda) * epsilon) * active);
            let n = normal(2 * i + 1, f);
            let epsilon = match self.model.fidelity {
                Fidelity::Corrected => n * std + mean,
                Fidelity::Published => {
                    let sources = f.narrow(0, 0, f.size()[0] / 2);
                    let mean = sources.mean_dim(&[0i64][..], true, None);
                    n * &mean + mean
                }
            };
            parts.p.push((1.0 - &lambda) * rest + &lambda * epsilon);
            parts.lambdas.push(lambda);
        }
        parts
    }

    /// z_id: the mean of ten restricted passes, one after the other.
    pub(crate) fn separated(&self, z: &[Tensor]) -> Tensor {
        let passes: Vec<Tensor> =
            z.iter().enumerate().map(|(i, z)| self.encoder().restricted(z, i)).collect();
        Tensor::stack(&passes, 0).mean_dim(&[0i64][..], false, None)
    }

    /// The terms of the loss on images [2B, 3, S, S], sources first.
    /// Those of weight 0 are left out, but for the two that cost little. `probed`: the layers in
    /// which perception must not be recognised.
    pub(crate) fn objective(
        &self,
        images: &Tensor,
        noise: &Noise,
        w: &fse::FseWeights,
        probed: &[usize],
    ) -> Terms {
        let fidelity = self.model.fidelity;
        let features = self.encoder().features(images);
        let parts = self.parts(&features[..READOUT_LAYERS], noise);
        let identity = self.separated(&parts.z);
        let whole = self.encoder().head(&features[features.len() - 1]);
        let cos = Tensor::cosine_similarity(&whole, &identity, 1, 1e-8);

        let layers = |of: &dyn Fn(usize) -> Tensor| {
            let layers: Vec<Tensor> = (1..SEPARATION_LAYERS).map(of).collect();
            Tensor::stack(&layers, 0).mean_dim(&[0i64][..], false, None)
        };
        let compared = |i: usize| match fidelity {
            Fidelity::Corrected => {
                let [mean, std, _] = self.stats(i);
                let std = std.clamp_min(0.01);
                ((&parts.z[i] - &mean) / &std, (&parts.p[i] - mean) / std)
            }
            Fidelity::Published => (parts.z[i].shallow_clone(), parts.p[i].shallow_clone()),
        };
        let pairs = images.size()[0] / 2;
        let half = |t: &Tensor, k: i64| t.narrow(0, k * pairs, pairs).mean(None);
        let mut terms = Terms::new();
        let mut halves = |names: [&'static str; 2], weight: f64, of: &dyn Fn(usize) -> Tensor| {
            if weight != 0.0 {
                let values = layers(of);
                terms.extend([(names[0], half(&values, 0)), (names[1], half(&values, 1))]);
            }
        };
        halves(["angle_source", "angle_target"], w.angle, &|i| {
            let (z, p) = compared(i);
            independence::angle(&z, &p, fidelity)
        });
        halves(["alignment_source", "alignment_target"], w.alignment, &|i| {
            let (z, p) = compared(i);
            independence::alignment(&z, &p)
        });
        halves(["hsic_source", "hsic_target"], w.hsic, &|i| {
            let (z, p) = compared(i);
            independence::hsic_of_maps(&z, &p, fidelity)
        });
        terms.push(("retention", 2.0 - half(&cos, 0) - half(&cos, 1)));
        let information_of = |i: usize| {
            let [mean, std, active] = self.stats(i);
            let (lambda, rest) = (&parts.lambdas[i], self.rest(&features[i], i));
            let (r, noise): (_, Tensor) = ((rest - mean) / std.clamp_min(0.01), 1.0 - lambda);
            let variance = noise.square();
            ((variance.log() + 1.0 - (lambda * r).square() - variance) * -0.5 * active).mean(None)
        };
        terms.push(("information", layers(&information_of)));
        if w.shallow_information != 0.0 {
            let shallow: Vec<Tensor> = (1..4).map(information_of).collect();
            terms.push(("shallow_information", Tensor::stack(&shallow, 0).mean(None)));
        }
        if w.leakage != 0.0 {
            let left = |&i: &usize| {
                let seen = self.encoder().restricted(&parts.p[i], i);
                let cos = Tensor::cosine_similarity(&whole, &seen, 1, 1e-8);
                cos.clamp_min(0.0).square().mean(None)
            };
            let leakage: Vec<Tensor> = probed.iter().map(left).collect();
            terms.push(("leakage", Tensor::stack(&leakage, 0).mean(None)));
        }
        terms
    }
}

/// The weighted sum of the terms.
pub(crate) fn total(terms: &Terms, w: &fse::FseWeights) -> Tensor {
    let weight = |name: &str| match name.split('_').next() {
        Some("angle") => w.angle,
        Some("alignment") => w.alignment,
        Some("hsic") => w.hsic,
        Some("retention") => w.retention,
        Some("information") => w.information,
        Some("shallow") => w.shallow_information,
        _ => w.leakage,
    };
    let weighted: Vec<Tensor> = terms.iter().map(|(name, t)| t * weight(name)).collect();
    Tensor::stack(&weighted, 0).sum(None)
}
