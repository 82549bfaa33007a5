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

/// A transposed convolution of 4 × 4 to twice the size, without bias. It starts as one that mixes
/// channels and enlarges linearly: with a random kernel, pixels of even and odd place would start
/// as different ones, and pictures with a checkerboard that takes long to unlearn.
pub(crate) fn enlarging(p: nn::Path, c_in: i64, c_out: i64) -> nn::ConvTranspose2D {
    let mut layer = deconv(p, c_in, c_out, HALVE);
    let _guard = tch::no_grad_guard();
    // Kaiming's: of what one output pixel sees, a quarter of the kernel.
    let mix = (&layer.ws.narrow(2, 0, 1).narrow(3, 0, 1)) * mix_scale(&layer.ws, c_in);
    let line = Tensor::from_slice(&[0.25f32, 0.75, 0.75, 0.25]).to_device(layer.ws.device());
    let kernel = line.unsqueeze(1) * line.unsqueeze(0);
    layer.ws.copy_(&(mix * kernel));
    layer
}

/// What makes the spread of a kernel's weights that of a mix of `c_in` channels, √(2 / c_in).
fn mix_scale(weights: &Tensor, c_in: i64) -> f64 {
    let drawn = weights.std(false).double_value(&[]);
    if drawn > 0.0 { (2.0 / c_in as f64).sqrt() / drawn } else { 1.0 }
}

/// Twice the size, bilinear, corners aligned.
pub fn double(x: &Tensor) -> Tensor {
    let size = x.size();
    c10d::torch::resize(x, [2 * size[2], 2 * size[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enlarging_starts_without_a_checkerboard() {
        tch::manual_seed(11);
        let store = nn::VarStore::new(Device::Cpu);
        let layer = enlarging(&store.root() / "up", 64, 32);
        let flat =
            Tensor::randn([1, 64, 1, 1], (Kind::Float, Device::Cpu)).expand([1, 64, 6, 6], true);
        let y = tch::no_grad(|| flat.apply(&layer));
        assert_eq!(y.size(), [1, 32, 12, 12]);
        // Within the borders, where every pixel sees as many of the kernel's places.
        let inner = y.narrow(2, 1, 10).narrow(3, 1, 10);
        let uneven = (inner.amax([2, 3], true) - inner.amin([2, 3], true)).max();
        let spread = inner.std(true).double_value(&[]);
        assert!(uneven.double_value(&[]) < 1e-5 && (0.9..2.0).contains(&spread), "{spread}");
    }
}
