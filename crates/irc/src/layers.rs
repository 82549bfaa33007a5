//! Layers that several modules share.
use tch::{Device, Kind, Tensor, nn};

pub(crate) use encoder::BatchNorm;
pub use encoder::Mode;

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
    c10d::torch::resize(x, [2 * size[2], 2 * size[3]])
}
