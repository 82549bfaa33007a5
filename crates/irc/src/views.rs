//! A painted face as another recogniser might get it: shifted, noised, blurred, recoloured.

use c10d::torch::upload;
use tch::{Kind, Tensor};
use train::{mix, unit};

use crate::Error;

/// Shift, as a share of the side.
const SHIFT: f64 = 1.0 / 32.0;
/// Largest standard deviation of the noise; white is 1, black −1.
const NOISE: f64 = 0.12;
/// Each colour is multiplied by up to 1 ± this.
const GAIN: f64 = 0.2;

/// Each face as one of many cameras would show it, drawn from the faces' seeds.
///
/// # Shapes
/// `faces` [B, 3, S, S] in [−1, 1], one seed each → the same, differentiable.
///
/// # Errors
/// When libtorch refuses.
pub(crate) fn look(faces: &Tensor, seeds: &[u64]) -> Result<Tensor, Error> {
    let side = faces.size()[2];
    let reach = (side as f64 * SHIFT).round().max(1.0) as i64;
    let padded = padded(faces, reach);
    let mut views = Vec::with_capacity(seeds.len());
    let (mut gains, mut noises) = (Vec::new(), Vec::new());
    for (k, &seed) in seeds.iter().enumerate() {
        let offset = |stream| (unit(seed, stream) * (2 * reach + 1) as f64) as i64;
        let face = padded.narrow(0, k as i64, 1);
        let face = face.narrow(2, offset(1), side).narrow(3, offset(2), side);
        let blurred = unit(seed, 3) < 0.5;
        views.push(if blurred { blur(&face) } else { face });
        gains.extend((0..3).map(|c| (1.0 + GAIN * (2.0 * unit(seed, 4 + c) - 1.0)) as f32));
        let noise =
            c10d::torch::randn_seeded(&[3, side, side], mix(seed, 8), Kind::Float, faces.device())?;
        noises.push(noise * (NOISE * unit(seed, 7)));
    }
    let gains = Tensor::f_from_slice(&gains).and_then(|t| t.f_view([-1, 3, 1, 1]));
    let gains = upload(&gains.map_err(c10d::Error::from)?, faces.device())?.to_kind(faces.kind());
    Ok((Tensor::cat(&views, 0) + Tensor::stack(&noises, 0).to_kind(faces.kind())) * gains)
}

/// With its edges repeated `by` times outwards. Out of copies: the gradient of libtorch's own
/// padding is added up in any order on CUDA.
fn padded(faces: &Tensor, by: i64) -> Tensor {
    [2, 3].into_iter().fold(faces.shallow_clone(), |x, dim| {
        let edge = |at| {
            let mut size = x.size();
            size[dim] = by;
            x.narrow(dim as i64, at, 1).expand(size, true)
        };
        let last = x.size()[dim] - 1;
        Tensor::cat(&[edge(0), x.shallow_clone(), edge(last)], dim as i64)
    })
}

/// Mean of 3 × 3 pixels.
fn blur(face: &Tensor) -> Tensor {
    padded(face, 1).avg_pool2d([3, 3], [1, 1], [0, 0], false, true, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn padding_repeats_the_edges() {
        let faces = c10d::torch::randn_seeded(&[2, 3, 5, 4], 1, Kind::Float, Device::Cpu).unwrap();
        assert!(padded(&faces, 3).equal(&faces.replication_pad2d([3; 4])));
    }

    #[test]
    fn a_look_is_its_seeds_and_stays_near_the_face() {
        let ramp = Tensor::linspace(-0.8, 0.8, 64, (Kind::Float, Device::Cpu));
        let faces = (ramp.view([1, 1, 64, 1]) * 0.5 + ramp.view([1, 1, 1, 64]) * 0.5)
            .expand([3, 3, 64, 64], true)
            .contiguous()
            .set_requires_grad(true);
        let view = look(&faces, &[5, 6, 5]).unwrap();
        assert_eq!(view.size(), [3, 3, 64, 64]);
        assert!(view.get(0).equal(&view.get(2)) && !view.get(0).equal(&view.get(1)));
        let off = (&view - &faces).abs().mean(None).double_value(&[]);
        assert!(off > 0.01 && off < 0.2, "{off}");
        view.sum(None).backward();
        assert!(faces.grad().abs().min().double_value(&[]) >= 0.0);
        assert!(bool::try_from(faces.grad().isfinite().all()).unwrap());
    }
}
