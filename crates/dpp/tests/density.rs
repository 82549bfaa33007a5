//! Densities keep what the mechanisms claim, on random and on worst-case pairs.
#![allow(clippy::unwrap_used)]

mod support;

use dpp::{Codebook, Guarantee, Prototypes, PureEpsilon};
use support::Around;

type Vector = Vec<f64>;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// From 0 to π, accurate everywhere.
fn angle(a: &[f64], b: &[f64]) -> f64 {
    let length = |sign: f64| a.iter().zip(b).map(|(a, b)| (a + sign * b).powi(2)).sum::<f64>();
    2.0 * length(-1.0).sqrt().atan2(length(1.0).sqrt())
}

/// The point of the great circle from `v` towards `other`, `theta` from `v`.
fn towards(v: &[f64], other: &[f64], theta: f64) -> Vector {
    let along = dot(v, other);
    let tangent: Vector = v.iter().zip(other).map(|(v, o)| o - along * v).collect();
    let length = dot(&tangent, &tangent).sqrt();
    v.iter().zip(tangent).map(|(v, t)| v * theta.cos() + t / length * theta.sin()).collect()
}

/// Pairs of identities and outputs [v, v', w]: random ones; and the worst for a density that
/// falls with the angle, w, v and v' on one great circle in this order.
fn triples(dims: usize) -> Vec<[Vector; 3]> {
    let random = Prototypes::random(60, dims, 21).unwrap();
    let point = |k: usize| {
        let wide: Vector = random.get(k).iter().map(|&x| f64::from(x)).collect();
        let length = dot(&wide, &wide).sqrt();
        wide.into_iter().map(|x| x / length).collect::<Vector>()
    };
    let mut triples: Vec<_> = (0..20).map(|k| [point(k), point(20 + k), point(40 + k)]).collect();
    for k in 0..20 {
        let (w, other) = (point(k), point(20 + k));
        let angles = [(0.0, 1e-3), (0.0, 1.0), (0.5, 0.6), (1.5, 1.6), (3.0, 3.1), (0.1, 3.0)];
        for (near, far) in angles.into_iter().chain([(0.0, std::f64::consts::PI)]) {
            triples.push([towards(&w, &other, near), towards(&w, &other, far), w.clone()]);
        }
    }
    triples
}

#[test]
fn ratios_of_densities_stay_within_the_claim() {
    for dims in [3, 16, 512] {
        let triples = triples(dims);
        for size in [0.1, 1.0, 10.0, 1000.0] {
            let mechanisms = Around::pure(dims, size)
                .unwrap()
                .into_iter()
                .chain(Around::metric(dims, size).unwrap());
            for around in mechanisms {
                let guarantee = around.mechanism().guarantee();
                let mut closest = f64::MAX;
                for [v, other, w] in &triples {
                    let claimed = guarantee.log_ratio(angle(v, other)).unwrap();
                    let ratio = around.ln_density(angle(w, v)) - around.ln_density(angle(w, other));
                    assert!(ratio.abs() <= claimed + 1e-9, "{guarantee} at {dims}: {ratio}");
                    closest = closest.min(claimed - ratio.abs());
                }
                // Tight: no smaller number would do.
                assert!(closest < 2e-3 * size, "{guarantee} at d = {dims}: {closest}");
            }
        }
    }
}

/// The same with angles alone, without the vectors' rounding: for w on the great circle beyond v.
#[test]
fn ratios_along_a_great_circle_stay_within_the_claim() {
    for size in [0.1, 1.0, 10.0, 1000.0] {
        let mechanisms =
            Around::pure(512, size).unwrap().into_iter().chain(Around::metric(512, size).unwrap());
        for around in mechanisms {
            let guarantee = around.mechanism().guarantee();
            for near in 0..40 {
                for far in near..40 {
                    let [near, far] =
                        [near, far].map(|k| std::f64::consts::PI * f64::from(k) / 39.0);
                    let ratio = around.ln_density(near) - around.ln_density(far);
                    let claimed = guarantee.log_ratio(far - near).unwrap();
                    assert!(ratio.abs() <= claimed + 1e-9, "{guarantee}: {ratio} at {near}, {far}");
                }
            }
        }
    }
}

#[test]
fn ratios_of_codebook_probabilities_stay_within_the_claim() {
    for (count, epsilon) in [(2, 0.1), (16, 1.0), (1024, 6.93), (5, 200.0)] {
        let prototypes = Prototypes::random(count, 3, 1).unwrap();
        let book = Codebook::new(prototypes, PureEpsilon::new(epsilon).unwrap());
        let ratio = book.ln_probability(0, 0) - book.ln_probability(1, 0);
        assert!(ratio <= epsilon + 1e-9 && ratio > epsilon.min(44.0) - 1e-9, "{ratio}");
        let total: f64 = (0..count).map(|output| book.ln_probability(1, output).exp()).sum();
        assert!((total - 1.0).abs() < 1e-9, "{total}");
    }
}

/// Why `angular` claims nothing: exp(−εθ/π)/sin^(d−2) θ grows without bound towards θ = 0. Only
/// for opposite identities, v' = −v, the sines are the same and the ratio is e^ε at most.
#[test]
fn the_heuristic_has_no_bound() {
    let pi = std::f64::consts::PI;
    let ln_density = |theta: f64| -theta / pi - 510.0 * theta.sin().ln();
    assert!(ln_density(1e-6) - ln_density(1.0) > 5000.0);
    for theta in [1e-6, 0.1, 1.0, 2.0, 3.1] {
        assert!((ln_density(theta) - ln_density(pi - theta)).abs() <= 1.0 + 1e-6, "{theta}");
    }
    assert_eq!(Guarantee::Heuristic { noise_scale: 1.0 }.log_ratio(1.0), None);
}
