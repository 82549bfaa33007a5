//! The arithmetic of a spherical cap, by the height 1 − cos θ of its points.

use rand::Rng;
use rand_distr::{Distribution, Exp1};

/// Points of the unit sphere at most `height` above the pole's plane: 1 − cos θ ≤ height ≤ 1.
///
/// For uniform points of the sphere in d dimensions, half of the height follows
/// Beta(α, α) with α = (d − 1)/2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heights {
    pub(crate) height: f64,
    /// α.
    half: f64,
    /// ln T, T = ∫ cos θ over the cap under the uniform distribution.
    ln_moment: f64,
    /// Share of the sphere in the cap, divided by T.
    share_by_moment: f64,
}

impl Heights {
    /// `half` is (d − 1)/2, from 1 up; `height` in (0, 1].
    pub(crate) fn new(half: f64, height: f64) -> Self {
        let ln_beta = libm::lgamma(0.5) + libm::lgamma(half) - libm::lgamma(half + 0.5);
        let ln_moment = half * (height * (2.0 - height)).ln() - (2.0 * half).ln() - ln_beta;
        let share_by_moment = beta_fraction(half, height / 2.0);
        Heights { height, half, ln_moment, share_by_moment }
    }

    /// Logarithm of the cap's share of the sphere, which may be far below the smallest number.
    pub(crate) fn ln_share(&self) -> f64 {
        self.ln_moment + self.share_by_moment.ln()
    }

    /// E cos θ when the cap is e^ε times as dense as the rest.
    pub(crate) fn expected_cosine(&self, epsilon: f64) -> f64 {
        // T (e^ε − 1)/(q e^ε + 1 − q), divided by T e^ε: nothing overflows.
        let gain = -(-epsilon).exp_m1();
        gain / (self.share_by_moment * gain + (-epsilon - self.ln_moment).exp())
    }

    /// The height of a uniform point of the cap: exact rejection.
    ///
    /// s = height e^(−y) has density ∝ s^a (2 − s)^a, a = α − 1. In y that is log-concave:
    /// its tangent at the border, y = 0, is an exponential proposal.
    pub(crate) fn sample(&self, rng: &mut impl Rng) -> f64 {
        let (a, rest) = (self.half - 1.0, 2.0 - self.height);
        let rate = self.rate();
        loop {
            let step: f64 = Exp1.sample(rng);
            let y = step / rate;
            let s = self.height * (-y).exp();
            let spare: f64 = Exp1.sample(rng);
            if a * (((2.0 - s) / rest).ln() - y * self.height / rest) >= -spare {
                return s;
            }
        }
    }

    /// Share of the proposals that [`Heights::sample`] accepts.
    pub(crate) fn acceptance(&self) -> f64 {
        self.rate() * (2.0 - self.height) * self.share_by_moment / (2.0 * self.half)
    }

    fn rate(&self) -> f64 {
        1.0 + 2.0 * (self.half - 1.0) * (1.0 - self.height) / (2.0 - self.height)
    }
}

/// The continued fraction of the incomplete beta function with both parameters `a`, for
/// x ≤ 1/2: I_x(a, a) = x^a (1 − x)^a/(a B(a, a)) times it (DLMF 8.17.22, evaluated by Lentz's
/// method). Its logarithm is wanted where I_x underflows, which no crate has.
fn beta_fraction(a: f64, x: f64) -> f64 {
    // Neither can become zero for x ≤ 1/2: all partial denominators are positive.
    let (mut c, mut d) = (1.0, 1.0 / (1.0 - 2.0 * a * x / (a + 1.0)));
    let mut value = d;
    for m in 1..10_000 {
        let m = f64::from(m);
        let even = m * (a - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (2.0 * a + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut factor = 1.0;
        for term in [even, odd] {
            d = 1.0 / (1.0 + term * d);
            c = 1.0 + term / c;
            factor = c * d;
            value *= factor;
        }
        if (factor - 1.0).abs() < 1e-15 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::function::beta::beta_reg;

    #[test]
    fn shares_are_the_incomplete_beta_function() {
        for dims in [3.0, 4.0, 16.0, 512.0, 4096.0] {
            let half = (dims - 1.0) / 2.0;
            for height in [1.0, 0.99, 0.9, 0.5, 0.1] {
                let expected = beta_reg(half, half, height / 2.0);
                if expected > 1e-290 {
                    let found = Heights::new(half, height).ln_share();
                    assert!((found - expected.ln()).abs() < 1e-8, "d = {dims}, {height}: {found}");
                }
            }
        }
        // On the sphere in three dimensions, the share is proportional to the height.
        let tiny = Heights::new(1.0, 1e-300);
        assert!((tiny.ln_share() - 0.5f64.ln() - 1e-300f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn the_cap_has_its_mean_cosine() {
        // d = 3: cosines are uniform between the border and 1.
        let cap = Heights::new(1.0, 0.4);
        assert!((1.0 / cap.share_by_moment - 0.8).abs() < 1e-12);
        // All of it in the cap as ε grows.
        assert!((cap.expected_cosine(1e6) - 0.8).abs() < 1e-12);
        assert_eq!(cap.expected_cosine(0.0), 0.0);
    }
}
