//! Statistics that the tests share. False alarms are stated for each use: seeds are fixed, so a
//! test that passes once passes always, and the rate says how likely a correct implementation
//! was to fail when the seed was chosen.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use dpp::{Angle, Angular, Cap, Error, Generator, PerChord, PerRadian, PureEpsilon};
use dpp::{Purkayastha, Vmf};

/// False-alarm rate of each single comparison.
pub const BETA: f64 = 1e-9;

/// A mechanism that is a density of the angle to the identity.
pub enum Around {
    Purkayastha(Purkayastha),
    Vmf(Vmf),
    Cap(Cap),
}

impl Around {
    /// All of them in `dims` dimensions with a pure ε.
    pub fn pure(dims: usize, epsilon: f64) -> Result<[Self; 3], Error> {
        let epsilon = PureEpsilon::new(epsilon)?;
        Ok([
            Around::Purkayastha(Purkayastha::pure(dims, epsilon)?),
            Around::Vmf(Vmf::pure(dims, epsilon)?),
            Around::Cap(Cap::new(dims, epsilon)?),
        ])
    }

    /// Those that have a metric guarantee, at this rate.
    pub fn metric(dims: usize, rate: f64) -> Result<[Self; 2], Error> {
        Ok([
            Around::Purkayastha(Purkayastha::metric(dims, PerRadian::new(rate)?)?),
            Around::Vmf(Vmf::metric(dims, PerChord::new(rate)?)?),
        ])
    }

    pub fn mechanism(&self) -> &dyn dpp::Mechanism {
        match self {
            Around::Purkayastha(inner) => inner,
            Around::Vmf(inner) => inner,
            Around::Cap(inner) => inner,
        }
    }

    pub fn angle(&self, rng: &mut Generator) -> f64 {
        let angle = match self {
            Around::Purkayastha(inner) => inner.angle(rng),
            Around::Vmf(inner) => inner.angle(rng),
            Around::Cap(inner) => inner.angle(rng),
        };
        angle.radians()
    }

    /// With respect to the surface, up to a constant.
    pub fn ln_density(&self, theta: f64) -> f64 {
        let angle = Angle::from_radians(theta);
        match self {
            Around::Purkayastha(inner) => inner.ln_density(angle),
            Around::Vmf(inner) => inner.ln_density(angle),
            Around::Cap(inner) => inner.ln_density(angle),
        }
    }

    /// Where the density jumps.
    pub fn jump(&self) -> Option<f64> {
        match self {
            Around::Cap(cap) => Some(cap.border().radians()),
            _ => None,
        }
    }

    /// The law of θ in `dims` dimensions.
    pub fn law(&self, dims: usize) -> Law {
        Law::new(|theta| self.ln_density(theta), dims, self.jump())
    }
}

/// The distribution of θ with a given density on the sphere, integrated numerically.
pub struct Law {
    edges: Vec<f64>,
    /// Probability below each edge.
    below: Vec<f64>,
    pub mean_cosine: f64,
    /// Standard deviation of cos θ.
    pub deviation: f64,
}

impl Law {
    /// Of the density e^`ln_density`(θ) sin^(d−2) θ, which is smooth but for a `jump`.
    pub fn new(ln_density: impl Fn(f64) -> f64, dims: usize, jump: Option<f64>) -> Self {
        let ln = |theta: f64| ln_density(theta) + (dims as f64 - 2.0) * theta.sin().ln();
        let pieces = 20_000;
        let even = |k: i32| f64::from(k) / f64::from(pieces);
        let mut edges: Vec<f64> = (0..=pieces).map(|k| std::f64::consts::PI * even(k)).collect();
        // Closer ones towards 0, since a small cap is a small angle, and below its border, where
        // the probability gathers.
        edges.extend((1..pieces).map(|k| even(k).powi(50)));
        edges.extend(
            jump.iter()
                .flat_map(|jump| (0..=2000).map(move |k| jump * (0.95 + 0.05 * even(10 * k)))),
        );
        edges.sort_by(f64::total_cmp);
        let top = edges.windows(2).map(|e| ln((e[0] + e[1]) / 2.0)).fold(f64::MIN, f64::max);
        let (mut below, mut cosines, mut squares) = (vec![0.0], 0.0, 0.0);
        for edge in edges.windows(2) {
            let [sum, cosine, square] = gauss(edge[0], edge[1], |theta| (ln(theta) - top).exp());
            below.push(below[below.len() - 1] + sum);
            cosines += cosine;
            squares += square;
        }
        let total = below[below.len() - 1];
        below.iter_mut().for_each(|sum| *sum /= total);
        let mean_cosine = cosines / total;
        let deviation = (squares / total - mean_cosine * mean_cosine).max(0.0).sqrt();
        Law { edges, below, mean_cosine, deviation }
    }

    /// Probability of an angle up to `theta`; linear between edges, at most 1.6e-4 rad apart.
    pub fn cdf(&self, theta: f64) -> f64 {
        let above = self.edges.partition_point(|&edge| edge < theta);
        let Some((k, high)) = above.checked_sub(1).zip(self.edges.get(above)) else {
            return if above == 0 { 0.0 } else { 1.0 };
        };
        let share = (theta - self.edges[k]) / (high - self.edges[k]);
        self.below[k] + share * (self.below[above] - self.below[k])
    }
}

/// Integrals of f, f cos and f cos² from a to b: three-point Gauss–Legendre.
fn gauss(a: f64, b: f64, f: impl Fn(f64) -> f64) -> [f64; 3] {
    let (middle, half) = ((a + b) / 2.0, (b - a) / 2.0);
    let off = half * 0.6f64.sqrt();
    let points = [(middle - off, 5.0 / 9.0), (middle, 8.0 / 9.0), (middle + off, 5.0 / 9.0)];
    points.iter().fold([0.0; 3], |[sum, cosine, square], &(theta, weight)| {
        let (value, cos) = (weight * half * f(theta), theta.cos());
        [sum + value, cosine + value * cos, square + value * cos * cos]
    })
}

/// How far the mean of n cosines is from its expectation with probability [`BETA`] at most
/// (Bernstein), `deviation` being one cosine's.
pub fn mean_tolerance(deviation: f64, n: usize) -> f64 {
    let level = (2.0 / BETA).ln() / n as f64;
    deviation * (2.0 * level).sqrt() + 4.0 / 3.0 * level
}

/// Kolmogorov–Smirnov distance between a sample and a distribution function.
pub fn ks_distance(mut sample: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
    sample.sort_by(f64::total_cmp);
    let n = sample.len() as f64;
    sample.iter().enumerate().fold(0.0, |worst: f64, (k, &x)| {
        let exact = cdf(x);
        worst.max((exact - k as f64 / n).abs()).max(((k + 1) as f64 / n - exact).abs())
    })
}

/// What [`ks_distance`] of n numbers exceeds with probability [`BETA`] at most
/// (Dvoretzky–Kiefer–Wolfowitz).
pub fn ks_threshold(n: usize) -> f64 {
    ((2.0 / BETA).ln() / (2.0 * n as f64)).sqrt()
}

pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// The point of the great circle from `v` towards `other`, `theta` from `v`.
pub fn towards(v: &[f32], other: &[f32], theta: f64) -> Result<Vec<f32>, Error> {
    let other: Vec<f64> = other.iter().map(|&x| f64::from(x)).collect();
    // Only the rotation of `Angular` is used; its ε plays no part.
    Angular::new(1.0)?.rotate(v, &other, theta)
}
