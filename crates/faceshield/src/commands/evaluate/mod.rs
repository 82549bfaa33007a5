//! `faceshield evaluate`: what attackers still know, what is left of the photos, and how well the
//! model separates the two.

mod args;
mod attacker;
mod attributes;
mod control;
mod finding;
mod measure;
mod page;
mod privacy;
mod protection;
mod reader;
mod report;
mod sample;
mod separation;
mod setup;
mod tell;
mod utility;
mod work;

use files::Escape;
use std::collections::BTreeSet;

use anyhow::Context;
use metrics::Bootstrap;

use crate::commands::align::device;
use crate::commands::protect::model::Model;
use crate::failure::misuse;
use crate::output;
use crate::training::recogniser::{Exported, exported};
pub(crate) use args::Args;
use args::Part;
use attacker::Attacker;
use measure::Intervals;
pub(crate) use measure::{Measured, number};
use reader::Reader;
pub(crate) use report::FORMAT;
use report::{Data, Judge, ModelCard, Report};
pub(crate) use tell::r_squared;
use work::{Scope, Work};

/// What the model's own recogniser is called among the attackers.
const ENCODER: &str = "encoder";
const REPORT: &str = "report.json";
const PAGE: &str = "report.html";
/// Side of crops where nothing says another.
const SIDE: u32 = 128;
/// People that it takes: of fewer, a draw is too often one person alone.
const FEWEST: usize = 4;
/// Photos that are shown in the report.
const SHOWN: usize = 8;

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    args.check()?;
    let device = device(&args.device)?;
    let mut sample = setup::sample(args)?;
    let model = match &args.checkpoint {
        Some(checkpoint) => Some(Model::load(checkpoint, device)?),
        None => None,
    };
    let found = args
        .attackers
        .iter()
        .map(|named| {
            exported(&named.file, device).with_context(|| format!("--attacker {}", named.name))
        })
        .collect::<anyhow::Result<Vec<Exported>>>()?;
    let recognisers = setup::recognisers(args, model.as_ref(), &found, device);
    let sides = found.iter().map(|one| one.config.image_size as u32);
    let side = model.as_ref().map(|model| model.side).or(sides.max()).unwrap_or(SIDE);
    if args.find_faces {
        setup::find_faces(args.detector_weights.as_deref(), &mut sample, side, device)?;
    }
    if sample.people < FEWEST {
        return Err(misuse(format!(
            "{}: photos of {} people; an evaluation draws people again and again, so it needs \
             four or more",
            sample.root.escaped(),
            sample.people
        )));
    }
    files::Folder::create(&args.out)
        .with_context(|| format!("cannot create {}", args.out.escaped()))?;

    let bootstrap =
        Bootstrap { resamples: args.resamples as usize, seed: args.seed, ..Bootstrap::default() };
    let intervals = Intervals(bootstrap);
    let data = Data::of(&sample, args.protected.as_deref(), args.train_data.as_deref());
    let mut report = Report::new(data, args.seed, &intervals);
    if recognisers.is_empty() {
        report.notes.push(
            "nobody attacked, so nothing is known of privacy: give --attacker NAME=FILE".to_owned(),
        );
    }
    let training = setup::training(args, &sample, &mut report)?;
    let protections = setup::protections(args, model.as_ref())?;
    let reader = match training.photos.is_empty() || !args.measures(Part::Attributes) {
        true => None,
        false => {
            let steps = args.reader_steps as usize;
            let (photos, cache) = (&training.photos, crate::places::cache_dir());
            Some(Reader::load_or_fit(photos, side, steps, args.seed, device, &cache)?)
        }
    };
    let attackers: Vec<Box<dyn Attacker + '_>> =
        recognisers.into_iter().map(|one| Box::new(one) as Box<dyn Attacker + '_>).collect();
    let work = Work {
        side,
        batch: args.batch as usize,
        seed: args.seed,
        attackers: &attackers,
        protections,
        reader,
        read_from: training.first,
        finder: setup::finder(args, side, device, &mut report)?,
        swept: if args.sweep.is_some() { sample.some(args.sweep_photos as usize) } else { vec![] },
        searched: BTreeSet::from_iter(sample.some(args.detections as usize)),
        shown: BTreeSet::from_iter(sample.some(SHOWN)),
        sample: &sample,
    };
    let outcomes = work.run()?;
    let originals = outcomes.first().context("nothing was measured")?;
    let names = attackers.iter().map(|attacker| attacker.name().to_owned()).collect();
    let judge = Judge::new(names, originals, &intervals)?;
    report.attackers = judge.attackers();
    report.controls = judge.controls(originals)?;
    for outcome in &outcomes {
        match outcome.scope {
            Scope::Full => report.protections.push(judge.protection(outcome)?),
            Scope::Sweep => report.sweep.push(judge.point(outcome)?),
        }
    }
    tracing::info!("attacks judged");
    if let Some(model) = model.as_ref().filter(|_| args.measures(Part::Separation)) {
        let batch = args.batch as usize;
        let (sample, training) = (&sample, &training);
        report.separation =
            separation::measure(model, sample, training, batch, args.seed, &intervals)?;
        tracing::info!("separation judged");
    }
    if let Some(model) = &model {
        report.claims.push(dpp::IMAGE_CLAIM.to_owned());
        report.model = Some(ModelCard {
            checkpoint: model.found.clone(),
            sha256: model.stamp.clone(),
            fidelity: model.config.fidelity.to_string(),
            image_size: model.side,
            width_divisor: model.config.width_divisor,
        });
    }
    Report::write(&args.out, REPORT, &serde_json::to_string_pretty(&report)?)?;
    page::write(&report, &outcomes, &args.out.join(PAGE))?;
    match args.json {
        true => output::json(&report),
        false => tell::tell(&args.out, &report),
    }
}
