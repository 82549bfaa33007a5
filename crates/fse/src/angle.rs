//! Spatial independence: how identity and perception lie to each other, channel by channel
//! (method.md §4, §9).
use std::f64::consts::PI;

use encoder::Fidelity;
use tch::Tensor;

/// Keeps the arc cosine away from ±1, where its gradient is infinite.
const MARGIN: f64 = 1e-6;

/// −θ for each image, θ in [0, π/2] the angle whose cosine is the mean over
/// channels of cos(z_c, p_c).
///
/// Published fidelity leaves channel 0 out and lets the gradient grow without
/// bound. Standardising by the layer's statistics (corrected) is the caller's.
///
/// # Shapes
/// `z`, `p` [B, C, H, W] → `[B]`.
pub fn angle_loss(z: &Tensor, p: &Tensor, fidelity: Fidelity) -> Tensor {
    let channels = z.size()[1];
    let (first, limit) = match fidelity {
        // A map of one channel keeps it: there would be nothing left.
        Fidelity::Published if channels > 1 => (1, 1.0),
        Fidelity::Published => (0, 1.0),
        Fidelity::Corrected => (0, 1.0 - MARGIN),
    };
    let maps = |t: &Tensor| t.narrow(1, first, channels - first).flatten(2, -1);
    let cos = Tensor::cosine_similarity(&maps(z), &maps(p), 2, 1e-8);
    let mean = cos.mean_dim(&[1i64][..], false, None).clamp(-limit, limit);
    let theta = mean.acos();
    let folded = (PI - &theta).where_self(&theta.gt(PI / 2.0), &theta);
    -folded
}

/// Mean over channels of |cos(z_c, p_c)| for each image: 0 where no channel's map of one says
/// anything linear about the other's, however signs cancel between channels.
///
/// # Shapes
/// `z`, `p` [B, C, H, W], standardised → `[B]`.
pub fn alignment_loss(z: &Tensor, p: &Tensor) -> Tensor {
    let maps = |t: &Tensor| t.flatten(2, -1);
    let cos = Tensor::cosine_similarity(&maps(z), &maps(p), 2, 1e-8);
    cos.abs().mean_dim(&[1i64][..], false, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn equals_its_definition_in_float64_and_finite_differences() {
        tch::manual_seed(4);
        for fidelity in [Fidelity::Published, Fidelity::Corrected] {
            for shape in [[2, 5, 3, 7], [1, 1, 4, 4]] {
                let z = Tensor::randn(shape, (Kind::Double, Device::Cpu)).set_requires_grad(true);
                let p = Tensor::randn(shape, (Kind::Double, Device::Cpu)) + 0.2;
                let loss = |z: &Tensor| angle_loss(z, &p, fidelity).sum(Kind::Double);
                loss(&z).backward();
                let gradient = z.grad().flatten(0, -1);
                let flat = z.detach().flatten(0, -1);
                for k in [0, 7, flat.size1().unwrap() - 1] {
                    let shifted = |h: f64| {
                        let moved = flat.copy();
                        let _ = moved.get(k).fill_(flat.double_value(&[k]) + h);
                        loss(&moved.view(shape)).double_value(&[])
                    };
                    let slope = (shifted(1e-6) - shifted(-1e-6)) / 2e-6;
                    assert!((slope - gradient.double_value(&[k])).abs() < 1e-7);
                }
            }
        }
    }

    #[test]
    fn parallel_maps_have_finite_gradients_when_corrected() {
        let z = Tensor::ones([1, 2, 3, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let loss = angle_loss(&z, &z.detach(), Fidelity::Corrected);
        assert!(loss.double_value(&[0]) > -2e-3);
        loss.sum(Kind::Float).backward();
        assert!(bool::try_from(z.grad().isfinite().all()).unwrap());
    }
}
