use c10d::torch::widened;
use encoder::Fidelity;
use tch::{Device, Tensor, nn};

/// Bounds of α before the sigmoid.
const ALPHA_LIMIT: f64 = 5.0;
/// One separation layer `iba_{i}`: readout features → λ, the share of each
/// neuron that counts as identity.
#[derive(Debug)]
pub(super) struct SeparationLayer {
    pub(super) conv1: nn::Conv2D,
    conv2: nn::Conv2D,
    conv3: nn::Conv2D,
    /// The published smoothing has kernel size 1 and weight 1: an identity,
    /// kept because it is in the files.
    _smoothing: Tensor,
}

impl SeparationLayer {
    pub(super) fn new(p: nn::Path, readout: i64, channels: i64, start: f64) -> Self {
        let conv =
            |name: &str, c_in, c_out| nn::conv2d(&p / name, c_in, c_out, 1, Default::default());
        let mut conv3 = conv("conv3", 2 * channels, channels);
        tch::no_grad(|| {
            let _ = conv3.ws.g_mul_scalar_(1e-3);
            if let Some(bias) = &mut conv3.bs {
                let _ = bias.fill_(start);
            }
        });
        let smoothing = &p / "gaussin" / "conv";
        SeparationLayer {
            conv1: conv("conv1", readout, readout / 2),
            conv2: conv("conv2", readout / 2, 2 * channels),
            conv3,
            _smoothing: smoothing.ones_no_train("weight", &[channels, 1, 1, 1]),
        }
    }

    /// λ from what the first convolution gives.
    pub(super) fn lambda(&self, hidden: &Tensor) -> Tensor {
        let hidden = hidden.apply(&self.conv2).relu_();
        widened(&hidden.apply(&self.conv3)).clamp(-ALPHA_LIMIT, ALPHA_LIMIT).sigmoid()
    }
}

/// The first convolutions (and ReLUs) of layers of one size, as one: [B, L·768, side, side].
///
/// By definition they see all readouts at this size, concatenated. Bilinear resizing and 1×1
/// convolution commute, so readouts of a smaller size are convolved as they are and the
/// results enlarged and added: a tenth of the arithmetic. Published fidelity keeps to the
/// definition: a rounding error's difference moves a few of some ten million ReLUs to the
/// other side, and with them single gradients by more than agreement with the published
/// numbers allows.
pub(super) fn first_convolutions(
    layers: &[SeparationLayer],
    readouts: &[Tensor],
    side: i64,
    fidelity: Fidelity,
) -> Tensor {
    let weights: Vec<&Tensor> = layers.iter().map(|layer| &layer.conv1.ws).collect();
    let biases: Vec<&Tensor> = layers.iter().filter_map(|layer| layer.conv1.bs.as_ref()).collect();
    let (weight, bias) = (Tensor::cat(&weights, 0), Tensor::cat(&biases, 0));
    // Features only get smaller.
    let direct = match fidelity {
        Fidelity::Published => readouts.len(),
        Fidelity::Corrected => readouts.iter().take_while(|r| r.size()[2] >= side).count(),
    };
    let mut at = 0;
    let mut convolve = |group: &[Tensor], bias: Option<&Tensor>| {
        let input = Tensor::cat(group, 1);
        let channels = input.size()[1];
        let weight = weight.narrow(1, at, channels);
        at += channels;
        input.conv2d(&weight, bias, [1, 1], [0, 0], [1, 1], 1)
    };
    let resized: Vec<Tensor> = readouts[..direct].iter().map(|r| resize(r, side)).collect();
    let mut hidden = convolve(&resized, Some(&bias));
    for group in readouts[direct..].chunk_by(|a, b| a.size()[2] == b.size()[2]) {
        let _ = hidden.g_add_(&enlarge(&convolve(group, None), side));
    }
    hidden.relu_()
}

fn resize(x: &Tensor, side: i64) -> Tensor {
    match x.size()[2] {
        s if s == side => x.shallow_clone(),
        _ => c10d::torch::resize(x, [side, side]),
    }
}

/// [`resize`] of small maps of many channels, on a CPU as two matrix products: rows, then
/// columns. libtorch's kernel goes by way of channels-last and takes several times as long.
fn enlarge(x: &Tensor, side: i64) -> Tensor {
    let size = x.size();
    let (maps, small) = (size[0] * size[1], size[2]);
    if x.device() != Device::Cpu || small > 32 {
        return resize(x, side);
    }
    let eye = Tensor::eye(small, (x.kind(), x.device())).unsqueeze(0);
    let weights = eye.upsample_linear1d([side], true, None).get(0).tr().contiguous();
    let wide = x.reshape([maps * small, small]).matmul(&weights.tr()).view([maps, small, side]);
    let weights = weights.unsqueeze(0).expand([maps, side, small], false);
    weights.bmm(&wide).view([size[0], size[1], side, side])
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    /// Values and gradients, in float64, for readouts of odd sizes and of one channel.
    #[test]
    fn convolving_before_resizing_is_the_definition() {
        tch::manual_seed(8);
        let store = nn::VarStore::new(Device::Cpu);
        let shapes = [(4, 9), (3, 9), (1, 5), (6, 3), (2, 3)];
        let width: i64 = shapes.iter().map(|s| s.0).sum();
        let layer = |i: usize| SeparationLayer::new(store.root() / i, width, 3, 0.0);
        let layers = [layer(0), layer(1)];
        for (_, parameter) in store.variables() {
            let mut parameter = parameter;
            parameter.set_data(&parameter.to_kind(Kind::Double));
        }
        let readouts: Vec<Tensor> = shapes
            .iter()
            .map(|&(c, s)| {
                Tensor::randn([2, c, s, s], (Kind::Double, Device::Cpu)).set_requires_grad(true)
            })
            .collect();
        for side in [9, 5, 3] {
            let direction =
                Tensor::randn([2, 2 * (width / 2), side, side], (Kind::Double, Device::Cpu));
            let of = |fidelity| {
                let hidden = first_convolutions(&layers, &readouts, side, fidelity);
                let inputs: Vec<&Tensor> =
                    readouts.iter().chain([&layers[0].conv1.ws, &layers[1].conv1.ws]).collect();
                let along = (&hidden * &direction).sum(Kind::Double);
                let mut all = Tensor::run_backward(&[along], &inputs, false, false);
                all.push(hidden.detach());
                all
            };
            for (fast, plain) in of(Fidelity::Corrected).iter().zip(of(Fidelity::Published)) {
                let gap = (fast - &plain).abs().max() / plain.abs().max();
                assert!(gap.double_value(&[]) < 1e-12, "side {side}: {gap}");
            }
        }
    }

    /// From one pixel to many, between odd sizes, one channel, maps that do not vary.
    #[test]
    fn enlarging_by_matrix_products_is_resizing() {
        tch::manual_seed(9);
        for (shape, side) in [([2, 3, 1, 1], 4), ([1, 1, 3, 3], 7), ([2, 5, 32, 32], 61)] {
            let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Double, Device::Cpu));
            let direction = random(&[shape[0], shape[1], side, side]);
            for x in [random(&shape), random(&shape).ones_like()] {
                let x = x.set_requires_grad(true);
                let of = |y: Tensor| {
                    let along = (&y * &direction).sum(None);
                    [y.detach(), Tensor::run_backward(&[along], &[&x], false, false).remove(0)]
                };
                for (found, expected) in of(enlarge(&x, side)).iter().zip(of(resize(&x, side))) {
                    let gap = (found - &expected).abs().max() / expected.abs().max();
                    assert!(gap.double_value(&[]) < 1e-13, "{shape:?}: {gap}");
                }
            }
        }
    }
}
