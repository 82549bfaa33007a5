//! The three networks of MTCNN (Zhang et al., "Joint Face Detection and Alignment using
//! Multi-task Cascaded Convolutional Networks", 2016, figure 2), with the shapes and names
//! of the published weight files.
//!
//! Convolutions have no padding, pooling rounds sizes up. Input: RGB, (x − 127.5) / 128.

use std::path::Path;

use tch::nn::Init;
use tch::{Device, TchError, Tensor, nn};

use crate::Error;

/// Windows that look like faces: P-Net, fully convolutional.
///
/// Input 3 × h × w; output one answer for each 12 × 12 window at every second pixel.
pub(super) struct Proposal {
    convs: [Conv; 3],
    face: Conv,
    bounds: Conv,
}

/// R-Net: are these 24 × 24 crops faces, and where exactly?
pub(super) struct Refine {
    convs: [Conv; 3],
    dense: Linear,
    face: Linear,
    bounds: Linear,
}

/// O-Net: the same for 48 × 48 crops, with landmarks.
pub(super) struct Output {
    convs: [Conv; 4],
    dense: Linear,
    face: Linear,
    bounds: Linear,
    landmarks: Linear,
}

/// What a network says of N windows, or of a map of them.
pub(super) struct Answer {
    /// Probability that it is a face: N, or B × h × w.
    pub(super) face: Tensor,
    /// Shifts of left, top, right and bottom edge in widths and heights of the window: N × 4,
    /// or B × 4 × h × w.
    pub(super) bounds: Tensor,
    /// x, then y, of left and right eye as seen, nose, left and right corner of the mouth, in
    /// widths and heights of the window: N × 10. O-Net alone gives them.
    pub(super) landmarks: Option<Tensor>,
}

impl Proposal {
    pub(super) fn load(file: &Path, device: Device) -> Result<Proposal, Error> {
        load(file, device, "P-Net", |p| Proposal {
            convs: [conv(p, 1, 3, 10, 3), conv(p, 2, 10, 16, 3), conv(p, 3, 16, 32, 3)],
            face: Conv::new(p, "conv4_1", None, [32, 2, 1]),
            bounds: Conv::new(p, "conv4_2", None, [32, 4, 1]),
        })
    }

    /// `x`: B × 3 × h × w, normalised.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Answer, TchError> {
        let x = pool(&self.convs[0].forward(x)?, 2)?;
        let x = self.convs[2].forward(&self.convs[1].forward(&x)?)?;
        // Class by class, not position by position: the class axis is the second.
        let face = self.face.forward(&x)?.f_softmax(1, None)?.f_select(1, 1)?;
        Ok(Answer { face, bounds: self.bounds.forward(&x)?, landmarks: None })
    }
}

impl Refine {
    pub(super) fn load(file: &Path, device: Device) -> Result<Refine, Error> {
        load(file, device, "R-Net", |p| Refine {
            convs: [conv(p, 1, 3, 28, 3), conv(p, 2, 28, 48, 3), conv(p, 3, 48, 64, 2)],
            dense: Linear::new(p, "dense4", Some("prelu4"), [576, 128]),
            face: Linear::new(p, "dense5_1", None, [128, 2]),
            bounds: Linear::new(p, "dense5_2", None, [128, 4]),
        })
    }

    /// `x`: N × 3 × 24 × 24, normalised.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Answer, TchError> {
        let x = pool(&self.convs[0].forward(x)?, 3)?;
        let x = pool(&self.convs[1].forward(&x)?, 3)?;
        let x = self.dense.forward(&columns(&self.convs[2].forward(&x)?)?)?;
        let face = self.face.forward(&x)?.f_softmax(1, None)?.f_select(1, 1)?;
        Ok(Answer { face, bounds: self.bounds.forward(&x)?, landmarks: None })
    }
}

impl Output {
    pub(super) fn load(file: &Path, device: Device) -> Result<Output, Error> {
        load(file, device, "O-Net", |p| Output {
            convs: [
                conv(p, 1, 3, 32, 3),
                conv(p, 2, 32, 64, 3),
                conv(p, 3, 64, 64, 3),
                conv(p, 4, 64, 128, 2),
            ],
            dense: Linear::new(p, "dense5", Some("prelu5"), [1152, 256]),
            face: Linear::new(p, "dense6_1", None, [256, 2]),
            bounds: Linear::new(p, "dense6_2", None, [256, 4]),
            landmarks: Linear::new(p, "dense6_3", None, [256, 10]),
        })
    }

    /// `x`: N × 3 × 48 × 48, normalised.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Answer, TchError> {
        let x = pool(&self.convs[0].forward(x)?, 3)?;
        let x = pool(&self.convs[1].forward(&x)?, 3)?;
        let x = pool(&self.convs[2].forward(&x)?, 2)?;
        let x = self.dense.forward(&columns(&self.convs[3].forward(&x)?)?)?;
        let face = self.face.forward(&x)?.f_softmax(1, None)?.f_select(1, 1)?;
        let landmarks = Some(self.landmarks.forward(&x)?);
        Ok(Answer { face, bounds: self.bounds.forward(&x)?, landmarks })
    }
}

/// Builds a network and fills it from `file`, every name and shape checked.
fn load<T>(
    file: &Path,
    device: Device,
    name: &str,
    build: impl FnOnce(&nn::Path) -> T,
) -> Result<T, Error> {
    let mut store = nn::VarStore::new(device);
    let network = build(&store.root());
    store.freeze();
    let source = weights::read(file)?.tensors;
    let what = format!("face detector's {name} ({})", file.display());
    weights::load_strict(&store.variables().into_iter().collect(), &source, &what)?;
    Ok(network)
}

/// A convolution, and the PReLU after it unless it is an answer.
struct Conv {
    weight: Tensor,
    bias: Tensor,
    slope: Option<Tensor>,
}

impl Conv {
    fn new(p: &nn::Path, name: &str, slope: Option<&str>, [from, to, kernel]: [i64; 3]) -> Conv {
        Conv {
            weight: zeros(p, name, "weight", &[to, from, kernel, kernel]),
            bias: zeros(p, name, "bias", &[to]),
            slope: slope.map(|slope| zeros(p, slope, "weight", &[to])),
        }
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let x = x.f_conv2d(&self.weight, Some(&self.bias), [1, 1], [0, 0], [1, 1], 1)?;
        self.slope.as_ref().map_or(Ok(x.shallow_clone()), |slope| x.f_prelu(slope))
    }
}

/// The `k`-th convolution of a network, with its PReLU.
fn conv(p: &nn::Path, k: usize, from: i64, to: i64, kernel: i64) -> Conv {
    Conv::new(p, &format!("conv{k}"), Some(&format!("prelu{k}")), [from, to, kernel])
}

/// A fully connected layer, and the PReLU after it unless it is an answer.
struct Linear {
    weight: Tensor,
    bias: Tensor,
    slope: Option<Tensor>,
}

impl Linear {
    fn new(p: &nn::Path, name: &str, slope: Option<&str>, [from, to]: [i64; 2]) -> Linear {
        Linear {
            weight: zeros(p, name, "weight", &[to, from]),
            bias: zeros(p, name, "bias", &[to]),
            slope: slope.map(|slope| zeros(p, slope, "weight", &[to])),
        }
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let x = x.f_linear(&self.weight, Some(&self.bias))?;
        self.slope.as_ref().map_or(Ok(x.shallow_clone()), |slope| x.f_prelu(slope))
    }
}

fn zeros(p: &nn::Path, layer: &str, name: &str, shape: &[i64]) -> Tensor {
    (p / layer).var(name, shape, Init::Const(0.0))
}

/// Largest of `kernel` × `kernel` at every second pixel; what sticks out at the edge counts.
fn pool(x: &Tensor, kernel: i64) -> Result<Tensor, TchError> {
    x.f_max_pool2d([kernel, kernel], [2, 2], [0, 0], [1, 1], true)
}

/// Flattened column by column: the weights were trained on transposed images, and keep that
/// order here.
fn columns(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_permute([0, 3, 2, 1])?.f_flatten(1, -1)
}
