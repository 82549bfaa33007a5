use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use encoder::ModelConfig;
use tch::{Tensor, nn};

use crate::Error;
use crate::aad::Aad;
use crate::layers::{Geometry, SAME, conv, deconv, double};

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

/// A part that a backward pass can run again, on whichever thread.
type SharedPart = Arc<Mutex<Part>>;

/// A residual block of two or three parts.
#[derive(Debug)]
struct Block {
    first: SharedPart,
    second: SharedPart,
    shortcut: Option<SharedPart>,
}

/// (c_in, c_out, c_attribute, c_lambda) of a block, published widths.
type BlockWidths = (i64, i64, i64, i64);

/// Nothing of a part changes while it is locked: one who panicked has left it whole.
fn lock(part: &SharedPart) -> MutexGuard<'_, Part> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Block {
    fn new(p: nn::Path, (c_in, c_out, c_attr, c_lambda): BlockWidths, identity: i64) -> Self {
        let part = |k: i64, c_out| {
            let aad = Aad::new(&p / format!("AAD{k}"), c_in, c_attr, c_lambda, identity);
            let conv = conv(&p / format!("conv{k}"), c_in, c_out, SAME);
            Arc::new(Mutex::new(Part { aad, conv }))
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
        let through = |shared: &SharedPart, h: &Tensor| -> Result<Tensor, Error> {
            let inputs = [h, attribute, lambda, id].map(Tensor::shallow_clone);
            let part = lock(shared);
            if !recompute {
                return Ok(part.forward(&inputs));
            }
            let mut parameters = part.aad.parameters();
            parameters.push(part.conv.ws.shallow_clone());
            drop(part);
            let part = Arc::clone(shared);
            let segment = move |inputs: &[Tensor]| Ok(lock(&part).forward(inputs));
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
    /// See [`ModelConfig::subpixel`].
    subpixel: bool,
    /// In the published files, used by nothing.
    _unused: Vec<nn::ConvTranspose2D>,
}

/// Pixels that a sub-pixel block paints at one place.
const SUBPIXELS: i64 = 4;

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
        let mut painted = 3;
        if config.subpixel {
            blocks.pop();
            painted *= SUBPIXELS;
        }
        let last = blocks.len() - 1;
        let out = |k: usize, c: i64| if k == last { painted } else { w(c) };
        let generator = Generator {
            start: vec![
                deconv(p / "up1", identity, w(1024), Geometry { stride: 1, ..up(first) }),
                deconv(p / "up2", w(1024), w(1024), up(second)),
            ],
            blocks: blocks
                .into_iter()
                .enumerate()
                .map(|(k, (name, (i, o, a, l)))| {
                    Block::new(p / name, (w(i), out(k, o), attributes(k, a), w(l)), identity)
                })
                .collect(),
            subpixel: config.subpixel,
            _unused: unused,
        };
        if config.subpixel {
            generator.start_smooth();
        }
        generator
    }

    /// Pixels painted at one place start as the same one: otherwise pictures start with a
    /// checkerboard that takes long to unlearn
    /// ([Aitken et al. 2017](https://arxiv.org/abs/1707.02937)).
    fn start_smooth(&self) {
        let _guard = tch::no_grad_guard();
        let last = self.blocks.last().into_iter();
        for part in last.flat_map(|block| [Some(&block.second), block.shortcut.as_ref()]).flatten()
        {
            let mut weights = lock(part).conv.ws.shallow_clone();
            let same = weights.narrow(0, 0, 3).repeat_interleave_self_int(SUBPIXELS, 0, None);
            weights.copy_(&same);
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
        let picture = if self.subpixel { h.pixel_shuffle(2) } else { h };
        Ok(picture.tanh())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// The last block of full size is left out, and before training the picture is one of half the
    /// size, enlarged.
    #[test]
    fn sub_pixels_start_as_one() {
        let config = ModelConfig {
            image_size: 128,
            width_divisor: 16,
            least_painting_width: 4,
            subpixel: true,
            ..ModelConfig::default()
        };
        tch::manual_seed(12);
        let store = nn::VarStore::new(Device::Cpu);
        let generator = Generator::new(&store.root(), &config);
        let names: Vec<String> = store.variables().into_keys().collect();
        assert!(!names.iter().any(|name| name.starts_with("AADBlk8")));
        let decoder = crate::Decoder::new(&(store.root() / "decoder"), &config);
        let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let _guard = tch::no_grad_guard();
        let shapes = config.feature_shapes().into_iter().take(10);
        let parts: Vec<Tensor> = shapes.map(|(c, side)| random(&[2, c, side, side])).collect();
        let image = random(&[2, 3, 128, 128]);
        let mode = crate::Mode::Train;
        let attributes = decoder.attributes(&image, &parts, &mode).unwrap();
        let lambdas = decoder.lambda_maps(&parts, &mode).unwrap();
        let y = generator.forward(&random(&[2, 32]), &attributes, &lambdas, 0).unwrap();
        assert_eq!(y.size(), [2, 3, 128, 128]);
        let places = y.pixel_unshuffle(2).view([2, 3, 4, 64, 64]);
        let apart = places.amax([2], true) - places.amin([2], true);
        assert!(apart.max().double_value(&[]) < 1e-6 && y.std(true).double_value(&[]) > 0.01);
    }
}
