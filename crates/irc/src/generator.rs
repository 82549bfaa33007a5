use encoder::ModelConfig;
use tch::{Tensor, nn};

use crate::layers::{Geometry, SAME, conv, deconv, double};

/// Adaptive attentional denormalisation: the normalised map, restyled by the
/// attributes where the mask is 0 and by the identity where it is 1.
#[derive(Debug)]
struct Aad {
    attribute_scale: nn::Conv2D,
    attribute_shift: nn::Conv2D,
    mask: nn::Conv2D,
    identity_scale: nn::Linear,
    identity_shift: nn::Linear,
}

const POINT: Geometry = Geometry { kernel: 1, stride: 1, padding: 0, bias: true };

impl Aad {
    fn new(p: nn::Path, c: i64, c_attr: i64, c_lambda: i64, identity: i64) -> Self {
        let linear = |name: &str| {
            let config = nn::LinearConfig {
                ws_init: nn::Init::Randn { mean: 0.0, stdev: 0.001 },
                bs_init: Some(nn::Init::Const(0.0)),
                bias: true,
            };
            nn::linear(&p / name, identity, c, config)
        };
        Aad {
            attribute_scale: conv(&p / "conv1", c_attr, c, POINT),
            attribute_shift: conv(&p / "conv2", c_attr, c, POINT),
            mask: conv(&p / "conv_2h", c + c_lambda, 1, POINT),
            identity_scale: linear("fc1"),
            identity_shift: linear("fc2"),
        }
    }

    fn forward(&self, h: &Tensor, attribute: &Tensor, lambda: &Tensor, id: &Tensor) -> Tensor {
        let none: Option<&Tensor> = None;
        let h = h.instance_norm(none, none, none, none, true, 0.1, 1e-5, false);
        let mask = Tensor::cat(&[&h, lambda], 1).apply(&self.mask).sigmoid();
        let per_channel = |fc: &nn::Linear| id.apply(fc).unsqueeze(-1).unsqueeze(-1);
        let by_attribute =
            (&h * attribute.apply(&self.attribute_scale)) + attribute.apply(&self.attribute_shift);
        let by_identity =
            per_channel(&self.identity_shift).addcmul(&h, &per_channel(&self.identity_scale));
        by_attribute.lerp_tensor(&by_identity, &mask)
    }
}

/// A residual block of two or three AAD layers.
#[derive(Debug)]
struct Block {
    first: (Aad, nn::Conv2D),
    second: (Aad, nn::Conv2D),
    shortcut: Option<(Aad, nn::Conv2D)>,
}

/// (c_in, c_out, c_attribute, c_lambda) of a block, published widths.
type BlockWidths = (i64, i64, i64, i64);

impl Block {
    fn new(p: nn::Path, (c_in, c_out, c_attr, c_lambda): BlockWidths, identity: i64) -> Self {
        let part = |k: i64, c_out| {
            let aad = Aad::new(&p / format!("AAD{k}"), c_in, c_attr, c_lambda, identity);
            (aad, conv(&p / format!("conv{k}"), c_in, c_out, SAME))
        };
        Block {
            first: part(1, c_in),
            second: part(2, c_out),
            shortcut: (c_in != c_out).then(|| part(3, c_out)),
        }
    }

    fn forward(&self, h: &Tensor, attribute: &Tensor, lambda: &Tensor, id: &Tensor) -> Tensor {
        let through = |(aad, conv): &(Aad, nn::Conv2D), h: &Tensor| {
            aad.forward(h, attribute, lambda, id).leaky_relu().apply(conv)
        };
        let x = through(&self.second, &through(&self.first, h));
        match &self.shortcut {
            Some(shortcut) => x + through(shortcut, h),
            None => x + h,
        }
    }
}

/// Generator `G`: identity, attribute maps and λ maps → face (method.md §6).
#[derive(Debug)]
pub struct Generator {
    start: Vec<nn::ConvTranspose2D>,
    blocks: Vec<Block>,
    /// In the published files, used by nothing.
    _unused: Vec<nn::ConvTranspose2D>,
}

/// Names of the tensors that are in the file and never used, by prefix.
pub(crate) const UNUSED: [&str; 2] = ["deconv.", "up3."];

impl Generator {
    /// Builds the modules under `p`.
    ///
    /// The first map is as small as the coarsest attribute map: 4×4, or 2×2 for
    /// 256-pixel images, where `up2` has nothing to enlarge.
    pub fn new(p: &nn::Path, config: &ModelConfig) -> Self {
        let w = |published| config.width(published);
        let identity = config.embedding();
        let mut blocks: Vec<(&str, BlockWidths)> = vec![
            ("AADBlk1", (1024, 1024, 1024, 1024)),
            ("AADBlk2", (1024, 1024, 2048, 1024)),
            ("AADBlk3", (1024, 1024, 1024, 512)),
            ("AADBlk4", (1024, 512, 512, 256)),
            ("AADBlk5", (512, 256, 256, 128)),
            ("AADBlk6", (256, 128, 128, 64)),
            ("AADBlk7", (128, 64, 64, 32)),
        ];
        let up = |k: i64| Geometry { kernel: k, stride: k, padding: 0, bias: true };
        let mut unused = Vec::new();
        if config.image_size == 1024 {
            blocks.push(("AADBlk_8", (64, 64, 64, 32)));
            blocks.push(("AADBlk9", (64, 3, 64, 32)));
            unused.push(deconv(p / "up3", w(1024), w(1024), up(2)));
        } else {
            blocks.push(("AADBlk8", (64, 3, 64, 32)));
        }
        unused.push(deconv(
            p / "deconv",
            w(32),
            3,
            Geometry { kernel: 4, stride: 2, padding: 1, bias: false },
        ));
        let second = if config.image_size == 256 { 1 } else { 2 };
        let out = |c: i64| if c == 3 { 3 } else { w(c) };
        Generator {
            start: vec![
                deconv(p / "up1", identity, w(1024), Geometry { stride: 1, ..up(2) }),
                deconv(p / "up2", w(1024), w(1024), up(second)),
            ],
            blocks: blocks
                .into_iter()
                .map(|(name, (i, o, a, l))| {
                    Block::new(p / name, (w(i), out(o), w(a), w(l)), identity)
                })
                .collect(),
            _unused: unused,
        }
    }

    /// # Shapes
    /// `identity` [B, 512], maps as [`crate::Decoder`] gives them → [B, 3, S, S]
    /// in (−1, 1).
    pub fn forward(&self, identity: &Tensor, attributes: &[Tensor], lambdas: &[Tensor]) -> Tensor {
        let mut h = identity.unsqueeze(-1).unsqueeze(-1);
        for up in &self.start {
            h = h.apply(up);
        }
        for (k, block) in self.blocks.iter().enumerate() {
            if k > 0 {
                h = double(&h);
            }
            h = block.forward(&h, &attributes[k], &lambdas[k], identity);
        }
        h.tanh()
    }
}
