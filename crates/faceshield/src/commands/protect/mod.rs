//! `faceshield protect`: photos in, photos out in which nobody can be recognised.

mod inputs;
mod photo;
mod repaint;
mod report;
mod sheet;

use std::path::{Path, PathBuf};
use std::time::Instant;

use align::Detector;
use align::obscure::{Obscure, dp};
use anyhow::Context;
use dpp::{Ledger, Randomness};
use faces::save::{Inputs, Keep, SaveOptions, Source};
use sha2::{Digest, Sha256};

use crate::commands::align::DetectorArgs;
use crate::commands::data::bar;
use crate::failure::{misuse, one_line};
use crate::output;
use inputs::{Format, Job};
use photo::Method;
use repaint::{Choice, Repainter};
use report::{PhotoReport, Record, Report, Status};
use sheet::Sheet;

/// How faces are made unrecognisable
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// Painted anew by the trained model, with another identity
    Faceshield,
    /// Gaussian blur: recognisers read through it
    Blur,
    /// Squares of one colour: recognisers read through them
    Mosaic,
    /// One grey area
    Solid,
    /// Squares with noise: differentially private pixels (Fan 2018)
    DpPix,
    /// The same, blurred (Fan 2019)
    DpBlur,
}

/// Protect the faces in photos
///
/// Every face that is found is replaced, in files, folders (mirrored below --out) and quoted
/// patterns. Results carry no metadata of their originals. A photo in which no face is found
/// is not written: it may hold one that was missed. Photos that are done already are skipped,
/// so that a run that was interrupted goes on.
///
/// DIR also gets report.json (what was done to each face, and what that guarantees),
/// contact_sheet.png (the new faces, to look over) and ledger.jsonl (what was released).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    faceshield protect holiday/ --out protected --checkpoint checkpoints_IRC --epsilon 5\n  \
    faceshield protect photo.jpg --out protected --mechanism independent\n  \
    faceshield protect 'scans/*.png' --out covered --method solid\n\n\
    Exit codes: 0 every photo was protected, 1 some were not, 2 misused.")]
pub(crate) struct Args {
    /// Photos, folders of photos, or quoted patterns
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,

    /// Folder of the results
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// How faces are made unrecognisable
    #[arg(long, value_enum, default_value_t = Name::Faceshield)]
    method: Name,

    /// The trained model: a stage II checkpoint, or a folder that holds some
    #[arg(long, value_name = "DIR", default_value = ".")]
    checkpoint: PathBuf,

    /// How the new identity is drawn: codebook, cap, purkayastha, vmf, independent, or angular
    /// (published; a heuristic)
    #[arg(long, value_name = "NAME", default_value = "codebook")]
    mechanism: dpp::Kind,

    /// Privacy budget of each face: the smaller, the less of its identity is kept
    #[arg(long, value_name = "E")]
    epsilon: Option<f64>,

    /// Public identities that codebook and independent draw from
    #[arg(long, value_name = "N", default_value_t = 1024)]
    prototypes: usize,

    /// Draw from this seed instead of the operating system: repeatable, and no privacy
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// Protect the largest face of each photo only
    #[arg(long)]
    largest: bool,

    #[command(flatten)]
    detector: DetectorArgs,

    /// Write photos without a face as they are, and say so
    #[arg(long)]
    allow_unprotected: bool,

    /// Keep colour profile and resolution, which cannot identify anybody
    #[arg(long)]
    keep_metadata: bool,

    /// Format of the results
    #[arg(long, value_enum, default_value_t = Format::Same)]
    format: Format,

    /// Side of the squares of mosaic and dp-pix, spread of blur, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 16)]
    strength: u32,

    /// dp-pix, dp-blur: pixels in which two photos may differ and yet look alike
    #[arg(long, value_name = "M", default_value_t = 16)]
    pixels: u32,

    /// Faces that the model paints at a time
    #[arg(long, value_name = "N", default_value_t = 2)]
    batch: usize,

    /// Refuse photos of more pixels than this
    #[arg(long, value_name = "N", default_value_t = 100_000_000)]
    max_pixels: u64,

    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let jobs = inputs::jobs(&args.inputs, &args.out, args.format)?;
    let mut method = method(args, args.detector.device()?)?;
    let detector = args.detector.load()?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot create {}", args.out.display()))?;
    let mut work = Work {
        args,
        detector,
        inputs: Inputs::of(jobs.iter().map(|job| &job.input))?,
        record: Record::open(&args.out)?,
        ledger: Ledger::open(&args.out.join("ledger.jsonl"))?,
        sheet: Sheet::default(),
        settings: settings(args, &method),
    };
    let bar = bar("protecting");
    bar.set_length(jobs.len() as u64);
    let mut results = Vec::with_capacity(jobs.len());
    for job in &jobs {
        let report = work.one(job, &mut method)?;
        if let (Status::Failed, Some(why)) = (report.status, &report.why) {
            bar.suspend(|| tracing::error!("{}: {why}", job.input.display()));
        }
        results.push(report);
        bar.inc(1);
    }
    bar.finish_and_clear();
    work.sheet.write(&args.out)?;
    let (name, claims) = claims(args, &method);
    let report = Report::new(args.method.text(), name, claims, &results);
    report.write(&args.out)?;
    tell(args, &report)?;
    match report.failed {
        0 => Ok(()),
        failed => Err(anyhow::anyhow!(
            "{failed} of {} photos were not protected and not written: see {}",
            report.photos,
            args.out.join("report.json").display()
        )),
    }
}

/// What a run holds while it goes from photo to photo.
struct Work<'a> {
    args: &'a Args,
    detector: Detector,
    inputs: Inputs,
    record: Record,
    ledger: Ledger,
    sheet: Sheet,
    /// Everything that decides what becomes of a photo.
    settings: String,
}

impl Work<'_> {
    /// Protects one photo, unless that has been done.
    ///
    /// # Errors
    ///
    /// The record or the ledger cannot be written; what is wrong with the photo is in its report.
    fn one(&mut self, job: &Job, method: &mut Method) -> anyhow::Result<PhotoReport> {
        let started = Instant::now();
        let stamp = self.stamp(&job.input);
        if let Some(done) = self.record.find(&job.input, &stamp) {
            return Ok(done.clone());
        }
        let mut report = PhotoReport {
            input: job.input.clone(),
            output: None,
            status: Status::Failed,
            why: None,
            faces: Vec::new(),
            seconds: 0.0,
            stamp,
        };
        if let Err(error) = self.protect(job, method, &mut report) {
            // A face of a photo that is not written is protected by that alone.
            (report.status, report.output) = (Status::Failed, None);
            report.why = Some(one_line(error.chain()));
        }
        report.seconds = started.elapsed().as_secs_f64();
        self.record.add(&report)?;
        Ok(report)
    }

    fn protect(
        &mut self,
        job: &Job,
        method: &mut Method,
        report: &mut PhotoReport,
    ) -> anyhow::Result<()> {
        let photo = faces::read_photo(&job.input)?;
        let pixels = u64::from(photo.width()) * u64::from(photo.height());
        if pixels > self.args.max_pixels {
            anyhow::bail!("it has {pixels} pixels, above --max-pixels {}", self.args.max_pixels);
        }
        let done = photo::protect(photo, &self.detector, method, self.args.largest)?;
        let protected = done.faces.iter().any(|face| face.protected);
        report.faces = done.faces;
        if !protected && !self.args.allow_unprotected {
            anyhow::bail!(
                "{}: nothing was written, as one may have been missed \
                 (--allow-unprotected writes such photos as they are)",
                match report.faces.len() {
                    0 => "no face was found".to_owned(),
                    n => format!("none of its {n} faces was to be protected"),
                }
            );
        }
        // In the ledger first: what is given away must not be missing there.
        let name = job.input.display().to_string();
        for (k, release) in done.releases.iter().enumerate() {
            self.ledger.record(&name, &format!("{name} face {}", k + 1), release)?;
        }
        if let Some(folder) = job.output.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let keep = self.args.keep_metadata;
        let options = SaveOptions {
            keep: Keep { profile: keep, resolution: keep },
            quality: None,
            replace: self.record.wrote(&job.output),
        };
        let source = Source::read(&job.input)?;
        faces::save::save(&done.photo, &job.output, &source, &self.inputs, &options)?;
        report.output = Some(job.output.clone());
        report.status = if protected { Status::Protected } else { Status::Unprotected };
        if !protected {
            report.why = Some("no face was protected; written as it was".to_owned());
        }
        done.crops.iter().for_each(|crop| self.sheet.add(crop));
        Ok(())
    }

    /// What the input is, and everything that decides what becomes of it.
    fn stamp(&self, input: &Path) -> String {
        let metadata = std::fs::metadata(input).ok();
        let modified = metadata.as_ref().and_then(|m| m.modified().ok());
        let text = format!("{:?} {modified:?} {}", metadata.map(|m| m.len()), self.settings);
        let sum = Sha256::digest(text);
        sum.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Name {
    fn text(self) -> &'static str {
        match self {
            Self::Faceshield => "faceshield",
            Self::Blur => "blur",
            Self::Mosaic => "mosaic",
            Self::Solid => "solid",
            Self::DpPix => "dp-pix",
            Self::DpBlur => "dp-blur",
        }
    }
}

fn method(args: &Args, device: tch::Device) -> anyhow::Result<Method> {
    let sigma = args.strength as f32;
    let private = || -> anyhow::Result<dp::Private> {
        let epsilon = args
            .epsilon
            .ok_or_else(|| misuse(format!("--method {} needs --epsilon E", args.method.text())))?;
        Ok(dp::Private { cell: args.strength, m: args.pixels, epsilon })
    };
    let obscure = match args.method {
        Name::Faceshield => {
            let choice = Choice {
                checkpoint: &args.checkpoint,
                mechanism: args.mechanism,
                epsilon: args.epsilon,
                prototypes: args.prototypes,
                seed: args.seed,
                batch: args.batch,
            };
            let repainter = Repainter::load(&choice, device)?;
            tracing::info!("painting with {}", repainter.found.display());
            return Ok(Method::Repaint(Box::new(repainter)));
        }
        Name::Blur => Obscure::Blur { sigma },
        Name::Mosaic => Obscure::Mosaic { cell: args.strength },
        Name::Solid => Obscure::Solid { colour: [128; 3] },
        Name::DpPix => Obscure::DpPix(private()?),
        Name::DpBlur => Obscure::DpBlur { private: private()?, sigma },
    };
    let mut randomness = args.seed.map_or_else(Randomness::system, Randomness::seeded);
    Ok(Method::Obscure(obscure, Box::new(randomness.generator()?)))
}

/// The mechanism's name, and every sentence that a report must say.
fn claims(args: &Args, method: &Method) -> (Option<String>, Vec<String>) {
    let (name, mut claims) = match method {
        Method::Repaint(repainter) => {
            let mechanism = repainter.mechanism();
            let claims = vec![mechanism.claim(), dpp::IMAGE_CLAIM.to_owned()];
            (Some(mechanism.name()), claims)
        }
        Method::Obscure(obscure, _) => (None, vec![obscure.claim()]),
    };
    if args.seed.is_some() {
        claims[0] = dpp::Origin::SEED_CLAIM.to_owned();
    }
    (name, claims)
}

fn settings(args: &Args, method: &Method) -> String {
    let model = match method {
        Method::Repaint(repainter) => repainter.found.display().to_string(),
        Method::Obscure(..) => String::new(),
    };
    format!(
        "{:?} {model} {} {:?} {} {:?} {} {} {} {:?} {} {} {:?}",
        args.method,
        args.mechanism,
        args.epsilon,
        args.prototypes,
        args.seed,
        args.largest,
        args.allow_unprotected,
        args.keep_metadata,
        args.format,
        args.strength,
        args.pixels,
        args.detector
    )
}

fn tell(args: &Args, report: &Report<'_>) -> anyhow::Result<()> {
    if args.json {
        return output::json(report);
    }
    let Report { photos, protected, unprotected, failed, faces, .. } = report;
    output::line(format_args!(
        "{photos} photos: {protected} protected, {unprotected} without a face written as they \
         were, {failed} not written; {faces} faces"
    ))?;
    for claim in &report.claims {
        output::line(claim)?;
    }
    let out = args.out.display();
    Ok(output::line(format_args!("report: {out}/report.json, faces: {out}/contact_sheet.png"))?)
}
