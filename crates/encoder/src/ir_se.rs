use std::convert::Infallible;

use c10d::torch::widened;
use tch::{Tensor, nn};

use crate::config::{GROUPS, ModelConfig};
use crate::norm::{BatchNorm, Mode};

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

/// How a norm is applied: as frozen, or as some mode of training says.
type Apply<'a, E> = &'a dyn Fn(&BatchNorm, &Tensor) -> Result<Tensor, E>;

/// With the stored statistics, which cannot fail.
const FROZEN: Apply<'static, Infallible> = &|norm, x| Ok(norm.frozen(x));

fn prelu(p: nn::Path, width: i64) -> Tensor {
    p.var("weight", &[width], nn::Init::Const(0.25))
}

/// One residual unit with squeeze-excite.
#[derive(Debug)]
struct Unit {
    norm1: BatchNorm,
    conv1: nn::Conv2D,
    slope: Tensor,
    conv2: nn::Conv2D,
    norm2: BatchNorm,
    squeeze: nn::Conv2D,
    excite: nn::Conv2D,
    shortcut: Option<(nn::Conv2D, BatchNorm)>,
    stride: i64,
}

impl Unit {
    fn new(p: nn::Path, c_in: i64, depth: i64, stride: i64) -> Self {
        let res = &p / "res_layer";
        // Narrow models keep at least one channel in the squeeze.
        let squeezed = (depth / 16).max(1);
        let short = &p / "shortcut_layer";
        Unit {
            norm1: BatchNorm::new(&res / 0, c_in),
            conv1: conv(&res / 1, c_in, depth, 3, 1),
            slope: prelu(&res / 2, depth),
            conv2: conv(&res / 3, depth, depth, 3, stride),
            norm2: BatchNorm::new(&res / 4, depth),
            squeeze: conv(&res / 5 / "fc1", depth, squeezed, 1, 1),
            excite: conv(&res / 5 / "fc2", squeezed, depth, 1, 1),
            shortcut: (c_in != depth).then(|| {
                (conv(&short / 0, c_in, depth, 1, stride), BatchNorm::new(&short / 1, depth))
            }),
            stride,
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let Ok(y) = self.run(x, FROZEN);
        y
    }

    fn run<E>(&self, x: &Tensor, norm: Apply<'_, E>) -> Result<Tensor, E> {
        let r = norm(&self.norm1, x)?.apply(&self.conv1).prelu(&self.slope).apply(&self.conv2);
        let r = norm(&self.norm2, &r)?;
        let gate = r
            .mean_dim(&[2i64, 3][..], true, None)
            .apply(&self.squeeze)
            .relu()
            .apply(&self.excite)
            .sigmoid();
        let r = r * gate;
        Ok(match &self.shortcut {
            Some((conv, own)) => r + norm(own, &x.apply(conv))?,
            None if self.stride == 1 => r + x,
            None => {
                let (h, w) = (x.size()[2], x.size()[3]);
                r + x.slice(2, 0, h, self.stride).slice(3, 0, w, self.stride)
            }
        })
    }
}

/// The face recogniser, IR-SE-50: photo → unit identity vector, and the intermediate
/// features the separation layers work on. Frozen everywhere but in [`Encoder::learn`].
///
/// Names under its path are those of the published state dict (method.md §2).
#[derive(Debug)]
pub struct Encoder {
    config: ModelConfig,
    input: (nn::Conv2D, BatchNorm, Tensor),
    body: Vec<Unit>,
    output: (BatchNorm, nn::Linear, BatchNorm),
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
                BatchNorm::new(&input / 1, first),
                prelu(&input / 2, first),
            ),
            body,
            output: (
                BatchNorm::new(&out / 0, c),
                nn::linear(&out / 3, c * side * side, config.embedding(), Default::default()),
                BatchNorm::new(&out / 4, config.embedding()),
            ),
        }
    }

    /// The model that it belongs to.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Length of an identity.
    pub fn embedding(&self) -> i64 {
        self.config.embedding()
    }

    /// The crop of the face that the encoder sees, at its input size.
    ///
    /// # Shapes
    /// `images` [B, 3, S, S] → [B, 3, 128, 128] (64 for 256-pixel images).
    pub fn prepare(&self, images: &Tensor) -> Tensor {
        let (from, to) = self.config.crop();
        let side = self.config.encoder_input();
        c10d::torch::resize(&images.slice(2, from, to, 1).slice(3, from, to, 1), [side, side])
    }

    /// Features `f_0 … f_last` of full-size images [B, 3, S, S].
    pub fn features(&self, images: &Tensor, last: usize) -> Vec<Tensor> {
        let (conv, norm, slope) = &self.input;
        let first = norm.frozen(&self.prepare(images).apply(conv)).prelu(slope);
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

    /// The identity of prepared images while the encoder learns: norms as `mode` says, and
    /// `dropout` applied to the last feature, normalised (published: each element left out
    /// with probability 0.6).
    ///
    /// # Shapes
    /// `prepared` as [`Encoder::prepare`] gives it → [B, 512], unit length, float32.
    ///
    /// # Errors
    /// Another rank is lost; those of `dropout`.
    pub fn learn(
        &self,
        prepared: &Tensor,
        mode: &Mode,
        dropout: &dyn Fn(&Tensor) -> Result<Tensor, c10d::Error>,
    ) -> Result<Tensor, c10d::Error> {
        let apply = |norm: &BatchNorm, x: &Tensor| norm.forward(x, mode);
        let (conv, norm, slope) = &self.input;
        let mut x = apply(norm, &prepared.apply(conv))?.prelu(slope);
        for unit in &self.body {
            x = unit.run(&x, &apply)?;
        }
        self.run_head(&x, &apply, dropout)
    }

    fn head(&self, x: &Tensor) -> Tensor {
        let Ok(identity) = self.run_head(x, FROZEN, &|x| Ok(x.shallow_clone()));
        identity
    }

    fn run_head<E>(
        &self,
        x: &Tensor,
        norm: Apply<'_, E>,
        dropout: &dyn Fn(&Tensor) -> Result<Tensor, E>,
    ) -> Result<Tensor, E> {
        let (norm2d, linear, norm1d) = &self.output;
        let x = dropout(&norm(norm2d, x)?)?;
        let embedding = x.flatten(1, -1).apply(linear);
        Ok(normalize(&norm(norm1d, &widened(&embedding))?))
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
}
