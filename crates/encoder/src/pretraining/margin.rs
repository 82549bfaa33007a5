//! Margins on the sphere: a person's own direction must win by a distance.

use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

/// Where the distance is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Margin {
    /// In the angle: cos(θ + m) instead of cos θ (Deng et al. 2019).
    #[default]
    ArcFace,
    /// In the cosine: cos θ − m (Wang et al. 2018).
    CosFace,
}

/// Sines below this are taken for it. The derivative of cos(θ + m) by cos θ grows as 1/sin θ,
/// without bound; so it stays below 1000. It counts where an image lies within 0.06° of its
/// person's direction, or as near to the opposite one.
const SMALLEST_SINE: f64 = 1e-3;

impl Margin {
    /// The published size: 0.5 (radians), or 0.35.
    pub fn usual(self) -> f64 {
        match self {
            Margin::ArcFace => 0.5,
            Margin::CosFace => 0.35,
        }
    }

    /// What stands in for the cosine to an image's own person.
    ///
    /// Where θ + m would pass π, cos(θ + m) rises again, and would reward images for being
    /// farther off. There ArcFace's authors go on with cos θ − m sin m, which falls with θ
    /// throughout; so does this.
    ///
    /// # Shapes
    /// Any, cosines in [-1, 1] → the same.
    fn shorten(self, cosines: &Tensor, m: f64) -> Tensor {
        match self {
            Margin::CosFace => cosines - m,
            Margin::ArcFace if m == 0.0 => cosines.shallow_clone(),
            Margin::ArcFace => {
                let square: Tensor = 1.0 - cosines * cosines;
                let sines = square.clamp_min(SMALLEST_SINE * SMALLEST_SINE).sqrt();
                let turned = cosines * m.cos() - sines * m.sin();
                // θ + m ≤ π, as cos θ ≥ cos(π − m).
                turned.where_self(&cosines.ge(-m.cos()), &(cosines - m * m.sin()))
            }
        }
    }
}

/// Logits for a softmax over all people: `scale · cos θ`, shortened by the margin for each
/// image's own person.
///
/// The own cosines are taken out and put back by products with a one-hot matrix: unlike
/// `gather` and `scatter`, these add up in a fixed order on every device.
///
/// # Shapes
/// `cosines` `[B, P]` in [-1, 1], `labels` `[B]` of i64 below P → `[B, P]`.
///
/// # Arguments
/// * `m` - the margin, 0 to below π for ArcFace.
pub fn logits(cosines: &Tensor, labels: &Tensor, margin: Margin, m: f64, scale: f64) -> Tensor {
    let people = Tensor::arange(cosines.size()[1], (Kind::Int64, cosines.device()));
    let own = labels.unsqueeze(1).eq_tensor(&people).to_kind(cosines.kind());
    let cosine = (cosines * &own).sum_dim_intlist(&[1i64][..], true, None::<Kind>);
    let change = margin.shorten(&cosine, m) - &cosine;
    (cosines + own * change) * scale
}

/// The mean of −ln softmax of each image's own logit, in the dtype of the logits.
///
/// # Shapes
/// `logits` `[B, P]`, `labels` `[B]` of i64 below P → 0-dimensional.
pub(super) fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
    logits.cross_entropy_loss::<Tensor>(labels, None, Reduction::Mean, -100, 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn double(numbers: &[f64]) -> Tensor {
        Tensor::from_slice(numbers).to_device(Device::Cpu)
    }

    /// The definition, number by number, by the angle.
    fn by_definition(cosine: f64, margin: Margin, m: f64) -> f64 {
        let angle = cosine.acos();
        match margin {
            Margin::CosFace => cosine - m,
            Margin::ArcFace if angle + m <= std::f64::consts::PI => (angle + m).cos(),
            Margin::ArcFace => cosine - m * m.sin(),
        }
    }

    #[test]
    fn logits_and_loss_equal_the_definition() {
        let numbers =
            [[0.9, -0.2, 0.1, 0.999], [-0.95, 0.3, -0.9999, 0.0], [0.2, -0.87, -0.88, 0.5]];
        let labels = [3i64, 0, 2];
        let cosines = double(numbers.as_flattened()).view([3, 4]);
        for (margin, m) in [
            (Margin::ArcFace, 0.5),
            (Margin::ArcFace, 0.0),
            (Margin::CosFace, 0.35),
            (Margin::ArcFace, 1.2),
        ] {
            let found = logits(&cosines, &Tensor::from_slice(&labels), margin, m, 64.0);
            let mut loss = 0.0;
            for (i, row) in numbers.iter().enumerate() {
                let own = labels[i] as usize;
                let mut expected = row.map(|c| 64.0 * c);
                expected[own] = 64.0 * by_definition(row[own], margin, m);
                for (j, x) in expected.iter().enumerate() {
                    let gap = (found.double_value(&[i as i64, j as i64]) - x).abs();
                    assert!(gap < 1e-10, "{margin:?} {m}: {i} {j}: {gap}");
                }
                let sum: f64 = expected.iter().map(|x| (x - expected[own]).exp()).sum();
                loss += sum.ln() / 3.0;
            }
            let found = cross_entropy(&found, &Tensor::from_slice(&labels));
            assert!((found.double_value(&[]) - loss).abs() < 1e-10 * loss.max(1.0));
        }
    }

    /// Falls with the angle everywhere, so that nearer is always better.
    #[test]
    fn the_own_logit_falls_with_the_angle() {
        for (margin, m) in [(Margin::ArcFace, 0.5), (Margin::CosFace, 0.35), (Margin::ArcFace, 1.0)]
        {
            let angles: Vec<f64> = (0..=3141).map(|k| k as f64 * 1e-3).collect();
            let cosines: Vec<f64> = angles.iter().map(|a| a.cos()).collect();
            let values: Vec<f64> = Vec::try_from(margin.shorten(&double(&cosines), m)).unwrap();
            assert!(values.windows(2).all(|pair| pair[1] <= pair[0]), "{margin:?} {m}");
        }
    }

    /// Of the loss of embeddings and directions, through normalisation and margin, against
    /// differences; with images on both sides of θ + m = π.
    #[test]
    fn gradients_equal_finite_differences() {
        let random = |shape: &[i64], seed| {
            c10d::torch::randn_seeded(shape, seed, Kind::Double, Device::Cpu).unwrap()
        };
        let (mut x, w) = (random(&[4, 5], 1), random(&[6, 5], 2));
        let labels = Tensor::from_slice(&[0i64, 5, 2, 2]);
        // One image almost opposite to its person, one almost on it.
        x = Tensor::cat(
            &[x.narrow(0, 0, 2), -w.narrow(0, 2, 1) + 0.05, w.narrow(0, 2, 1) * 2.0 + 0.01],
            0,
        );
        for (margin, m) in [(Margin::ArcFace, 0.5), (Margin::CosFace, 0.35)] {
            let loss = |x: &Tensor, w: &Tensor| {
                let cosines = crate::normalize(x).matmul(&crate::normalize(w).tr());
                cross_entropy(&logits(&cosines, &labels, margin, m, 4.0), &labels)
            };
            let (x, w) = (x.copy().set_requires_grad(true), w.copy().set_requires_grad(true));
            let gradients = Tensor::run_backward(&[loss(&x, &w)], &[&x, &w], false, false);
            let _guard = tch::no_grad_guard();
            for (which, gradient) in gradients.iter().enumerate() {
                let parameter = [&x, &w][which];
                let flat = parameter.detach().view([-1]);
                for k in 0..flat.size()[0] {
                    let mut at = flat.get(k);
                    let before = at.double_value(&[]);
                    let step = 1e-6;
                    let mut value = |y: f64| {
                        let _ = at.fill_(y);
                        loss(&x, &w).double_value(&[])
                    };
                    let slope = (value(before + step) - value(before - step)) / (2.0 * step);
                    value(before);
                    let found = gradient.view([-1]).double_value(&[k]);
                    assert!(
                        (found - slope).abs() < 1e-6,
                        "{margin:?} {which} {k}: {found} {slope}"
                    );
                }
            }
        }
    }

    /// On its person's direction and opposite to it, in single precision.
    #[test]
    fn gradients_stay_finite_at_the_poles() {
        for cosine in [1.0f32, -1.0, 0.999_999_9, -0.999_999_9] {
            for (margin, m) in [(Margin::ArcFace, 0.5), (Margin::CosFace, 0.35)] {
                let cosines =
                    Tensor::from_slice(&[cosine, 0.3]).view([1, 2]).set_requires_grad(true);
                let labels = Tensor::from_slice(&[0i64]);
                let loss = cross_entropy(&logits(&cosines, &labels, margin, m, 64.0), &labels);
                let gradient = Tensor::run_backward(&[loss], &[&cosines], false, false).remove(0);
                let size = gradient.abs().max().double_value(&[]);
                assert!(size.is_finite() && size <= 64.0 * 1000.0, "{cosine} {margin:?}: {size}");
            }
        }
    }
}
