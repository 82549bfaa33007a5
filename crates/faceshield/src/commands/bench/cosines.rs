//! `faceshield bench perturb --table`: what is left of an identity, measured.

use dpp::{
    Angular, Cap, Codebook, Generator, PerChord, PerRadian, Prototypes, PureEpsilon, Purkayastha,
    Randomness, Vmf,
};
use serde::Serialize;

use crate::output;

const EPSILONS: [f64; 8] = [0.1, 1.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0];

/// What `bench perturb --table` prints.
#[derive(Serialize)]
struct Report {
    dims: usize,
    prototypes: usize,
    samples: u64,
    seed: u64,
    /// What must be said wherever this mechanism's ε is printed.
    angular: &'static str,
    rows: Vec<Row>,
}

/// Means of cos θ at one ε, under what it means to each mechanism.
#[derive(Serialize)]
struct Row {
    epsilon: f64,
    /// As noise scale.
    angular: Mean,
    /// As rate κ per unit of chord.
    vmf_per_chord: Mean,
    /// As rate r per radian.
    purkayastha_per_radian: Mean,
    /// As pure ε, and so below.
    vmf: Mean,
    purkayastha: Mean,
    cap: Mean,
    /// Share of draws that keep the nearest prototype.
    codebook_kept: Mean,
}

#[derive(Clone, Copy, Serialize)]
struct Mean {
    mean: f64,
    standard_error: f64,
}

pub(super) fn run(
    prototypes: &Prototypes,
    samples: u64,
    seed: u64,
    json: bool,
) -> anyhow::Result<()> {
    let mut randomness = Randomness::seeded(seed);
    let rows = EPSILONS.into_iter().map(|epsilon| {
        row(epsilon, prototypes, |draw| Ok(mean(samples, &mut randomness.generator()?, draw)))
    });
    let report = Report {
        dims: prototypes.dims(),
        prototypes: prototypes.count(),
        samples,
        seed,
        angular: Angular::CLAIM,
        rows: rows.collect::<anyhow::Result<_>>()?,
    };
    if json { output::json(&report) } else { print(&report) }
}

fn print(report: &Report) -> anyhow::Result<()> {
    output::line(format_args!(
        "| ε | angular | vmf κ = ε | purkayastha r = ε | vmf pure ε | purkayastha pure ε | \
         cap pure ε | codebook of {}: kept |",
        report.prototypes
    ))?;
    output::line("| --- | --- | --- | --- | --- | --- | --- | --- |")?;
    for row in &report.rows {
        let means = [
            row.angular,
            row.vmf_per_chord,
            row.purkayastha_per_radian,
            row.vmf,
            row.purkayastha,
            row.cap,
            row.codebook_kept,
        ];
        let cells: String =
            means.iter().map(|mean| format!(" {:.4} |", digits(mean.mean))).collect();
        output::line(format_args!("| {} |{cells}", row.epsilon))?;
    }
    output::line("")?;
    output::line(format_args!(
        "Mean cosine between identity and draw, d = {}; {} samples each, seed {}.",
        report.dims, report.samples, report.seed
    ))?;
    Ok(output::line(format_args!("angular: {}", report.angular))?)
}

/// Four of them, and no "-0.0000".
fn digits(mean: f64) -> f64 {
    (mean * 1e4).round() / 1e4 + 0.0
}

/// A mechanism's cos θ, drawn.
type Draw<'a> = &'a dyn Fn(&mut Generator) -> f64;

fn row(
    epsilon: f64,
    prototypes: &Prototypes,
    mut measured: impl FnMut(Draw) -> anyhow::Result<Mean>,
) -> anyhow::Result<Row> {
    let dims = prototypes.dims();
    let pure = PureEpsilon::new(epsilon)?;
    let angular = Angular::new(epsilon)?;
    let chord = Vmf::metric(dims, PerChord::new(epsilon)?)?;
    let radian = Purkayastha::metric(dims, PerRadian::new(epsilon)?)?;
    let vmf = Vmf::pure(dims, pure)?;
    let purkayastha = Purkayastha::pure(dims, pure)?;
    let cap = Cap::new(dims, pure)?;
    let codebook = Codebook::new(prototypes.clone(), pure);
    Ok(Row {
        epsilon,
        angular: measured(&|rng| angular.draw(0, rng).0.cos())?,
        vmf_per_chord: measured(&|rng| chord.angle(rng).cos)?,
        purkayastha_per_radian: measured(&|rng| radian.angle(rng).cos)?,
        vmf: measured(&|rng| vmf.angle(rng).cos)?,
        purkayastha: measured(&|rng| purkayastha.angle(rng).cos)?,
        cap: measured(&|rng| cap.angle(rng).cos)?,
        codebook_kept: measured(&|rng| f64::from(u8::from(codebook.draw(0, rng) == 0)))?,
    })
}

fn mean(samples: u64, rng: &mut Generator, draw: Draw) -> Mean {
    // Around the first, so that the squares of nearly equal numbers keep their digits.
    let first = draw(rng);
    let (mut sum, mut squares) = (0.0, 0.0);
    for _ in 1..samples {
        let beyond = draw(rng) - first;
        sum += beyond;
        squares += beyond * beyond;
    }
    let n = samples as f64;
    let variance = (squares / n - (sum / n).powi(2)).max(0.0);
    Mean { mean: first + sum / n, standard_error: (variance / n).sqrt() }
}
