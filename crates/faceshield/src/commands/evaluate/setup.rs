//! From what a user says to who takes part.

use files::Escape;
use std::path::Path;

use align::obscure::{Obscure, dp};
use anyhow::Context;
use tch::Device;

use super::args::{Args, Part};
use super::attacker::Recogniser;
use super::finding::Finder;
use super::protection::{Cover, Given, Original, Protection, Repaint};
use super::report::Report;
use super::sample::{Cut, LeftOut, Photo, Sample, Wanted};
use super::work::Scope;
use crate::commands::data::bar;
use crate::commands::protect::model::Model;
use crate::commands::protect::repaint::public_identities;
use crate::failure::misuse;
use crate::training::recogniser::Exported;

/// Of the baselines: squares across a face; ε of dp-pix, and pixels that it is for.
const SQUARES: u32 = 8;
const PIXELS_EPSILON: f64 = 1.0;
const PIXELS: u32 = 16;
/// A face in an aligned crop is larger than this share of its side.
const SMALLEST_FACE: f64 = 0.3;
/// Smallest face that is looked for in photos, in pixels.
const SMALLEST: f64 = 20.0;
/// People that it takes to fit a reader on.
const FEWEST: usize = 4;

/// The photos to measure.
pub(super) fn sample(args: &Args) -> anyhow::Result<Sample> {
    let wanted = args.wanted();
    match (&args.data, &args.originals, &args.protected) {
        (Some(root), ..) => Sample::of_people(args.links.root(root), &wanted),
        (_, Some(originals), Some(protected)) => {
            Sample::of_pairs(originals, protected, args.links.links(), &wanted)
        }
        _ => Err(misuse("give --data, or --originals and --protected")),
    }
}

/// Everybody with an IR-SE recogniser, the model's own first.
pub(super) fn recognisers<'a>(
    args: &'a Args,
    model: Option<&'a Model>,
    found: &'a [Exported],
    device: Device,
) -> Vec<Recogniser<'a>> {
    let own = model.map(|model| Recogniser::of_model(super::ENCODER, model, device));
    let others = args.attackers.iter().zip(found);
    let others = others.map(|(named, one)| Recogniser::exported(&named.name, one, device));
    own.into_iter().chain(others).collect()
}

/// Everything that protects, nothing first.
pub(super) fn protections<'a>(
    args: &Args,
    model: Option<&'a Model>,
) -> anyhow::Result<Vec<(Scope, Box<dyn Protection + 'a>)>> {
    let mut all: Vec<(Scope, Box<dyn Protection + 'a>)> =
        vec![(Scope::Full, Box::new(Original::new()))];
    let mut add = |scope, protection: Box<dyn Protection + 'a>| all.push((scope, protection));
    if args.protected.is_some() {
        add(Scope::Full, Box::new(Given::new()));
    } else if let Some(model) = model {
        let (identities, _) = public_identities(&args.prototypes, model)?;
        let drawn = |kind: dpp::Kind, epsilon: f64| -> anyhow::Result<Box<dyn Protection + 'a>> {
            let built = kind.build(epsilon, model.dims, Some(&identities));
            let mechanism = built.map_err(|error| misuse(error.to_string()))?;
            Ok(Box::new(Repaint::drawn(model, mechanism, epsilon)))
        };
        add(Scope::Full, Box::new(Repaint::own(model)));
        for one in &args.mechanisms {
            add(Scope::Full, drawn(one.kind, one.epsilon(args.epsilon)?)?);
        }
        for (kind, epsilon) in args.swept()? {
            add(Scope::Sweep, drawn(kind, epsilon)?);
        }
    }
    if args.baselines && args.protected.is_none() {
        let cell = |width: u32| (width / SQUARES).max(1);
        let blur = move |width| Obscure::Blur { sigma: cell(width) as f32 };
        let mosaic = move |width| Obscure::Mosaic { cell: cell(width) };
        let (epsilon, m) = (PIXELS_EPSILON, PIXELS);
        let pixels = move |width| Obscure::DpPix(dp::Private { cell: cell(width), m, epsilon });
        add(Scope::Full, Box::new(Cover::new(blur, None)));
        add(Scope::Full, Box::new(Cover::new(mosaic, None)));
        add(Scope::Full, Box::new(Cover::new(pixels, Some(epsilon))));
    }
    Ok(all)
}

/// Photos to fit readers and probes on.
pub(super) struct Training {
    /// None where nothing is known of the photos.
    pub(super) photos: Vec<Photo>,
    /// People from this number on are judged: the others were fitted on.
    pub(super) first: usize,
}

/// Labelled photos of other people than those that are judged.
pub(super) fn training(
    args: &Args,
    sample: &Sample,
    report: &mut Report,
) -> anyhow::Result<Training> {
    let none = Training { photos: Vec::new(), first: 0 };
    if args.data.is_none() || !(args.measures(Part::Attributes) || args.measures(Part::Separation))
    {
        return Ok(none);
    }
    if !sample.labelled {
        report.notes.push(format!(
            "no attributes: {} has no labels.jsonl that names every photo (`faceshield data synth` \
             writes one)",
            sample.root.escaped()
        ));
        return Ok(none);
    }
    let training = match &args.train_data {
        Some(root) => {
            let limit = Some(args.train_photos as usize);
            let wanted = Wanted { people: None, per_person: None, limit, seed: args.seed };
            let others = Sample::of_people(args.links.root(root), &wanted)?;
            if !others.labelled {
                return Err(misuse(format!(
                    "--train-data {}: no labels.jsonl that names every photo; `faceshield data \
                     synth` writes one",
                    root.escaped()
                )));
            }
            Training { photos: others.photos, first: 0 }
        }
        None => {
            let first = sample.people / 2;
            let mine = |photo: &&Photo| photo.person < first;
            report.notes.push(format!(
                "attributes: readers and probes were fitted on {first} of the people and judged on \
                 the others (--train-data PEOPLE takes other people)"
            ));
            Training { photos: sample.photos.iter().filter(mine).cloned().collect(), first }
        }
    };
    let people = training.photos.last().map_or(0, |photo| photo.person + 1);
    if people < FEWEST {
        report.notes.push(format!(
            "no attributes: {people} people to fit a reader on; it takes {FEWEST} or more"
        ));
        return Ok(none);
    }
    Ok(training)
}

/// The detector for aligned crops of `side` pixels.
pub(super) fn finder(
    args: &Args,
    side: u32,
    device: Device,
    report: &mut Report,
) -> anyhow::Result<Option<Finder>> {
    if !args.measures(Part::Detection) {
        return Ok(None);
    }
    let smallest = (SMALLEST_FACE * f64::from(side)).max(SMALLEST);
    match Finder::load(args.detector_weights.as_deref(), smallest, device)? {
        Ok(finder) => Ok(Some(finder)),
        Err(why) => {
            report.notes.push(format!("no detection rate and no landmarks: {why}"));
            Ok(None)
        }
    }
}

/// Finds the largest face of each photo; photos without one are left out.
pub(super) fn find_faces(
    weights: Option<&Path>,
    sample: &mut Sample,
    side: u32,
    device: Device,
) -> anyhow::Result<()> {
    let finder = Finder::load(weights, SMALLEST, device)?.map_err(misuse)?;
    let bar = bar("finding faces");
    bar.set_length(sample.photos.len() as u64);
    let mut with_faces = Vec::new();
    for mut photo in std::mem::take(&mut sample.photos) {
        let picture = faces::read_photo(&photo.path)?;
        let face = finder.largest(&picture).with_context(|| photo.path.escaped().to_string())?;
        match face.and_then(|face| face.transform(side)) {
            Some(transform) => {
                photo.cut = Some(Cut { transform, size: picture.dimensions() });
                with_faces.push(photo);
            }
            None => {
                let why = "no face was found in the original".to_owned();
                sample.left_out.push(LeftOut { photo: photo.name, why });
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    sample.renumber(with_faces);
    Ok(())
}
