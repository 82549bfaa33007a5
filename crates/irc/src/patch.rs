use encoder::ModelConfig;
use tch::nn::init::FanInOut;
use tch::{Tensor, nn};

use crate::Error;
use crate::layers::{BatchNorm, Geometry, LeakyRelu, Mode};

/// Convolutions of one scale, by their place in the published sequence, and
/// the norms behind the middle three.
#[derive(Debug)]
struct Scale {
    convs: Vec<nn::Conv2D>,
    norms: Vec<BatchNorm>,
}

impl Scale {
    fn new(p: nn::Path, config: &ModelConfig) -> Self {
        let w = |published| config.width(published);
        let widths = [3, w(64), w(128), w(256), w(512), 1];
        let strides = [2, 2, 2, 1, 1];
        let init = |fan| nn::Init::Kaiming {
            dist: nn::init::NormalOrUniform::Normal,
            fan,
            non_linearity: nn::init::NonLinearity::ReLU,
        };
        let places = [0, 2, 5, 8, 11];
        let conv = |k: usize| {
            let g = Geometry { kernel: 4, stride: strides[k], padding: 2, bias: true };
            let config = nn::ConvConfig {
                stride: g.stride,
                padding: g.padding,
                bias: g.bias,
                // By fan-out, a layer of one output would start with scores
                // of about √(2·512): far from the 0 and 1 they are to reach.
                ws_init: init(if k < 4 { FanInOut::FanOut } else { FanInOut::FanIn }),
                bs_init: nn::Init::Const(0.0),
                ..Default::default()
            };
            nn::conv2d(&p / places[k], widths[k], widths[k + 1], g.kernel, config)
        };
        Scale {
            convs: (0..5).map(conv).collect(),
            norms: (1..4).map(|k| BatchNorm::new(&p / (places[k] + 1), widths[k + 1])).collect(),
        }
    }

    fn forward(&self, x: &Tensor, mode: &Mode, leaky: &LeakyRelu) -> Result<Tensor, Error> {
        let mut h = leaky.forward(&x.apply(&self.convs[0]));
        for (conv, norm) in self.convs[1..4].iter().zip(&self.norms) {
            h = leaky.forward(&norm.forward(&h.apply(conv), mode)?);
        }
        Ok(h.apply(&self.convs[4]))
    }
}

/// The image discriminator `discriminator`: patch scores at full, half and
/// quarter size (method.md §6).
#[derive(Debug)]
pub struct PatchDiscriminator {
    /// `layer2`, `layer1`, `layer0`: full size first.
    scales: Vec<Scale>,
    leaky: LeakyRelu,
}

impl PatchDiscriminator {
    /// Builds the modules under `p`.
    pub fn new(p: &nn::Path, config: &ModelConfig) -> Self {
        let scales = [2, 1, 0].map(|k| Scale::new(p / format!("layer{k}"), config));
        PatchDiscriminator { scales: scales.into(), leaky: LeakyRelu::new(0.2, p.device()) }
    }

    /// Patch scores of images [B, 3, S, S], full size first.
    ///
    /// # Errors
    /// When another rank fails while statistics are synchronised.
    pub fn forward(&self, images: &Tensor, mode: &Mode) -> Result<Vec<Tensor>, Error> {
        let mut x = images.shallow_clone();
        let mut scores = Vec::new();
        for (k, scale) in self.scales.iter().enumerate() {
            if k > 0 {
                x = x.avg_pool2d([3, 3], [2, 2], [1, 1], false, false, None);
            }
            scores.push(scale.forward(&x, mode, &self.leaky)?);
        }
        Ok(scores)
    }
}
