//! `faceshield protect`: photos in, photos with other faces out.

mod args;
pub(crate) mod model;
mod photo;
mod record;
pub(crate) mod repaint;
mod report;
mod sheet;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use align::Detector;
use anyhow::Context;
use dpp::{Ledger, PureEpsilon};
use faces::save::{self, Format, Inputs, Keep, SaveOptions, Source};
use files::Folder;
use sha2::{Digest, Sha256};

use crate::commands::data::bar;
use crate::commands::photos::{self, Names};
use crate::failure::{misuse, one_line};
use crate::output;
pub(crate) use args::{Args, Identities};
use photo::Method;
use record::Record;
use report::{PhotoReport, Report, Seconds, Status};
use sheet::Sheet;

/// What a run writes besides photos.
const REPORT: &str = "report.json";
const SHEET: &str = "contact_sheet.png";
const LEDGER: &str = "ledger.jsonl";

/// One photo, and the place of its result below the folder of results.
struct Job {
    input: PathBuf,
    output: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let jobs = jobs(args)?;
    let method = args.method()?;
    let detector = args.detector.load()?;
    let out = Folder::create(&args.out)
        .with_context(|| format!("cannot create {}", args.out.display()))?;
    // First: its lock keeps a second run out of the folder.
    let ledger = Ledger::open(&args.out.join(LEDGER))?;
    sweep(&out, &jobs);
    let mut work = Work {
        args,
        detector,
        inputs: Inputs::of(jobs.iter().map(|job| &job.input))?,
        record: Record::open(out.clone(), record::key()?)?,
        out,
        ledger,
        sheet: Sheet::default(),
        settings: args.settings(&method),
    };
    // Before hours of work rather than after.
    work.may_write(Path::new(REPORT))?;
    work.may_write(Path::new(SHEET))?;
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
    if let Some(png) = work.sheet.png()? {
        work.write_beside(Path::new(SHEET), &png)?;
    }
    for result in &mut results {
        result.output = result.output.take().map(|output| args.out.join(output));
    }
    let (mechanism, claims) = args.claims(&method);
    let seconds = started.elapsed().as_secs_f64();
    let report = Report::new(args.name(), mechanism, claims, &results, seconds);
    work.write_beside(Path::new(REPORT), &serde_json::to_vec_pretty(&report)?)?;
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
    out: Folder,
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
        self.record.done(&report)?;
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
        let keep = self.args.keep_metadata;
        let replace = self.record.wrote(&job.output);
        let options =
            SaveOptions { keep: Keep { profile: keep, resolution: keep }, quality: None, replace };
        // Before the work of encoding.
        save::may_write(&self.out, &job.output, &self.inputs, replace)?;
        let format = Format::of_path(&job.output)?;
        let encoded = save::encode(&done.photo, format, &Source::read(&job.input)?, &options)?;
        if let Some(folder) = job.output.parent() {
            self.out.make(folder).with_context(|| {
                format!("cannot create {}", self.args.out.join(folder).display())
            })?;
        }
        self.record.writing(&job.output, &encoded.bytes)?;
        save::write(&encoded, &self.out, &job.output, &self.inputs, replace)?;
        report.output = Some(job.output.clone());
        report.status = if protected { Status::Protected } else { Status::Unprotected };
        if !protected {
            report.why = Some("no face was protected; written as it was".to_owned());
        }
        done.crops.iter().for_each(|crop| self.sheet.add(crop));
        Ok(())
    }

    /// That `name` in the folder of results is free, or a file that an earlier run wrote there.
    ///
    /// # Errors
    /// It is neither.
    fn may_write(&self, name: &Path) -> anyhow::Result<()> {
        Ok(save::may_write(&self.out, name, &self.inputs, self.record.wrote(name))?)
    }

    /// Writes a file that lies beside the results, over that of an earlier run.
    ///
    /// # Errors
    /// Something else is there; the record or the file cannot be written.
    fn write_beside(&mut self, name: &Path, content: &[u8]) -> anyhow::Result<()> {
        self.may_write(name)?;
        self.record.writing(name, content)?;
        let failed = || format!("cannot write {}", self.args.out.join(name).display());
        self.out.write(name, content).with_context(failed)
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
        Job { output: names.free(&wanted), input: photo.path }
    };
    let jobs: Vec<Job> =
        photos::list(&args.inputs, &args.out, args.links.links())?.into_iter().map(job).collect();
    let inputs: BTreeSet<PathBuf> =
        jobs.iter().filter_map(|job| job.input.canonicalize().ok()).collect();
    let over = |job: &&Job| {
        args.out.join(&job.output).canonicalize().is_ok_and(|path| inputs.contains(&path))
    };
    match jobs.iter().find(over) {
        Some(job) => Err(misuse(format!(
            "--out {}: {} would be written over, and it is an input: choose another folder",
            args.out.display(),
            args.out.join(&job.output).display()
        ))),
        None => Ok(jobs),
    }
}

/// Removes what a run that was killed left half written. A folder in which that cannot be done
/// (a link, say) is left alone: the photos that belong there say why they cannot be written.
fn sweep(out: &Folder, jobs: &[Job]) {
    let mut folders: BTreeSet<&Path> = jobs.iter().filter_map(|job| job.output.parent()).collect();
    // The report and the contact sheet.
    folders.insert(Path::new(""));
    for folder in folders {
        match out.sweep(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => tracing::warn!(
                "{}: not searched for files that a killed run left: {error}",
                out.path().join(folder).display()
            ),
            _ => {}
        }
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
