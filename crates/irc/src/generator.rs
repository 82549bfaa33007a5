use std::rc::Rc;

use encoder::ModelConfig;
use tch::{Tensor, nn};

use crate::Error;
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

    fn parameters(&self) -> Vec<Tensor> {
        let convs = [&self.attribute_scale, &self.attribute_shift, &self.mask];
        let convs = convs.into_iter().flat_map(|conv| [Some(&conv.ws), conv.bs.as_ref()]);
        let linears = [&self.identity_scale, &self.identity_shift];
        let linears = linears.into_iter().flat_map(|fc| [Some(&fc.ws), fc.bs.as_ref()]);
        convs.chain(linears).flatten().map(Tensor::shallow_clone).collect()
    }

    fn forward(&self, h: &Tensor, attribute: &Tensor, lambda: &Tensor, id: &Tensor) -> Tensor {
        let none: Option<&Tensor> = None;
        let h = h.instance_norm(none, none, none, none, true, 0.1, 1e-5, false);
        let mask = self.mask(&h, lambda);
        let [scale, shift] = self.of_attribute(attribute);
        let by_attribute = shift.addcmul(&h, &scale);
        let per_channel = |fc: &nn::Linear| id.apply(fc).unsqueeze(-1).unsqueeze(-1);
        let by_identity =
            per_channel(&self.identity_shift).addcmul(&h, &per_channel(&self.identity_scale));
        // Not `lerp`, which would keep both for the backward pass.
        by_attribute.addcmul(&mask, &(by_identity - &by_attribute))
    }

    /// Scale and shift by the attributes: one convolution, which reads them once.
    fn of_attribute(&self, attribute: &Tensor) -> [Tensor; 2] {
        let (scale, shift) = (&self.attribute_scale, &self.attribute_shift);
        let weight = Tensor::cat(&[&scale.ws, &shift.ws], 0);
        let biases: Vec<&Tensor> = [&scale.bs, &shift.bs].into_iter().flatten().collect();
        let both =
            attribute.conv2d(&weight, Some(Tensor::cat(&biases, 0)), [1, 1], [0, 0], [1, 1], 1);
        let width = scale.ws.size()[0];
        [both.narrow(1, 0, width), both.narrow(1, width, width)]
    }

    /// The convolution of [h ‖ λ] to one channel, as matrix products of its two halves.
    fn mask(&self, h: &Tensor, lambda: &Tensor) -> Tensor {
        let mut at = 0;
        let mut product = |x: &Tensor| {
            let channels = x.size()[1];
            let weight = self.mask.ws.narrow(1, at, channels).view([1, channels]);
            at += channels;
            weight.matmul(&x.flatten(2, -1))
        };
        let mut logits = product(h) + product(lambda);
        if let Some(bias) = &self.mask.bs {
            logits += bias;
        }
        let size = h.size();
        logits.sigmoid().view([size[0], 1, size[2], size[3]])
    }
}

/// AAD, leaky ReLU and convolution: what a residual block is made of.
#[derive(Debug)]
struct Part {
    aad: Aad,
    conv: nn::Conv2D,
}

impl Part {
    /// `h`, the attributes and λ at its size, the identity.
    fn forward(&self, inputs: &[Tensor]) -> Tensor {
        let [h, attribute, lambda, id] = inputs else { unreachable!("a part has four inputs") };
        // In place: AAD's last operation does not need its own result.
        self.aad.forward(h, attribute, lambda, id).leaky_relu_().apply(&self.conv)
    }
}

/// A residual block of two or three parts.
#[derive(Debug)]
struct Block {
    first: Rc<Part>,
    second: Rc<Part>,
    shortcut: Option<Rc<Part>>,
}

/// (c_in, c_out, c_attribute, c_lambda) of a block, published widths.
type BlockWidths = (i64, i64, i64, i64);

impl Block {
    fn new(p: nn::Path, (c_in, c_out, c_attr, c_lambda): BlockWidths, identity: i64) -> Self {
        let part = |k: i64, c_out| {
            let aad = Aad::new(&p / format!("AAD{k}"), c_in, c_attr, c_lambda, identity);
            Rc::new(Part { aad, conv: conv(&p / format!("conv{k}"), c_in, c_out, SAME) })
        };
        Block {
            first: part(1, c_in),
            second: part(2, c_out),
            shortcut: (c_in != c_out).then(|| part(3, c_out)),
        }
    }

    /// As [`Part::forward`]; `recompute`: its parts keep their inputs only.
    fn forward(&self, inputs: &[Tensor; 4], recompute: bool) -> Result<Tensor, Error> {
        let [h, attribute, lambda, id] = inputs;
        let through = |part: &Rc<Part>, h: &Tensor| -> Result<Tensor, Error> {
            let inputs = [h, attribute, lambda, id].map(Tensor::shallow_clone);
            if !recompute {
                return Ok(part.forward(&inputs));
            }
            let (mut parameters, segment) = (part.aad.parameters(), Rc::clone(part));
            parameters.push(part.conv.ws.shallow_clone());
            let segment = move |inputs: &[Tensor]| Ok(segment.forward(inputs));
            Ok(c10d::torch::checkpoint(&inputs, &parameters, segment)?)
        };
        let x = through(&self.second, &through(&self.first, h)?)?;
        Ok(match &self.shortcut {
            Some(shortcut) => x + through(shortcut, h)?,
            None => x + h,
        })
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
    /// The first map is as small as the coarsest attribute map: 4×4, 2×2 for 256-pixel images,
    /// where `up2` has nothing to enlarge, 1×1 for those of 128, where `up1` has nothing either.
    pub fn new(p: &nn::Path, config: &ModelConfig) -> Self {
        let w = |published| config.painting_width(published);
        let identity = config.embedding();
        // But for the coarsest, attributes are two of the decoder's maps together.
        let attributes = |k: usize, a: i64| if k == 0 { w(a) } else { 2 * w(a / 2) };
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
        let [first, second] = match config.coarsest() {
            1 => [1, 1],
            2 => [2, 1],
            _ => [2, 2],
        };
        let out = |c: i64| if c == 3 { 3 } else { w(c) };
        Generator {
            start: vec![
                deconv(p / "up1", identity, w(1024), Geometry { stride: 1, ..up(first) }),
                deconv(p / "up2", w(1024), w(1024), up(second)),
            ],
            blocks: blocks
                .into_iter()
                .enumerate()
                .map(|(k, (name, (i, o, a, l)))| {
                    Block::new(p / name, (w(i), out(o), attributes(k, a), w(l)), identity)
                })
                .collect(),
            _unused: unused,
        }
    }

    /// Blocks whose maps are `recompute_from` or more pixels wide keep none of their
    /// intermediate results for the backward pass, which computes them again; 0 keeps all.
    ///
    /// # Shapes
    /// `identity` [B, 512], maps as [`crate::Decoder`] gives them → [B, 3, S, S]
    /// in (−1, 1).
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn forward(
        &self,
        identity: &Tensor,
        attributes: &[Tensor],
        lambdas: &[Tensor],
        recompute_from: i64,
    ) -> Result<Tensor, Error> {
        let mut h = identity.unsqueeze(-1).unsqueeze(-1);
        for up in &self.start {
            h = h.apply(up);
        }
        for (k, block) in self.blocks.iter().enumerate() {
            if k > 0 {
                h = double(&h);
            }
            let recompute = recompute_from > 0 && h.size()[2] >= recompute_from;
            let inputs = match (attributes.get(k), lambdas.get(k)) {
                (Some(attribute), Some(lambda)) => [attribute, lambda].map(Tensor::shallow_clone),
                // The finest block's maps are the ones before, enlarged with the picture.
                _ => [&attributes[k - 1], &lambdas[k - 1]].map(double),
            };
            let [attribute, lambda] = inputs;
            h = block.forward(&[h, attribute, lambda, identity.shallow_clone()], recompute)?;
        }
        Ok(h.tanh())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// The formula of method.md §6.
    fn plain(aad: &Aad, [h, attribute, lambda, id]: &[Tensor; 4]) -> Tensor {
        let none: Option<&Tensor> = None;
        let h = h.instance_norm(none, none, none, none, true, 0.1, 1e-5, false);
        let mask = Tensor::cat(&[&h, lambda], 1).apply(&aad.mask).sigmoid();
        let a = attribute.apply(&aad.attribute_scale) * &h + attribute.apply(&aad.attribute_shift);
        let per_channel = |fc: &nn::Linear| id.apply(fc).unsqueeze(-1).unsqueeze(-1);
        let i = per_channel(&aad.identity_scale) * &h + per_channel(&aad.identity_shift);
        (1.0 - &mask) * a + mask * i
    }

    /// Odd sizes, one channel, maps that do not vary: values, gradients of all inputs and of
    /// all parameters, in float64.
    #[test]
    fn masks_by_products_and_the_mix_by_one_map_are_the_definition() {
        tch::manual_seed(10);
        let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Double, Device::Cpu));
        for (c, c_attr, c_lambda, height, width) in [(5, 3, 2, 7, 3), (1, 1, 1, 1, 9)] {
            let mut store = nn::VarStore::new(Device::Cpu);
            let aad = Aad::new(store.root() / "aad", c, c_attr, c_lambda, 6);
            store.double();
            for (_, mut parameter) in store.variables() {
                parameter.set_data(&random(&parameter.size()));
            }
            let map = |c| random(&[2, c, height, width]);
            let varied = map(c);
            for h in [varied.ones_like() * 0.3, varied] {
                let inputs = [h, map(c_attr), map(c_lambda), random(&[2, 6])]
                    .map(|input| input.set_requires_grad(true));
                let mut wanted: Vec<Tensor> = inputs.iter().map(Tensor::shallow_clone).collect();
                wanted.extend(aad.parameters());
                let direction = map(c);
                let of = |y: Tensor| {
                    let along = (&y * &direction).sum(None);
                    let mut all = Tensor::run_backward(&[along], &wanted, false, false);
                    all.push(y.detach());
                    all
                };
                let [h, attribute, lambda, id] = &inputs;
                let found = of(aad.forward(h, attribute, lambda, id));
                for (k, (found, expected)) in found.iter().zip(of(plain(&aad, &inputs))).enumerate()
                {
                    let gap = (found - &expected).abs().max().double_value(&[]);
                    let size = expected.abs().max().double_value(&[]);
                    assert!(gap < 1e-12 * (size + 1.0), "{c} channels, {k}: {gap:e} of {size:e}");
                }
            }
        }
    }
}
