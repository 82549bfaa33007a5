//! `faceshield protect`: photos in, photos with other faces out.

mod args;
pub(crate) mod model;
mod photo;
pub(crate) mod repaint;
mod report;
mod sheet;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use align::Detector;
use anyhow::Context;
use dpp::{Ledger, PureEpsilon};
use faces::save::{Inputs, Keep, SaveOptions, Source};
use sha2::{Digest, Sha256};

use crate::commands::data::bar;
use crate::commands::photos::{self, Names};
use crate::failure::{misuse, one_line};
use crate::output;
pub(crate) use args::{Args, Identities};
use photo::Method;
use report::{PhotoReport, Record, Report, Seconds, Status};
use sheet::Sheet;

/// What a run writes besides photos.
const REPORT: &str = "report.json";
const SHEET: &str = "contact_sheet.png";
const LEDGER: &str = "ledger.jsonl";

/// One photo and the place of its result.
struct Job {
    input: PathBuf,
    output: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let jobs = jobs(args)?;
    let method = args.method()?;
    let detector = args.detector.load()?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot create {}", args.out.display()))?;
    let mut work = Work {
        args,
        detector,
        inputs: Inputs::of(jobs.iter().map(|job| &job.input))?,
        record: Record::open(&args.out)?,
        ledger: Ledger::open(&args.out.join(LEDGER))?,
        sheet: Sheet::default(),
        settings: args.settings(&method),
    };
    let started = Instant::now();
    let bar = bar("protecting");
    bar.set_length(jobs.len() as u64);
    let mut results = Vec::with_capacity(jobs.len());
    for job in &jobs {
        let report = work.one(job, &method)?;
        if let (Status::Failed, Some(why)) = (report.status, &report.why) {
            bar.suspend(|| tracing::error!("{}: {why}", job.input.display()));
        }
        results.push(report);
        bar.inc(1);
    }
    bar.finish_and_clear();
    work.sheet.write(&args.out)?;
    let (mechanism, claims) = args.claims(&method);
    let seconds = started.elapsed().as_secs_f64();
    let report = Report::new(args.name(), mechanism, claims, &results, seconds);
    report.write(&args.out)?;
    tell(args, &report)?;
    match report.failed {
        0 => Ok(()),
        failed => Err(anyhow::anyhow!(
            "{failed} of {} photos were not protected and not written: see {}",
            report.photos,
            args.out.join(REPORT).display()
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
    fn one(&mut self, job: &Job, method: &Method) -> anyhow::Result<PhotoReport> {
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
            seconds: Seconds::default(),
            stamp,
        };
        if let Err(error) = self.protect(job, method, &mut report) {
            // A face of a photo that is not written is protected by that alone.
            (report.status, report.output) = (Status::Failed, None);
            report.why = Some(one_line(error.chain()));
            self.record.withdraw(&job.input)?;
        }
        report.seconds.total = started.elapsed().as_secs_f64();
        self.record.add(&report)?;
        Ok(report)
    }

    fn protect(
        &mut self,
        job: &Job,
        method: &Method,
        report: &mut PhotoReport,
    ) -> anyhow::Result<()> {
        let clock = Instant::now();
        let photo = faces::read_photo_within(&job.input, self.args.max_pixels)?;
        report.seconds.read = clock.elapsed().as_secs_f64();
        let mut randomness = self.args.randomness(&photo);
        let (detector, largest) = (&self.detector, self.args.largest);
        let seconds = &mut report.seconds;
        let done = photo::protect(photo, detector, method, &mut randomness, largest, seconds)?;
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
        // Whatever way leads to the photo, it is the same one.
        let name = job.input.canonicalize().unwrap_or_else(|_| job.input.clone());
        let name = name.display().to_string();
        for (number, release) in &done.releases {
            let subject = format!("{name} face {}", number + 1);
            self.ledger.record(&name, &subject, release)?;
            let total = self.ledger.spent(&subject).total();
            report.faces[*number].epsilon_in_all = total.map(PureEpsilon::get);
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

/// The photos, and a place for each result.
///
/// # Errors
///
/// Misuse: inputs that are not there, or a place that is an input's.
fn jobs(args: &Args) -> anyhow::Result<Vec<Job>> {
    let mut names = Names::without(&[REPORT, SHEET, LEDGER]);
    let job = |photo: photos::Photo| {
        let wanted = photo.relative.with_extension(args.ending(&photo.path));
        Job { output: args.out.join(names.free(&wanted)), input: photo.path }
    };
    let jobs: Vec<Job> = photos::list(&args.inputs, &args.out)?.into_iter().map(job).collect();
    let inputs: BTreeSet<PathBuf> =
        jobs.iter().filter_map(|job| job.input.canonicalize().ok()).collect();
    let over = |job: &&Job| job.output.canonicalize().is_ok_and(|path| inputs.contains(&path));
    match jobs.iter().find(over) {
        Some(job) => Err(misuse(format!(
            "--out {}: {} would be written over, and it is an input: choose another folder",
            args.out.display(),
            job.output.display()
        ))),
        None => Ok(jobs),
    }
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
    output::line(format_args!("report: {out}/{REPORT}"))?;
    if args.out.join(SHEET).exists() {
        output::line(format_args!("faces:  {out}/{SHEET}, to look over"))?;
    }
    Ok(())
}
