use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use encoder::{Fidelity, ModelConfig};
use tch::{Device, Tensor, nn};

use crate::Error;
use crate::layers::{BatchNorm, Geometry, Mode, conv};

/// A depthwise 3×3 and a pointwise convolution, no biases.
#[derive(Debug)]
struct Separable {
    depthwise: nn::Conv2D,
    pointwise: nn::Conv2D,
}

impl Separable {
    fn new(p: nn::Path, c_in: i64, c_out: i64) -> Self {
        let config = nn::ConvConfig {
            padding: 1,
            groups: c_in,
            bias: false,
            ws_init: nn::init::DEFAULT_KAIMING_NORMAL,
            ..Default::default()
        };
        Separable {
            depthwise: nn::conv2d(&p / "conv1", c_in, c_in, 3, config),
            pointwise: conv(&p / "pointwise", c_in, c_out, plain(1, 1)),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        x.apply(&self.depthwise).apply(&self.pointwise)
    }
}

/// On a CPU, `x` laid out as its rows of channels, which everything after it keeps: depthwise
/// convolutions, norms and pooling go over many channels at a time then. Patch discriminator,
/// decoder and encoder gain nothing by it.
fn channels_last(x: &Tensor) -> Tensor {
    match x.device() {
        Device::Cpu => x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]),
        _ => x.shallow_clone(),
    }
}

/// An unpadded convolution without bias.
fn plain(kernel: i64, stride: i64) -> Geometry {
    Geometry { kernel, stride, padding: 0, bias: false }
}

/// A residual block: (ReLU, separable, norm) two or three times, then pooling
/// where the stride is 2.
#[derive(Debug)]
struct Block {
    steps: Vec<(Separable, BatchNorm)>,
    relu_first: bool,
    stride: i64,
    skip: Option<(nn::Conv2D, BatchNorm)>,
}

/// A block that a backward pass can run again, on whichever thread.
type SharedBlock = Arc<Mutex<Block>>;

/// Nothing of a block changes while it is locked: one who panicked has left it whole.
fn lock(block: &SharedBlock) -> MutexGuard<'_, Block> {
    block.lock().unwrap_or_else(PoisonError::into_inner)
}

struct BlockShape {
    c_in: i64,
    c_out: i64,
    steps: i64,
    stride: i64,
    relu_first: bool,
    grow_first: bool,
}

impl Block {
    fn new(p: nn::Path, shape: &BlockShape) -> Self {
        let &BlockShape { c_in, c_out, steps, stride, relu_first, grow_first } = shape;
        let rep = &p / "rep";
        let wide = |step: i64| if grow_first { step >= 1 } else { step >= steps };
        let width = |step: i64| if wide(step) { c_out } else { c_in };
        // In the published sequence every step takes three places (ReLU,
        // convolution, norm); without the first ReLU all move up by one.
        let place = |step: i64| 3 * step + i64::from(relu_first);
        let step = |k: i64| {
            let separable = Separable::new(&rep / place(k), width(k), width(k + 1));
            (separable, BatchNorm::new(&rep / (place(k) + 1), width(k + 1)))
        };
        Block {
            steps: (0..steps).map(step).collect(),
            relu_first,
            stride,
            skip: (c_in != c_out || stride != 1).then(|| {
                (
                    conv(&p / "skip", c_in, c_out, plain(1, stride)),
                    BatchNorm::new(&p / "skipbn", c_out),
                )
            }),
        }
    }

    fn parameters(&self) -> Vec<Tensor> {
        let steps = self.steps.iter().flat_map(|(separable, norm)| {
            let convs = [&separable.depthwise.ws, &separable.pointwise.ws];
            convs.into_iter().chain(norm.parameters())
        });
        let skip = self
            .skip
            .iter()
            .flat_map(|(conv, norm)| std::iter::once(&conv.ws).chain(norm.parameters()));
        steps.chain(skip).map(Tensor::shallow_clone).collect()
    }

    /// As [`Block::forward`], keeping nothing but `x` for the backward pass.
    fn recomputed(shared: &SharedBlock, x: &Tensor, mode: &Mode) -> Result<Tensor, Error> {
        let parameters = lock(shared).parameters();
        let (block, mode) = (Arc::clone(shared), mode.clone());
        let segment = move |x: &[Tensor]| {
            lock(&block).forward(&x[0], &mode).map_err(|error| match error {
                Error::Torch(error) => error,
                other => c10d::Error::Libtorch(other.to_string()),
            })
        };
        Ok(c10d::torch::checkpoint(&[x.shallow_clone()], &parameters, segment)?)
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor, Error> {
        let mut h = x.shallow_clone();
        for (k, (separable, norm)) in self.steps.iter().enumerate() {
            if k > 0 || self.relu_first {
                h = h.relu();
            }
            h = norm.forward(&separable.forward(&h), mode)?;
        }
        if self.stride != 1 {
            h = h.max_pool2d([3, 3], [self.stride; 2], [1, 1], [1, 1], false);
        }
        Ok(match &self.skip {
            Some((conv, norm)) => h + norm.forward(&x.apply(conv), mode)?,
            None => h + x,
        })
    }
}

/// The implicit identity discriminator `iid_discriminator`: an Xception that
/// gives an embedding of the face (method.md §6).
#[derive(Debug)]
pub struct IidDiscriminator {
    entry: [(nn::Conv2D, BatchNorm); 2],
    blocks: Vec<SharedBlock>,
    recompute: bool,
    exit: [(Separable, BatchNorm); 2],
    adjust: (nn::Conv2D, BatchNorm),
    fidelity: Fidelity,
}

impl IidDiscriminator {
    /// Builds the modules under `p / "backbone"`.
    pub fn new(p: &nn::Path, config: &ModelConfig) -> Self {
        let p = p / "backbone";
        let w = |published| config.width(published);
        let mut shapes = Vec::new();
        let mut shape = |c_in, c_out, steps, stride, relu_first, grow_first| {
            let (c_in, c_out) = (w(c_in), w(c_out));
            shapes.push(BlockShape { c_in, c_out, steps, stride, relu_first, grow_first });
        };
        shape(64, 128, 2, 2, false, true);
        shape(128, 256, 2, 2, true, true);
        shape(256, 728, 2, 2, true, true);
        for _ in 4..=11 {
            shape(728, 728, 3, 1, true, true);
        }
        shape(728, 1024, 2, 2, true, false);
        let norm = |name: &str, width| BatchNorm::new(&p / name, w(width));
        let adjust = &p / "adjust_channel";
        IidDiscriminator {
            entry: [
                (conv(&p / "conv1", 3, w(32), plain(3, 2)), norm("bn1", 32)),
                (conv(&p / "conv2", w(32), w(64), plain(3, 1)), norm("bn2", 64)),
            ],
            blocks: shapes
                .iter()
                .enumerate()
                .map(|(k, shape)| Block::new(&p / format!("block{}", k + 1), shape))
                .map(|block| Arc::new(Mutex::new(block)))
                .collect(),
            exit: [
                (Separable::new(&p / "conv3", w(1024), w(1536)), norm("bn3", 1536)),
                (Separable::new(&p / "conv4", w(1536), w(2048)), norm("bn4", 2048)),
            ],
            adjust: (
                conv(
                    &adjust / 0,
                    w(2048),
                    config.embedding(),
                    Geometry { bias: true, ..plain(1, 1) },
                ),
                BatchNorm::new(&adjust / 1, config.embedding()),
            ),
            fidelity: config.fidelity,
            recompute: false,
        }
    }

    /// The same one, whose blocks compute their intermediate results again in the backward
    /// pass, if `yes`, instead of keeping them.
    pub fn recomputing(self, yes: bool) -> Self {
        IidDiscriminator { recompute: yes, ..self }
    }

    /// The implicit identity D(X): [B, 3, S, S] → [B, 512].
    ///
    /// Published fidelity takes it behind a ReLU (never negative), corrected
    /// before.
    ///
    /// # Errors
    /// When another rank fails while statistics are synchronised.
    pub fn forward(&self, images: &Tensor, mode: &Mode) -> Result<Tensor, Error> {
        let mut h = channels_last(images);
        for (conv, norm) in &self.entry {
            h = norm.forward(&h.apply(conv), mode)?.relu();
        }
        for block in &self.blocks {
            h = if self.recompute {
                Block::recomputed(block, &h, mode)?
            } else {
                lock(block).forward(&h, mode)?
            };
        }
        let [(conv3, bn3), (conv4, bn4)] = &self.exit;
        h = bn3.forward(&conv3.forward(&h), mode)?.relu();
        h = bn4.forward(&conv4.forward(&h), mode)?;
        let (adjust, norm) = &self.adjust;
        h = norm.forward(&h.apply(adjust), mode)?;
        if self.fidelity == Fidelity::Published {
            h = h.relu();
        }
        Ok(h.mean_dim(&[2i64, 3][..], false, None))
    }
}
