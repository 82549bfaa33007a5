use rand::Rng;

use crate::{Error, Generator, Guarantee, Kind, Mechanism, Prototypes, PureEpsilon};

/// The nearest of m public identities, kept with probability e^ε/(e^ε + m − 1); else another
/// one, all alike (randomised response: Kairouz, Oh and Viswanath 2016).
///
/// Purely ε-private, and exactly so on a computer: one integer is drawn, and the probabilities
/// of any output for any two identities are integers over the same total, in a ratio of at most
/// e^ε. However the nearest one is rounded does not matter to that.
#[derive(Clone, Debug)]
pub struct Codebook {
    prototypes: Prototypes,
    epsilon: PureEpsilon,
    keep: u128,
}

/// Integer weight of each identity that is not the nearest.
const OTHER: u128 = 1 << 40;

/// The largest ε that is used, ln 2^64: at a larger one the odds would be the same to within
/// m 2^-64.
const LARGEST: f64 = 44.361_419;

impl Codebook {
    /// With a pure budget ε. From ε = 44.3 up the nearest identity is kept with the odds of
    /// 44.3, which is more private.
    pub fn new(prototypes: Prototypes, epsilon: PureEpsilon) -> Self {
        // Rounded down after taking off more than `exp` can be wrong by: never above e^ε.
        let ratio = epsilon.get().min(LARGEST).exp() * (1.0 - 4.0 * f64::EPSILON);
        let keep = (ratio * OTHER as f64) as u128;
        Codebook { prototypes, epsilon, keep: keep.max(OTHER) }
    }

    /// The public identities.
    pub fn prototypes(&self) -> &Prototypes {
        &self.prototypes
    }

    /// Probability that the nearest one is kept.
    pub fn keep_probability(&self) -> f64 {
        self.keep as f64 / self.total() as f64
    }

    /// Logarithm of the probability of any output whose nearest prototype is `nearest`.
    pub fn ln_probability(&self, nearest: usize, output: usize) -> f64 {
        let weight = if nearest == output { self.keep } else { OTHER };
        (weight as f64).ln() - (self.total() as f64).ln()
    }

    /// The output for an identity whose nearest prototype is `nearest`.
    pub fn draw(&self, nearest: usize, rng: &mut impl Rng) -> usize {
        match below(self.total(), rng).checked_sub(self.keep) {
            None => nearest,
            Some(beyond) => {
                // Fits: it is below the number of prototypes.
                let other = (beyond / OTHER) as usize;
                if other < nearest { other } else { other + 1 }
            }
        }
    }

    fn total(&self) -> u128 {
        self.keep + (self.prototypes.count() as u128 - 1) * OTHER
    }
}

impl Mechanism for Codebook {
    fn name(&self) -> String {
        Kind::Codebook.to_string()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::Pure { epsilon: self.epsilon }
    }

    fn exact(&self) -> bool {
        true
    }

    fn perturb(&self, v: &[f32], rng: &mut Generator) -> Result<Vec<f32>, Error> {
        let nearest = self.prototypes.nearest(v)?;
        Ok(self.prototypes.get(self.draw(nearest, rng)).to_vec())
    }
}

/// A uniform integer below `n` > 0, without the bias that faster ways have.
pub(crate) fn below(n: u128, rng: &mut impl Rng) -> u128 {
    let spare = (n - 1).leading_zeros();
    loop {
        let bits = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
        // A shift by all 128 bits leaves nothing.
        let number = bits.checked_shr(spare).unwrap_or(0);
        if number < n {
            return number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn codebook(count: usize, epsilon: f64) -> Codebook {
        let prototypes = Prototypes::random(count, 3, 1).unwrap();
        Codebook::new(prototypes, PureEpsilon::new(epsilon).unwrap())
    }

    #[test]
    fn weights_stay_below_their_ratio_and_close_to_it() {
        for epsilon in [0.0, 1e-17, 1e-6, 0.1, 1.0, 6.93, 20.0, 1e6] {
            let book = codebook(4, epsilon);
            let ratio = book.keep as f64 / OTHER as f64;
            assert!(ratio >= 1.0 && ratio.ln() <= epsilon, "{epsilon}: {ratio}");
            assert!(ratio.ln() >= epsilon.min(LARGEST) - 1e-11, "{epsilon}: {ratio}");
        }
    }

    /// privacy.md: the right one of 1024 half of the time at ε = 6.93.
    #[test]
    fn half_of_the_time_at_ln_of_the_size() {
        assert!((codebook(1024, 6.93).keep_probability() - 0.5).abs() < 1e-3);
    }

    #[test]
    fn integers_below_cover_their_range() {
        let mut rng = Generator::seed_from_u64(1);
        for n in [1, 2, 3, 5] {
            let seen: std::collections::BTreeSet<_> =
                (0..200).map(|_| below(n, &mut rng)).collect();
            assert_eq!(seen.into_iter().collect::<Vec<_>>(), (0..n).collect::<Vec<_>>());
        }
        assert!(below(u128::MAX, &mut rng) < u128::MAX);
    }
}
