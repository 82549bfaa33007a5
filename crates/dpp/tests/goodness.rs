//! The samplers draw what their densities say: angles, directions, lengths.
#![allow(clippy::unwrap_used)]

mod support;

use std::f64::consts::{FRAC_PI_2, PI};

use dpp::{
    Angular, Codebook, Generator, Independent, Mechanism, Prototypes, PureEpsilon, Subspace,
};
use rand::SeedableRng;
use statrs::distribution::{ChiSquared, ContinuousCDF};
use statrs::function::beta::beta_reg;
use support::{Around, BETA, Law, dot, ks_distance, ks_threshold, mean_tolerance};

const N: usize = 100_000;

/// Kolmogorov–Smirnov on θ, threshold .0103: 75 comparisons, a false alarm in any at most
/// 7.5e-8.
#[test]
fn angles_follow_their_densities() {
    let mut rng = Generator::seed_from_u64(101);
    for dims in [3, 16, 512] {
        for size in [0.1, 1.0, 10.0, 300.0, 3000.0] {
            let pure = Around::pure(dims, size).unwrap();
            for around in pure.into_iter().chain(Around::metric(dims, size).unwrap()) {
                let law = around.law(dims);
                let sample = (0..N).map(|_| around.angle(&mut rng)).collect();
                let distance = ks_distance(sample, |theta| law.cdf(theta));
                let what = around.mechanism().claim();
                assert!(distance < ks_threshold(N), "{what} at d = {dims}: {distance}");
            }
        }
    }
}

/// The mode of Purkayastha's density chooses between two proposals; the shares at which cap
/// chooses its way are passed too, threshold .0033: 12 comparisons, 1.2e-8.
#[test]
fn samplers_are_right_on_both_sides_of_their_switches() {
    let (mut rng, n) = (Generator::seed_from_u64(102), 1_000_000);
    // tan 1 = n/r at r = 327.5, d = 512; cap's γ √d is around 0.4 at ε = 1.
    for (dims, size) in [(512, 327.0), (512, 328.0), (512, 0.8), (512, 1.5), (4, 1.0), (64, 2.0)] {
        let [_, _, cap] = Around::pure(dims, size).unwrap();
        let [purkayastha, _] = Around::metric(dims, size).unwrap();
        for around in [cap, purkayastha] {
            let law = around.law(dims);
            let sample = (0..n).map(|_| around.angle(&mut rng)).collect();
            let distance = ks_distance(sample, |theta| law.cdf(theta));
            assert!(distance < ks_threshold(n), "d = {dims}, {size}: {distance}");
        }
    }
}

/// The heuristic's angles, which are the same in any space, threshold .0103: 5 comparisons, 5e-9.
#[test]
fn the_heuristics_angles_follow_their_formula() {
    let mut rng = Generator::seed_from_u64(108);
    for epsilon in [0.1, 1.0, 10.0, 300.0, 3000.0] {
        let angular = Angular::new(epsilon).unwrap();
        let sample = (0..N).map(|_| angular.draw(0, &mut rng).0).collect();
        let distance = ks_distance(sample, |theta| heuristic_cdf(epsilon, theta));
        assert!(distance < ks_threshold(N), "{epsilon}: {distance}");
    }
}

fn heuristic_cdf(epsilon: f64, theta: f64) -> f64 {
    (-epsilon * theta / PI).exp_m1() / (-epsilon).exp_m1()
}

/// Whole vectors, as they are given away, are at the angles that were drawn: 5 mechanisms in 3
/// spaces, 1.5e-8.
#[test]
fn released_vectors_are_at_their_mechanisms_angles() {
    let mut rng = Generator::seed_from_u64(109);
    for dims in [3, 16, 512] {
        let (n, epsilon) = (if dims == 512 { 10_000 } else { 50_000 }, 8.0);
        let random = Prototypes::random(2, dims, 10).unwrap();
        let v = random.get(0);
        let mut check = |mechanism: &dyn Mechanism, cdf: &dyn Fn(f64) -> f64| {
            let mut angle = || dot(&mechanism.perturb(v, &mut rng).unwrap(), v).clamp(-1.0, 1.0);
            let sample = (0..n).map(|_| angle().acos()).collect();
            let distance = ks_distance(sample, cdf);
            // acos of float32 products blurs the smallest angles by about 1e-3.
            let limit = ks_threshold(n) + 1e-3;
            assert!(distance < limit, "{mechanism:?} at d = {dims}: {distance} of {limit}");
        };
        for around in Around::pure(dims, epsilon).unwrap() {
            let law = around.law(dims);
            check(around.mechanism(), &|theta| law.cdf(theta));
        }
        let uniform = Law::new(|_| 0.0, dims, None);
        check(&Independent::uniform(dims).unwrap(), &|theta| uniform.cdf(theta));
        check(&Angular::new(epsilon).unwrap(), &|theta| heuristic_cdf(epsilon, theta));
    }
}

/// privacy.md: the mean of k draws is at a cosine of ρ/√(ρ² + (1 − ρ²)/k) from the identity, which
/// is a ratio of two means and so nearly right. The seed is fixed.
#[test]
fn averages_undo_the_noise() {
    let mut rng = Generator::seed_from_u64(110);
    let random = Prototypes::random(2, 512, 11).unwrap();
    let v = random.get(0);
    let [purkayastha, vmf, cap] = Around::pure(512, 10.0).unwrap();
    for (around, k) in [(&cap, 1u16), (&cap, 10), (&cap, 100), (&cap, 1000), (&vmf, 1000)]
        .into_iter()
        .chain([(&purkayastha, 1000)])
    {
        let (rho, trials) = (around.law(512).mean_cosine, 20_000 / u32::from(k));
        let cosine = (0..trials)
            .map(|_| {
                let mut sum = vec![0f32; 512];
                for _ in 0..k {
                    let w = around.mechanism().perturb(v, &mut rng).unwrap();
                    sum.iter_mut().zip(w).for_each(|(sum, w)| *sum += w);
                }
                dot(&sum, v) / dot(&sum, &sum).sqrt()
            })
            .sum::<f64>()
            / f64::from(trials);
        let expected = rho / (rho * rho + (1.0 - rho * rho) / f64::from(k)).sqrt();
        assert!((cosine - expected).abs() < 0.01, "{rho}, {k}: {cosine} for {expected}");
    }
}

/// A uniform direction's coordinate x in D dimensions: (1 + x)/2 follows
/// Beta((D − 1)/2, (D − 1)/2).
fn coordinate_cdf(dims: usize) -> impl Fn(f64) -> f64 {
    let half = (dims - 1) as f64 / 2.0;
    move |x| beta_reg(half, half, ((1.0 + x) / 2.0).clamp(0.0, 1.0))
}

/// Directions beside the identity are uniform, whether the angle is small or large; lengths are
/// 1: 5 mechanisms in 3 spaces, two halves on three axes, 9e-8.
#[test]
fn directions_are_isotropic_and_of_unit_length() {
    let mut rng = Generator::seed_from_u64(103);
    for dims in [3, 16, 512] {
        let n = if dims == 512 { 5_000 } else { 30_000 };
        let random = Prototypes::random(4, dims, 7).unwrap();
        let v = random.get(0);
        // Axes beside v: one of the coordinates', two at random.
        let mut first = vec![0.0; dims];
        first[0] = 1.0;
        let axes: Vec<Vec<f32>> = [&first, random.get(1), random.get(2)]
            .into_iter()
            .map(|axis| support::towards(v, axis, FRAC_PI_2).unwrap())
            .collect();
        let mechanisms: Vec<Box<dyn Mechanism>> =
            ["purkayastha", "vmf", "cap", "angular", "independent"]
                .map(|name| name.parse::<dpp::Kind>().unwrap().build(8.0, dims, None).unwrap())
                .into();
        for mechanism in mechanisms {
            let mut draws: Vec<(f64, Vec<f64>)> = (0..n)
                .map(|_| {
                    let w = mechanism.perturb(v, &mut rng).unwrap();
                    assert!((dot(&w, &w) - 1.0).abs() < 1e-6, "length of {w:?}");
                    let cos = dot(&w, v);
                    let sin = (1.0 - cos * cos).sqrt();
                    (cos, axes.iter().map(|axis| dot(&w, axis) / sin).collect())
                })
                .collect();
            draws.sort_by(|a, b| a.0.total_cmp(&b.0));
            // float32 leaves no direction of angles as small as the heuristic's.
            draws.retain(|(cos, _)| cos.abs() < 1.0 - 1e-5);
            let halves = draws.split_at(draws.len() / 2);
            for half in [halves.0, halves.1] {
                for axis in 0..axes.len() {
                    let sample = half.iter().map(|(_, along)| along[axis]).collect();
                    let distance = ks_distance(sample, coordinate_cdf(dims - 1));
                    let limit = ks_threshold(half.len());
                    assert!(distance < limit, "{mechanism:?}: {distance} of {limit}");
                }
            }
        }
    }
}

/// E cos θ of the published formula: coth(ε/2) ε²/(ε² + π²). Three means, 3e-9.
#[test]
fn the_heuristic_has_its_mean_cosine() {
    let mut rng = Generator::seed_from_u64(104);
    for epsilon in [0.1f64, 1.0, 30.0] {
        let angular = Angular::new(epsilon).unwrap();
        let exact = epsilon.powi(2) / (epsilon.powi(2) + PI.powi(2)) / (epsilon / 2.0).tanh();
        let found = mean((0..N).map(|_| angular.draw(0, &mut rng).0.cos()));
        // No cosine deviates by more than 1.
        assert!((found - exact).abs() < mean_tolerance(1.0, N), "{epsilon}: {found} for {exact}");
    }
}

/// E cos θ of privacy.md's table (d = 512), by integration to its four digits, and in samples:
/// 40 means, 4e-8.
#[test]
fn cosines_are_those_of_the_table() {
    let rows = [
        (0.1, [0.0002, 0.0002, 0.0001, 0.0001, 0.0018]),
        (1.0, [0.0020, 0.0020, 0.0010, 0.0006, 0.0176]),
        (10.0, [0.0195, 0.0195, 0.0098, 0.0062, 0.1434]),
        (30.0, [0.0584, 0.0586, 0.0293, 0.0187, 0.2949]),
        (100.0, [0.1884, 0.1919, 0.0967, 0.0621, 0.5478]),
        (300.0, [0.4615, 0.5059, 0.2715, 0.1835, 0.8231]),
        (1000.0, [0.7765, 0.8903, 0.6117, 0.5284, 0.9894]),
        (3000.0, [0.9184, 0.9858, 0.8440, 0.8815, 1.0000]),
    ];
    let mut rng = Generator::seed_from_u64(105);
    for (epsilon, expected) in rows {
        let [radian, chord] = Around::metric(512, epsilon).unwrap();
        let [purkayastha, vmf, cap] = Around::pure(512, epsilon).unwrap();
        for (around, expected) in [chord, radian, vmf, purkayastha, cap].iter().zip(expected) {
            let law = around.law(512);
            let (exact, what) = (law.mean_cosine, around.mechanism().claim());
            assert!((exact - expected).abs() < 5.5e-5, "{what}: {exact} for {expected}");
            let found = mean((0..N).map(|_| around.angle(&mut rng).cos()));
            let tolerance = mean_tolerance(law.deviation, N);
            assert!((found - exact).abs() < tolerance, "{what}: {found} for {exact}");
            if let Around::Cap(cap) = around {
                assert!((cap.expected_cosine() - exact).abs() < 1e-6, "{what}: {exact}");
            }
        }
    }
}

fn mean(sample: impl Iterator<Item = f64>) -> f64 {
    sample.sum::<f64>() / N as f64
}

/// Each identity as often as its probability says: chi-squared, 4 comparisons, 4e-9.
#[test]
fn codebooks_keep_their_odds() {
    let prototypes = Prototypes::random(16, 8, 5).unwrap();
    let mut rng = Generator::seed_from_u64(106);
    let counted = |rng: &mut Generator, draw: &dyn Fn(&mut Generator) -> Vec<f32>| {
        let mut counts = [0.0; 16];
        for _ in 0..N {
            counts[prototypes.nearest(&draw(rng)).unwrap()] += 1.0;
        }
        counts
    };
    let check = |counts: &[f64; 16], probability: &dyn Fn(usize) -> f64| {
        let distance: f64 = (0..16)
            .map(|k| (counts[k] - N as f64 * probability(k)).powi(2) / (N as f64 * probability(k)))
            .sum();
        let limit = ChiSquared::new(15.0).unwrap().inverse_cdf(1.0 - BETA);
        assert!(distance < limit, "{counts:?}: {distance} of {limit}");
    };
    for (nearest, epsilon) in [(0, 0.0), (3, 1.0), (15, 3.0)] {
        let book = Codebook::new(prototypes.clone(), PureEpsilon::new(epsilon).unwrap());
        let v = prototypes.get(nearest);
        let counts = counted(&mut rng, &|rng| book.perturb(v, rng).unwrap());
        let total = epsilon.exp() + 15.0;
        check(&counts, &|k| if k == nearest { epsilon.exp() / total } else { 1.0 / total });
    }
    let independent = Independent::among(prototypes.clone());
    let counts = counted(&mut rng, &|rng| independent.draw(rng).unwrap());
    check(&counts, &|_| 1.0 / 16.0);
}

/// In the subspace, the mechanism's own angles around the projected direction: 1e-9.
#[test]
fn a_subspace_holds_the_mechanism_as_it_is() {
    let (k, d, n) = (8, 40, 20_000);
    let [_, vmf, _] = Around::pure(k, 20.0).unwrap();
    let Around::Vmf(inner) = &vmf else { unreachable!("vmf is second") };
    let basis: Vec<Vec<f32>> =
        (0..k).map(|row| (0..d).map(|x| if x == 3 * row { 1.0 } else { 0.0 }).collect()).collect();
    let subspace = Subspace::new(inner.clone(), &basis, &vec![0.0; d]).unwrap();
    let random = Prototypes::random(2, d, 8).unwrap();
    let (v, kept) = (random.get(0), subspace.kept(random.get(0)).unwrap());
    let mut rng = Generator::seed_from_u64(107);
    let sample = (0..n)
        .map(|_| (dot(&subspace.perturb(v, &mut rng).unwrap(), v) / kept).clamp(-1.0, 1.0).acos())
        .collect();
    let law = vmf.law(k);
    let distance = ks_distance(sample, |theta| law.cdf(theta));
    assert!(distance < ks_threshold(n), "{distance}");
}
