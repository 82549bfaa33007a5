//! `faceshield bench synth`: drawing synthetic faces.

use std::time::Instant;

use rayon::prelude::*;
use serde::Serialize;
use synth::Renderer;
use synth::dataset::{self, Settings};

use super::process;
use crate::failure::misuse;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Synth {
    /// Side of the pictures in pixels
    #[arg(long, value_name = "S", default_value_t = 256)]
    size: u32,

    /// Images to draw: in people of ten
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u32).range(10..))]
    images: u32,
}

/// One way of drawing, measured.
#[derive(Serialize)]
struct Pace {
    images_per_second: f64,
    cpu_ms_per_image: f64,
}

/// What `bench synth` prints.
#[derive(Serialize)]
struct Report {
    size: u32,
    images: u32,
    threads: usize,
    drawing: Pace,
    with_files: Pace,
}

pub(crate) fn run(args: &Synth) -> anyhow::Result<()> {
    let people = args.images / 10;
    let settings = Settings { people, per_person: 10, size: args.size, seed: 1, first_person: 0 };
    settings.check().map_err(|error| misuse(format!("--{error}")))?;
    draw(&Settings { people: people.div_ceil(10), ..settings });
    let drawing = pace(people * 10, || {
        draw(&settings);
        Ok(())
    })?;
    let folder = tempfile::tempdir()?;
    let with_files = pace(people * 10, || {
        dataset::write(&folder.path().join("faces"), &settings, None)?;
        Ok(())
    })?;
    output::json(&Report {
        size: args.size,
        images: people * 10,
        threads: rayon::current_num_threads(),
        drawing,
        with_files,
    })
}

fn draw(settings: &Settings) {
    settings.labels().with_min_len(8).for_each_init(
        || Renderer::new(settings.size),
        |renderer, label| {
            std::hint::black_box(renderer.render(&label.identity, &label.scene));
        },
    );
}

fn pace(images: u32, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Pace> {
    let (start, cpu) = (Instant::now(), process::cpu_seconds());
    work()?;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), process::cpu_seconds() - cpu);
    let images = f64::from(images);
    Ok(Pace { images_per_second: images / seconds, cpu_ms_per_image: cpu * 1e3 / images })
}
