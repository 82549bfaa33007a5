//! `faceshield bench perturb`: draws per second of one core.

use std::hint::black_box;

use dpp::{
    Angular, Cap, Codebook, Generator, Independent, Kind, Mechanism, Prototypes, PureEpsilon,
    Purkayastha, Randomness, Vmf,
};
use serde::Serialize;

use super::{cosines, process};
use crate::failure::misuse;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Perturb {
    /// Dimensions of an identity
    #[arg(long, value_name = "D", default_value_t = 512)]
    dims: usize,

    /// Pure ε; for angular its noise scale
    #[arg(long, value_name = "E", default_value_t = 10.0, allow_negative_numbers = true)]
    epsilon: f64,

    /// Identities in the codebook
    #[arg(long, value_name = "M", default_value_t = 1024)]
    prototypes: usize,

    /// Seconds of processor time to measure each figure for
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = seconds, conflicts_with = "table")]
    seconds: f64,

    /// Print mean cosines at several ε instead of speeds
    #[arg(long, conflicts_with = "epsilon")]
    table: bool,

    /// Samples behind each mean of the table
    #[arg(long, value_name = "N", default_value_t = 1_000_000, requires = "table", value_parser = clap::value_parser!(u64).range(2..))]
    samples: u64,

    /// Seed of the table's samples
    #[arg(long, value_name = "K", default_value_t = 1, requires = "table")]
    seed: u64,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What `bench perturb` prints.
#[derive(Serialize)]
struct Report {
    dims: usize,
    epsilon: f64,
    prototypes: usize,
    mechanisms: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    mechanism: &'static str,
    /// Of the angle or index.
    samples_per_second: f64,
    vectors_per_second: f64,
    claim: String,
}

/// Rounds per figure; their median counts.
const ROUNDS: usize = 5;

/// Public directions like any other.
const PROTOTYPE_SEED: u64 = 1;

pub(crate) fn run(args: &Perturb) -> anyhow::Result<()> {
    report(args).map_err(|error| match error.downcast_ref::<dpp::Error>() {
        Some(dpp::Error::NoRandomness(_)) | None => error,
        // All others are about numbers that were given.
        Some(wrong) => misuse(wrong.to_string()),
    })
}

fn report(args: &Perturb) -> anyhow::Result<()> {
    let prototypes = Prototypes::random(args.prototypes, args.dims, PROTOTYPE_SEED)?;
    if args.table {
        return cosines::run(&prototypes, args.samples, args.seed, args.json);
    }
    let mechanisms = Kind::ALL.into_iter().map(|kind| measure(kind, args, &prototypes));
    let report = Report {
        dims: args.dims,
        epsilon: args.epsilon,
        prototypes: args.prototypes,
        mechanisms: mechanisms.collect::<anyhow::Result<_>>()?,
    };
    if args.json {
        return output::json(&report);
    }
    output::line("| mechanism | samples/s | vectors/s | claim |")?;
    output::line("| --- | --- | --- | --- |")?;
    for Row { mechanism, samples_per_second, vectors_per_second, claim } in &report.mechanisms {
        output::line(format_args!(
            "| {mechanism} | {samples_per_second:.0} | {vectors_per_second:.0} | {claim} |"
        ))?;
    }
    Ok(())
}

fn measure(kind: Kind, args: &Perturb, prototypes: &Prototypes) -> anyhow::Result<Row> {
    let (dims, epsilon) = (args.dims, args.epsilon);
    let pure = || PureEpsilon::new(epsilon);
    // What is measured should be what protects.
    let mut rng = Randomness::system().generator()?;
    let rng = &mut rng;
    let round = args.seconds / ROUNDS as f64;
    let samples_per_second = match kind {
        Kind::Codebook => {
            let codebook = Codebook::new(prototypes.clone(), pure()?);
            rate(round, rng, |rng| codebook.draw(0, rng))
        }
        Kind::Cap => {
            let cap = Cap::new(dims, pure()?)?;
            rate(round, rng, |rng| cap.angle(rng))
        }
        Kind::Purkayastha => {
            let purkayastha = Purkayastha::pure(dims, pure()?)?;
            rate(round, rng, |rng| purkayastha.angle(rng))
        }
        Kind::Vmf => {
            let vmf = Vmf::pure(dims, pure()?)?;
            rate(round, rng, |rng| vmf.angle(rng))
        }
        Kind::Independent => {
            let independent = Independent::uniform(dims)?;
            rate(round, rng, |rng| independent.draw(rng))
        }
        Kind::Angular => {
            let angular = Angular::new(epsilon)?;
            rate(round, rng, |rng| angular.draw(0, rng).0)
        }
    };
    let public = (kind == Kind::Codebook).then_some(prototypes);
    let mechanism = kind.build(epsilon, dims, public)?;
    // Any direction does.
    let v = prototypes.get(0);
    let vectors_per_second = rate(round, rng, |rng| mechanism.perturb(v, rng));
    Ok(Row {
        mechanism: kind.name(),
        samples_per_second,
        vectors_per_second,
        claim: mechanism.claim(),
    })
}

/// Draws per second of processor time, which other processes do not change: the median of
/// rounds.
fn rate<T>(round: f64, rng: &mut Generator, mut draw: impl FnMut(&mut Generator) -> T) -> f64 {
    // Enough that reading the clock costs nothing.
    const BATCH: u32 = 256;
    let mut rates = [0.0; ROUNDS];
    for rate in &mut rates {
        let (started, mut used, mut draws) = (process::cpu_seconds(), 0.0, 0.0);
        while used < round {
            for _ in 0..BATCH {
                black_box(draw(rng));
            }
            draws += f64::from(BATCH);
            used = process::cpu_seconds() - started;
        }
        *rate = draws / used;
    }
    rates.sort_by(f64::total_cmp);
    rates[ROUNDS / 2]
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.001..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("use a number from 0.001 to 3600".to_owned()),
    }
}
