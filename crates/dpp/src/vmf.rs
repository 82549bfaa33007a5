use rand::Rng;
use rand_distr::{Beta, Distribution, Exp1};

use crate::sphere::{self, Angle};
use crate::{Error, Generator, Guarantee, Kind, Mechanism, PerChord, PureEpsilon};

/// Von Mises–Fisher: density ∝ exp(κ v·w) with respect to the surface of the sphere.
///
/// κ ‖v − v'‖-private by Cauchy–Schwarz, and purely ε-private at κ = ε/2.
#[derive(Clone, Debug)]
pub struct Vmf {
    dims: usize,
    kappa: f64,
    guarantee: Guarantee,
    /// The envelope's parameter b (Wood 1994, equation 3).
    b: f64,
    beta: Beta<f64>,
}

impl Vmf {
    /// With a pure budget ε: κ = ε/2. Identities have `dims` ≥ 3 dimensions.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn pure(dims: usize, epsilon: PureEpsilon) -> Result<Self, Error> {
        Self::new(dims, epsilon.get() / 2.0, Guarantee::Pure { epsilon })
    }

    /// With a metric budget κ per unit of chord. Identities have `dims` ≥ 3 dimensions.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn metric(dims: usize, rate: PerChord) -> Result<Self, Error> {
        Self::new(dims, rate.get(), Guarantee::PerChord { rate })
    }

    fn new(dims: usize, kappa: f64, guarantee: Guarantee) -> Result<Self, Error> {
        let n = (sphere::sphere(dims)? - 1) as f64;
        let b = n / (2.0 * kappa + (4.0 * kappa * kappa + n * n).sqrt());
        let beta = Beta::new(n / 2.0, n / 2.0).map_err(|_| Error::Dims(dims))?;
        Ok(Vmf { dims, kappa, guarantee, b, beta })
    }

    /// An angle: Wood's exact rejection ("Simulation of the von Mises Fisher distribution",
    /// Communications in Statistics 23, 1994).
    pub fn angle(&self, rng: &mut impl Rng) -> Angle {
        let (b, n) = (self.b, (self.dims - 1) as f64);
        let x0 = (1.0 - b) / (1.0 + b);
        // 1 − x0² = 4b/(1 + b)², and likewise below: differences of nearly equal numbers are
        // worked out on paper.
        loop {
            let z = self.beta.sample(rng);
            let denominator = 1.0 - (1.0 - b) * z;
            let height = 2.0 * b * z / denominator;
            // ln(target/proposal) = κ (w − x0) + n ln((1 − x0 w)/(1 − x0²)), where
            // 1 − x0 w = 2b/((1 + b) (1 − (1 − b) z)).
            let shift = (1.0 - x0) - height;
            let ratio = (1.0 + b) / (2.0 * denominator);
            let spare: f64 = Exp1.sample(rng);
            if self.kappa * shift + n * ratio.ln() >= -spare {
                return Angle::from_height(height);
            }
        }
    }

    /// Logarithm of the density at `angle` from the identity with respect to the surface of the
    /// sphere, up to a constant.
    pub fn ln_density(&self, angle: Angle) -> f64 {
        self.kappa * angle.cos
    }
}

impl Mechanism for Vmf {
    fn name(&self) -> String {
        Kind::Vmf.to_string()
    }

    fn guarantee(&self) -> Guarantee {
        self.guarantee
    }

    fn perturb(&self, v: &[f32], rng: &mut Generator) -> Result<Vec<f32>, Error> {
        let angle = self.angle(rng);
        sphere::turn(v, self.dims, angle, rng)
    }
}
