use std::f64::consts::PI;

use rand::Rng;
use rand_distr::{Distribution, OpenClosed01};

use crate::sphere::{self, Angle};
use crate::{Error, Generator, Guarantee, Kind, Mechanism};

/// The published mechanism: a uniform tangent direction and an angle θ in
/// [0, π] with density ∝ exp(−ε θ/π).
///
/// In three dimensions or more its density on the sphere is unbounded at θ = 0, so it is not
/// differentially private for any finite ε, nor by any finite distance. (Between opposite
/// identities alone, whose densities grow together, the ratio is e^ε at most.)
#[derive(Clone, Copy, Debug)]
pub struct Angular {
    epsilon: f64,
}

impl Angular {
    /// What everything that prints this mechanism's ε must say.
    pub const CLAIM: &'static str = "heuristic obfuscation: its ε is a noise-scale knob, \
                                     no differential-privacy guarantee";

    /// # Errors
    /// When `epsilon` is not a positive, finite number.
    pub fn new(epsilon: f64) -> Result<Self, Error> {
        if epsilon.is_finite() && epsilon > 0.0 {
            Ok(Angular { epsilon })
        } else {
            Err(Error::Epsilon(epsilon))
        }
    }

    /// The angle at which the distribution function reaches `u` in [0, 1]:
    /// θ = −(π/ε) ln(1 − u (1 − e^{−ε})).
    pub fn angle(&self, u: f64) -> f64 {
        -(PI / self.epsilon) * (u * (-self.epsilon).exp_m1()).ln_1p()
    }

    /// v cos θ + t sin θ, t the direction of `gaussian` tangent to `v`. `v` is
    /// scaled to unit length first.
    ///
    /// # Errors
    /// When `v` has no direction, or `gaussian` none beside it.
    pub fn rotate(&self, v: &[f32], gaussian: &[f64], theta: f64) -> Result<Vec<f32>, Error> {
        sphere::rotate(v, gaussian, Angle::from_radians(theta))
    }

    /// One draw around `v`.
    ///
    /// # Errors
    /// When `v` has no direction.
    pub fn perturb(&self, v: &[f32], rng: &mut impl Rng) -> Result<Vec<f32>, Error> {
        let (theta, gaussian) = self.draw(v.len(), rng);
        self.rotate(v, &gaussian, theta)
    }

    /// The random half of [`Angular::perturb`], which knows nothing of the identity: an angle
    /// θ and `dims` standard normal numbers, for [`Angular::rotate`].
    pub fn draw(&self, dims: usize, rng: &mut impl Rng) -> (f64, Vec<f64>) {
        // (0, 1]: an angle of exactly zero would return the identity itself.
        let u: f64 = OpenClosed01.sample(rng);
        (self.angle(u), sphere::gaussian(dims, rng))
    }
}

impl Mechanism for Angular {
    fn name(&self) -> String {
        Kind::Angular.to_string()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::Heuristic { noise_scale: self.epsilon }
    }

    fn perturb(&self, v: &[f32], rng: &mut Generator) -> Result<Vec<f32>, Error> {
        Angular::perturb(self, v, rng)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// Kolmogorov–Smirnov against the exact distribution function at n = 1e5:
    /// false alarm 1e-9 (and the seed is fixed).
    #[test]
    fn angles_follow_their_distribution_and_length_stays_one() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(11);
        for epsilon in [0.1, 1.0, 30.0] {
            let mechanism = Angular::new(epsilon).unwrap();
            let v = [0.6f32, 0.0, 0.8];
            let n = 100_000;
            let mut angles: Vec<f64> = (0..n)
                .map(|_| {
                    let w = mechanism.perturb(&v, &mut rng).unwrap();
                    let dot = |a: &[f32], b: &[f32]| -> f64 {
                        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
                    };
                    assert!((dot(&w, &w) - 1.0).abs() < 1e-6);
                    dot(&w, &v).clamp(-1.0, 1.0).acos()
                })
                .collect();
            angles.sort_by(f64::total_cmp);
            let distance = angles.iter().enumerate().fold(0.0, |worst: f64, (k, theta)| {
                let exact = (-epsilon * theta / PI).exp_m1() / (-epsilon).exp_m1();
                worst.max((exact - (k as f64 + 0.5) / n as f64).abs())
            });
            // acos of float32 products blurs the smallest angles by about 1e-3.
            assert!(distance < 0.0103 + 1e-3, "epsilon {epsilon}: {distance}");
        }
    }

    /// Stage II is trained on these draws: the same seed gives the same bits for good.
    #[test]
    fn draws_stay_what_they_were() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(7);
        let mechanism = Angular::new(2.0).unwrap();
        let mut bits = || {
            let w = mechanism.perturb(&[0.6, 0.0, -0.8, 0.1], &mut rng).unwrap();
            w.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(bits(), [1058373327, 3170923970, 3209605605, 1033894569]);
        assert_eq!(bits(), [3209421877, 3192806294, 1057966892, 1037956147]);
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(Angular::new(0.0).unwrap_err(), Error::Epsilon(0.0));
        let mechanism = Angular::new(1.0).unwrap();
        assert!(mechanism.rotate(&[0.0, 0.0], &[1.0, 0.0], 1.0).is_err());
    }
}
