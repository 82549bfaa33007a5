//! Layers that several modules share.
use c10d::World;
use tch::{Device, Kind, Tensor, nn};

use crate::Error;

/// How batch normalisation sees the batch.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Stored statistics; nothing is updated.
    Eval,
    /// Statistics of this rank's batch; the stored ones follow.
    Train,
    /// Statistics of all ranks' batches together; the stored ones follow.
    Synced(World),
}

/// Batch normalisation under torch's names.
#[derive(Debug)]
pub(crate) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

const MOMENTUM: f64 = 0.1;
const EPS: f64 = 1e-5;

impl BatchNorm {
    pub(crate) fn parameters(&self) -> [&Tensor; 2] {
        [&self.weight, &self.bias]
    }

    pub(crate) fn new(p: nn::Path, width: i64) -> Self {
        BatchNorm {
            weight: p.ones("weight", &[width]),
            bias: p.zeros("bias", &[width]),
            running_mean: p.zeros_no_train("running_mean", &[width]),
            running_var: p.ones_no_train("running_var", &[width]),
        }
    }

    pub(crate) fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor, Error> {
        // The stored statistics have followed this batch already.
        let momentum = if c10d::torch::recomputing() { 0.0 } else { MOMENTUM };
        let training = match mode {
            Mode::Synced(world) if world.size() > 1 => {
                return Ok(c10d::sync_batch_norm(
                    x,
                    &self.weight,
                    &self.bias,
                    &self.running_mean,
                    &self.running_var,
                    momentum,
                    EPS,
                    world,
                )?);
            }
            Mode::Synced(_) | Mode::Train => true,
            Mode::Eval => false,
        };
        Ok(x.batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            training,
            momentum,
            EPS,
            true,
        ))
    }
}

/// Leaky ReLU of any slope.
#[derive(Debug)]
pub(crate) struct LeakyRelu(Tensor);

impl LeakyRelu {
    pub(crate) fn new(slope: f64, device: Device) -> Self {
        LeakyRelu(Tensor::full([1], slope, (Kind::Float, device)))
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        x.prelu(&self.0.to_kind(x.kind()))
    }
}

/// Geometry of a square convolution.
#[derive(Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) kernel: i64,
    pub(crate) stride: i64,
    pub(crate) padding: i64,
    pub(crate) bias: bool,
}

/// 3×3, same size, no bias.
pub(crate) const SAME: Geometry = Geometry { kernel: 3, stride: 1, padding: 1, bias: false };
/// 4×4, half (or, transposed, double) the size, no bias.
pub(crate) const HALVE: Geometry = Geometry { kernel: 4, stride: 2, padding: 1, bias: false };

pub(crate) fn conv(p: nn::Path, c_in: i64, c_out: i64, g: Geometry) -> nn::Conv2D {
    let config = nn::ConvConfig {
        stride: g.stride,
        padding: g.padding,
        bias: g.bias,
        ws_init: nn::init::DEFAULT_KAIMING_NORMAL,
        ..Default::default()
    };
    nn::conv2d(p, c_in, c_out, g.kernel, config)
}

pub(crate) fn deconv(p: nn::Path, c_in: i64, c_out: i64, g: Geometry) -> nn::ConvTranspose2D {
    let config = nn::ConvTransposeConfig {
        stride: g.stride,
        padding: g.padding,
        bias: g.bias,
        ws_init: nn::init::DEFAULT_KAIMING_NORMAL,
        ..Default::default()
    };
    nn::conv_transpose2d(p, c_in, c_out, g.kernel, config)
}

/// Twice the size, bilinear, corners aligned.
pub fn double(x: &Tensor) -> Tensor {
    let size = x.size();
    x.upsample_bilinear2d([2 * size[2], 2 * size[3]], true, None::<f64>, None::<f64>)
}
