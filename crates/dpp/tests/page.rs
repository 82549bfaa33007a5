//! `docs/privacy.md` says what the code says: its sentences and its tables.
#![allow(clippy::unwrap_used)]

mod support;

use dpp::{Angular, Cap, Codebook, IMAGE_CLAIM, Kind, Origin, Prototypes, PureEpsilon};
use support::{Around, dot, mean_tolerance};

const PAGE: &str = include_str!("../../../docs/privacy.md");

/// The table whose first line begins with `head`: its rows' cells.
fn table(head: &str) -> Vec<Vec<&'static str>> {
    let lines = PAGE.lines().skip_while(|line| !line.starts_with(head));
    let rows: Vec<Vec<_>> = lines
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(!rows.is_empty(), "no table {head}");
    rows
}

fn number(cell: &str) -> f64 {
    cell.parse().unwrap()
}

fn pure(epsilon: f64) -> PureEpsilon {
    PureEpsilon::new(epsilon).unwrap()
}

fn codebook(count: usize, epsilon: f64) -> Codebook {
    Codebook::new(Prototypes::random(count, 3, 1).unwrap(), pure(epsilon))
}

#[test]
fn its_sentences_are_the_codes() {
    for sentence in [Angular::CLAIM, IMAGE_CLAIM, Origin::SEED_CLAIM] {
        assert!(PAGE.contains(&format!("\n> {sentence}\n")), "{sentence}");
    }
    let flat = PAGE.split_whitespace().collect::<Vec<_>>().join(" ");
    let prototypes = Prototypes::random(4, 8, 1).unwrap();
    for kind in Kind::ALL {
        let claim = kind.build(5.0, 8, Some(&prototypes)).unwrap().claim();
        let said = match kind {
            Kind::Codebook | Kind::Independent => flat.contains(&format!("\"{claim}\"")),
            Kind::Angular => claim == format!("ε = 5: {}", Angular::CLAIM),
            _ => claim.ends_with("at ε = 5, proven in real arithmetic"),
        };
        assert!(said && flat.contains(&format!("| `{kind}`")), "{claim}");
    }
}

#[test]
fn what_an_epsilon_means_is_computed() {
    for row in table("| ε | odds × |") {
        let epsilon = number(row[0]);
        let (odds, book) = (epsilon.exp(), codebook(1024, epsilon));
        let other = book.ln_probability(0, 1).exp();
        let told_apart = 0.5 + (book.keep_probability() - other) / 2.0;
        let expected = [
            format!("{odds:.2}"),
            format!("{:.5}", odds / (odds + 1.0)),
            format!("{:.4}", codebook(16, epsilon).keep_probability()),
            format!("{:.4}", book.keep_probability()),
            format!("{told_apart:.4}"),
        ];
        assert_eq!(row[1..], expected);
    }
}

/// As `faceshield bench perturb --table` printed it, with a million samples: 64 means, 6.4e-8;
/// and half a unit of the last digit.
#[test]
fn measured_cosines_are_the_integrals() {
    let samples = 1_000_000;
    for row in table("| ε | angular | vmf κ = ε |") {
        let epsilon = number(row[0]);
        let mut expected = Vec::new();
        // cos² θ = (1 + cos 2θ)/2, and E cos 2θ = ε²/(ε² + 4π²).
        let e2 = epsilon * epsilon;
        let pi2 = std::f64::consts::PI.powi(2);
        let mean = e2 / (e2 + pi2) / (epsilon / 2.0).tanh();
        let square = (1.0 + e2 / (e2 + 4.0 * pi2)) / 2.0;
        expected.push((mean, (square - mean * mean).max(0.0).sqrt()));
        let [radian, chord] = Around::metric(512, epsilon).unwrap();
        let [purkayastha, vmf, cap] = Around::pure(512, epsilon).unwrap();
        for around in [chord, radian, vmf, purkayastha, cap] {
            let law = around.law(512);
            expected.push((law.mean_cosine, law.deviation));
        }
        let keep = codebook(1024, epsilon).keep_probability();
        expected.push((keep, (keep * (1.0 - keep)).sqrt()));
        assert_eq!(row.len(), 1 + expected.len());
        for (cell, (mean, deviation)) in row[1..].iter().zip(expected) {
            let tolerance = mean_tolerance(deviation, samples) + 5e-5;
            assert!((number(cell) - mean).abs() < tolerance, "ε = {epsilon}: {cell} for {mean}");
        }
    }
}

#[test]
fn subspaces_averages_and_prototypes_are_computed() {
    for row in table("| k | ε = 10 |") {
        let k: usize = row[0].parse().unwrap();
        for (cell, epsilon) in row[1..].iter().zip([10.0, 30.0]) {
            let cosine = Cap::new(k, pure(epsilon)).unwrap().expected_cosine();
            assert_eq!(*cell, format!("{cosine:.2}"));
        }
    }
    let rho = Cap::new(512, pure(10.0)).unwrap().expected_cosine();
    for (k, cell) in [1.0f64, 10.0, 100.0, 1000.0].into_iter().zip(&table("| k | 1 |")[0][1..]) {
        let cosine = rho / (rho * rho + (1.0 - rho * rho) / k).sqrt();
        assert_eq!(*cell, format!("{cosine:.3}"));
    }
    // The nearest of 1024 random directions; within .002 of what the page says. Seeds are fixed.
    let prototypes = Prototypes::random(1024, 512, 1).unwrap();
    let people = Prototypes::random(2000, 512, 99).unwrap();
    let nearest = (0..2000)
        .map(|person| {
            let v = people.get(person);
            dot(v, prototypes.get(prototypes.nearest(v).unwrap()))
        })
        .sum::<f64>()
        / 2000.0;
    assert!((nearest - 0.142).abs() < 0.002, "{nearest}");
    assert!((nearest * codebook(1024, 10.0).keep_probability() - 0.136).abs() < 0.002);
    assert!(PAGE.contains("mean cosine of 0.142") && PAGE.contains("keeps 0.136 of it"));
}
