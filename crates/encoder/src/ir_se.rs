use c10d::torch::widened;
use tch::{Tensor, nn};

use crate::config::{GROUPS, ModelConfig};

const EPS: f64 = 1e-5;

/// A convolution without bias, Kaiming-normal at start.
fn conv(p: nn::Path, c_in: i64, c_out: i64, kernel: i64, stride: i64) -> nn::Conv2D {
    let config = nn::ConvConfig {
        stride,
        padding: kernel / 2,
        bias: false,
        ws_init: nn::init::DEFAULT_KAIMING_NORMAL,
        ..Default::default()
    };
    nn::conv2d(p, c_in, c_out, kernel, config)
}

/// Batch normalisation with the stored statistics: the encoder is frozen, so
/// the batch never enters.
#[derive(Debug)]
struct FrozenNorm {
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
}

impl FrozenNorm {
    fn new(p: nn::Path, width: i64) -> Self {
        FrozenNorm {
            weight: p.ones("weight", &[width]),
            bias: p.zeros("bias", &[width]),
            mean: p.zeros_no_train("running_mean", &[width]),
            var: p.ones_no_train("running_var", &[width]),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        if x.requires_grad() {
            return self.scale_and_shift(x);
        }
        x.batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.mean),
            Some(&self.var),
            false,
            0.1,
            EPS,
            false,
        )
    }

    /// The same, where there is a backward pass: libtorch's batch norm would keep `x` for it,
    /// which, with nothing to learn here, it does not need.
    fn scale_and_shift(&self, x: &Tensor) -> Tensor {
        let shape: &[i64] = if x.dim() == 4 { &[-1, 1, 1] } else { &[-1] };
        let scale = &self.weight * (&self.var + EPS).rsqrt();
        let shift = &self.bias - &self.mean * &scale;
        (x * scale.view(shape)).g_add_(&shift.view(shape))
    }
}

fn prelu(p: nn::Path, width: i64) -> Tensor {
    p.var("weight", &[width], nn::Init::Const(0.25))
}

/// One residual unit with squeeze-excite.
#[derive(Debug)]
struct Unit {
    norm1: FrozenNorm,
    conv1: nn::Conv2D,
    slope: Tensor,
    conv2: nn::Conv2D,
    norm2: FrozenNorm,
    squeeze: nn::Conv2D,
    excite: nn::Conv2D,
    shortcut: Option<(nn::Conv2D, FrozenNorm)>,
    stride: i64,
}

impl Unit {
    fn new(p: nn::Path, c_in: i64, depth: i64, stride: i64) -> Self {
        let res = &p / "res_layer";
        // Narrow models keep at least one channel in the squeeze.
        let squeezed = (depth / 16).max(1);
        let short = &p / "shortcut_layer";
        Unit {
            norm1: FrozenNorm::new(&res / 0, c_in),
            conv1: conv(&res / 1, c_in, depth, 3, 1),
            slope: prelu(&res / 2, depth),
            conv2: conv(&res / 3, depth, depth, 3, stride),
            norm2: FrozenNorm::new(&res / 4, depth),
            squeeze: conv(&res / 5 / "fc1", depth, squeezed, 1, 1),
            excite: conv(&res / 5 / "fc2", squeezed, depth, 1, 1),
            shortcut: (c_in != depth).then(|| {
                (conv(&short / 0, c_in, depth, 1, stride), FrozenNorm::new(&short / 1, depth))
            }),
            stride,
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let r = self.norm1.forward(x).apply(&self.conv1).prelu(&self.slope).apply(&self.conv2);
        let r = self.norm2.forward(&r);
        let gate = r
            .mean_dim(&[2i64, 3][..], true, None)
            .apply(&self.squeeze)
            .relu()
            .apply(&self.excite)
            .sigmoid();
        let r = r * gate;
        match &self.shortcut {
            Some((conv, norm)) => r + norm.forward(&x.apply(conv)),
            None if self.stride == 1 => r + x,
            None => {
                let (h, w) = (x.size()[2], x.size()[3]);
                r + x.slice(2, 0, h, self.stride).slice(3, 0, w, self.stride)
            }
        }
    }
}

/// The frozen face recogniser, IR-SE-50: photo → unit identity vector, and the
/// intermediate features the separation layers work on.
///
/// Names under its path are those of the published state dict (method.md §2).
#[derive(Debug)]
pub struct Encoder {
    config: ModelConfig,
    input: (nn::Conv2D, FrozenNorm, Tensor),
    body: Vec<Unit>,
    output: (FrozenNorm, nn::Linear, FrozenNorm),
}

impl Encoder {
    /// Builds the modules under `p`, randomly initialised.
    pub fn new(p: &nn::Path, config: &ModelConfig) -> Self {
        let shapes = config.feature_shapes();
        let first = shapes[0].0;
        let input = p / "input_layer";
        let mut body = Vec::new();
        let mut c_in = first;
        for (units, width) in GROUPS {
            for unit in 0..units {
                let stride = if unit == 0 { 2 } else { 1 };
                let depth = config.width(width);
                body.push(Unit::new(p / "body" / body.len(), c_in, depth, stride));
                c_in = depth;
            }
        }
        let (c, side) = shapes[shapes.len() - 1];
        let out = p / "output_layer128";
        Encoder {
            config: config.clone(),
            input: (
                conv(&input / 0, 3, first, 3, 1),
                FrozenNorm::new(&input / 1, first),
                prelu(&input / 2, first),
            ),
            body,
            output: (
                FrozenNorm::new(&out / 0, c),
                nn::linear(&out / 3, c * side * side, config.embedding(), Default::default()),
                FrozenNorm::new(&out / 4, config.embedding()),
            ),
        }
    }

    /// The crop of the face that the encoder sees, at its input size.
    ///
    /// # Shapes
    /// `images` [B, 3, S, S] → [B, 3, 128, 128] (64 for 256-pixel images).
    pub fn prepare(&self, images: &Tensor) -> Tensor {
        let (from, to) = self.config.crop();
        let side = self.config.encoder_input();
        images.slice(2, from, to, 1).slice(3, from, to, 1).upsample_bilinear2d(
            [side, side],
            true,
            None::<f64>,
            None::<f64>,
        )
    }

    /// Features `f_0 … f_last` of full-size images [B, 3, S, S].
    pub fn features(&self, images: &Tensor, last: usize) -> Vec<Tensor> {
        let (conv, norm, slope) = &self.input;
        let first = norm.forward(&self.prepare(images).apply(conv)).prelu(slope);
        let mut features = vec![first];
        for unit in &self.body[..last] {
            let next = unit.forward(&features[features.len() - 1]);
            features.push(next);
        }
        // What is made of features, unlike them, is float32 under autocast, too.
        features.iter().map(widened).collect()
    }

    /// `E_index(z)`: feature `index` replaced by `z`, the rest run,
    /// L2-normalised. Feature 24 is the last.
    ///
    /// # Shapes
    /// `z` as feature `index` → [B, 512].
    pub fn from_feature(&self, z: &Tensor, index: usize) -> Tensor {
        let mut x = z.shallow_clone();
        for unit in &self.body[index..] {
            x = unit.forward(&x);
        }
        self.head(&x)
    }

    /// All restricted passes `E_i(z_i)`, i = 0…N−1, walked down together: the
    /// batch grows by `z_i` where feature `i` enters.
    ///
    /// # Shapes
    /// `z` N features of one batch B → [N, B, 512].
    pub fn restricted(&self, z: &[Tensor]) -> Tensor {
        let batch = z[0].size()[0];
        let mut x = z[0].shallow_clone();
        for (k, unit) in self.body.iter().enumerate() {
            x = unit.forward(&x);
            if let Some(next) = z.get(k + 1) {
                x = Tensor::cat(&[&x, next], 0);
            }
        }
        self.head(&x).view([z.len() as i64, batch, -1])
    }

    /// The identity `E(images)`: [B, 3, S, S] → [B, 512], unit length.
    pub fn embed(&self, images: &Tensor) -> Tensor {
        let features = self.features(images, 0);
        self.from_feature(&features[0], 0)
    }

    fn head(&self, x: &Tensor) -> Tensor {
        let (norm2d, linear, norm1d) = &self.output;
        let embedding = norm2d.forward(x).flatten(1, -1).apply(linear);
        normalize(&norm1d.forward(&widened(&embedding)))
    }
}

/// Rows of `x` [B, D] scaled to unit length (as torch's `normalize`: at least
/// 1e-12 is divided by).
pub fn normalize(x: &Tensor) -> Tensor {
    x / x.norm_scalaropt_dim(2.0, &[-1i64][..], true).clamp_min(1e-12)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn walking_down_together_equals_ten_passes() {
        tch::manual_seed(1);
        let config = ModelConfig { image_size: 256, width_divisor: 16, ..Default::default() };
        let mut vs = nn::VarStore::new(Device::Cpu);
        let encoder = Encoder::new(&vs.root(), &config);
        vs.double();
        let images = Tensor::rand([2, 3, 256, 256], (Kind::Double, Device::Cpu)) * 2 - 1;
        let features = tch::no_grad(|| encoder.features(&images, 9));
        let z: Vec<Tensor> = features.iter().map(|f| f.set_requires_grad(true)).collect();
        let direction = Tensor::randn([10, 2, 32], (Kind::Double, Device::Cpu));
        let of = |passes: Tensor| {
            let along = (&passes * &direction).sum(None);
            let mut all = Tensor::run_backward(&[along], &z, false, false);
            all.push(passes.detach());
            all
        };
        let alone: Vec<Tensor> =
            z.iter().enumerate().map(|(i, z)| encoder.from_feature(z, i)).collect();
        let expected = of(Tensor::stack(&alone, 0));
        for (i, (found, expected)) in of(encoder.restricted(&z)).iter().zip(&expected).enumerate() {
            let gap = (found - expected).abs().max() / expected.abs().max();
            assert!(gap.double_value(&[]) < 1e-11, "{i}: {gap}");
        }
        let identity = encoder.embed(&images);
        assert_eq!(identity.size(), [2, 32]);
        let length = identity.norm_scalaropt_dim(2.0, &[1i64][..], false);
        assert!((length - 1.0).abs().max().double_value(&[]) < 1e-12);
    }

    /// Odd sizes, one channel, flat features; maps that do not vary.
    #[test]
    fn scale_and_shift_are_the_frozen_norm() {
        tch::manual_seed(2);
        let random = |shape: &[i64]| Tensor::rand(shape, (Kind::Double, Device::Cpu));
        for shape in [&[3, 5, 7, 3][..], &[2, 1, 1, 9], &[4, 6]] {
            let width = shape[1];
            let norm = FrozenNorm {
                weight: random(&[width]) - 0.5,
                bias: random(&[width]) - 0.5,
                mean: random(&[width]) - 0.5,
                var: random(&[width]) * 3.0,
            };
            let direction = random(shape);
            for x in [random(shape), direction.ones_like()] {
                let x = x.set_requires_grad(true);
                let of = |y: Tensor| {
                    let along = (&y * &direction).sum(None);
                    [y.detach(), Tensor::run_backward(&[along], &[&x], false, false).remove(0)]
                };
                let (w, b) = (Some(&norm.weight), Some(&norm.bias));
                let (m, v) = (Some(&norm.mean), Some(&norm.var));
                let expected = of(x.batch_norm(w, b, m, v, false, 0.1, EPS, false));
                for (found, expected) in of(norm.forward(&x)).iter().zip(&expected) {
                    let gap = (found - expected).abs().max().double_value(&[]);
                    assert!(gap < 1e-12, "{shape:?}: {gap:e}");
                }
            }
        }
    }
}
