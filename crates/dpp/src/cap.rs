use rand::{Rng, RngExt};
use rand_distr::{Beta, Distribution};

use crate::heights::Heights;
use crate::sphere::{self, Angle};
use crate::{Error, Generator, Guarantee, Kind, Mechanism, PureEpsilon};

/// A cap around the identity, cos θ ≥ γ, and the rest of the sphere: uniform on each, with
/// densities in the ratio e^ε (PrivUnit: Bhowmick et al. 2018; optimal: Asi et al. 2022).
///
/// Purely ε-private whatever γ is. At γ = E cos θ, which is used, E cos θ is the largest that
/// any purely ε-private mechanism can have for all identities alike, or on the average over
/// uniform ones ([`Cap::expected_cosine`]); for some identities, as a codebook's own, others have
/// more.
#[derive(Clone, Debug)]
pub struct Cap {
    dims: usize,
    epsilon: PureEpsilon,
    cap: Heights,
    /// The share q of the sphere in the cap, and that of the rest.
    ln_shares: (f64, f64),
    /// Probability of the cap, q e^ε/(q e^ε + 1 − q), and that of the rest.
    ln_probabilities: (f64, f64),
    beta: Beta<f64>,
    /// Whether a point of the cap is found sooner among points of the sphere.
    from_sphere: bool,
}

impl Cap {
    /// Identities have `dims` ≥ 3 dimensions.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn new(dims: usize, epsilon: PureEpsilon) -> Result<Self, Error> {
        let half = (sphere::sphere(dims)? - 1) as f64 / 2.0;
        let beta = Beta::new(half, half).map_err(|_| Error::Dims(dims))?;
        // E cos θ rises with γ while it is above γ, so there is one γ to find. Its logarithmic
        // height, because a cap at a large ε is small; a less than perfect γ costs cosine, not
        // privacy.
        let (mut low, mut high) = (1e-300f64.ln(), 0.0f64);
        for _ in 0..200 {
            let middle = (low + high) / 2.0;
            let cap = Heights::new(half, middle.exp());
            if cap.expected_cosine(epsilon.get()) > 1.0 - cap.height {
                high = middle;
            } else {
                low = middle;
            }
        }
        let cap = Heights::new(half, high.exp());
        let ln_q = cap.ln_share();
        let ln_shares = (ln_q, (-ln_q.exp()).ln_1p());
        let odds = epsilon.get() + ln_shares.0 - ln_shares.1;
        let ln_probability = |odds: f64| odds.min(0.0) - (-odds.abs()).exp().ln_1p();
        let ln_probabilities = (ln_probability(odds), ln_probability(-odds));
        let from_sphere = ln_q.exp() > cap.acceptance();
        Ok(Cap { dims, epsilon, cap, ln_shares, ln_probabilities, beta, from_sphere })
    }

    /// E cos θ = γ.
    pub fn expected_cosine(&self) -> f64 {
        self.cap.expected_cosine(self.epsilon.get())
    }

    /// The angle arccos γ of the cap's border.
    pub fn border(&self) -> Angle {
        Angle::from_height(self.cap.height)
    }

    /// An angle: exact rejection.
    pub fn angle(&self, rng: &mut impl Rng) -> Angle {
        if rng.random::<f64>() < self.ln_probabilities.0.exp() {
            Angle::from_height(self.inside(rng))
        } else {
            Angle::from_height(self.on_sphere(rng, |height| height > self.cap.height))
        }
    }

    fn inside(&self, rng: &mut impl Rng) -> f64 {
        if self.from_sphere {
            self.on_sphere(rng, |height| height <= self.cap.height)
        } else {
            self.cap.sample(rng)
        }
    }

    /// The height 1 − cos θ of the first uniform point that is `wanted`.
    fn on_sphere(&self, rng: &mut impl Rng, wanted: impl Fn(f64) -> bool) -> f64 {
        loop {
            let height = 2.0 * self.beta.sample(rng);
            if wanted(height) {
                return height;
            }
        }
    }

    /// Logarithm of the density at `angle` from the identity with respect to the uniform one on
    /// the sphere.
    pub fn ln_density(&self, angle: Angle) -> f64 {
        // Not by the cosines, which are 1 in all of a small cap.
        if angle.radians() <= self.border().radians() {
            self.ln_probabilities.0 - self.ln_shares.0
        } else {
            self.ln_probabilities.1 - self.ln_shares.1
        }
    }
}

impl Mechanism for Cap {
    fn name(&self) -> String {
        Kind::Cap.to_string()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::Pure { epsilon: self.epsilon }
    }

    fn perturb(&self, v: &[f32], rng: &mut Generator) -> Result<Vec<f32>, Error> {
        let angle = self.angle(rng);
        sphere::turn(v, self.dims, angle, rng)
    }
}
