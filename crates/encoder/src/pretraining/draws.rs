//! What is drawn for one image of a step: a pure function of the image's seed.

use c10d::torch::randn_seeded;
use tch::{Device, Kind, Tensor};
use train::mix;

/// Different uses of one seed must not share numbers.
#[derive(Clone, Copy)]
pub(super) enum Use {
    Gain = 1,
    Offset = 2,
    Contrast = 3,
    Coarse = 4,
    Side = 5,
    Dropout = 6,
}

/// Uniform in [0, 1); `nth` tells apart several draws of one use.
pub(super) fn unit(seed: u64, usage: Use, nth: u64) -> f64 {
    train::unit(mix(seed, usage as u64), nth)
}

/// Uniform in [-size, size).
pub(super) fn around(seed: u64, usage: Use, nth: u64, size: f64) -> f64 {
    (2.0 * unit(seed, usage, nth) - 1.0) * size
}

/// Leaves each element out with probability `share` and scales up the others, so that the mean
/// stays (Srivastava et al. 2014). Each image of the batch has a mask of its own.
///
/// # Shapes
/// `x` [B, …], one seed an image → like `x`.
///
/// # Errors
/// Those of libtorch.
pub(super) fn dropout(x: &Tensor, seeds: &[u64], share: f64) -> Result<Tensor, c10d::Error> {
    if share == 0.0 {
        return Ok(x.shallow_clone());
    }
    // Standard normal numbers above this quantile are kept.
    let quantile = std::f64::consts::SQRT_2 * Tensor::from(2.0 * share - 1.0).erfinv();
    let quantile = quantile.double_value(&[]);
    let mask = tch::no_grad(|| -> Result<Tensor, c10d::Error> {
        let one = |seed: &u64| {
            let seed = mix(*seed, Use::Dropout as u64);
            randn_seeded(&x.size()[1..], seed, Kind::Float, x.device())
        };
        let draws = seeds.iter().map(one).collect::<Result<Vec<_>, _>>()?;
        Ok(Tensor::stack(&draws, 0).gt(quantile).to_kind(x.kind()) / (1.0 - share))
    })?;
    Ok(x * mask)
}

/// One number per image as a tensor.
///
/// # Shapes
/// `[B]` numbers, `per` of each image → [B, per, 1, 1] on `device`.
pub(super) fn column(numbers: &[f32], per: i64, device: Device) -> Tensor {
    Tensor::from_slice(numbers).view([-1, per, 1, 1]).to_device(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_follows_the_image_and_keeps_the_mean() {
        let x = Tensor::ones([2, 64, 8, 8], (Kind::Float, Device::Cpu));
        let y = dropout(&x, &[3, 4], 0.6).unwrap();
        assert!((y.mean(Kind::Float).double_value(&[]) - 1.0).abs() < 0.06);
        let left_out = y.eq(0.0).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
        assert!((left_out - 0.6).abs() < 0.02, "{left_out}");
        let swapped = dropout(&x, &[4, 3], 0.6).unwrap();
        assert!(y.get(0).equal(&swapped.get(1)) && !y.get(0).equal(&y.get(1)));
        assert!(dropout(&x, &[3, 4], 0.0).unwrap().equal(&x));
    }

    #[test]
    fn draws_are_uniform_and_apart() {
        let all: Vec<f64> = (0..4000).map(|seed| around(seed, Use::Gain, 1, 0.5)).collect();
        let mean = all.iter().sum::<f64>() / 4000.0;
        assert!(mean.abs() < 0.02 && all.iter().all(|x| (-0.5..0.5).contains(x)), "{mean}");
        assert_ne!(unit(1, Use::Gain, 0), unit(1, Use::Offset, 0));
        assert_ne!(unit(1, Use::Gain, 0), unit(1, Use::Gain, 1));
    }
}
