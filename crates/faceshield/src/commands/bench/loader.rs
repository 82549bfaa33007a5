//! `faceshield bench loader`: images from disk to normalised tensors.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use faces::{Index, PairLoader};
use serde::Serialize;
use tch::Device;

use super::process;
use crate::options::{FseOptions, Options, Sources, resolve};
use crate::output;
use crate::training::data::DataSet;

#[derive(Debug, clap::Args)]
pub(crate) struct Loader {
    #[command(flatten)]
    sources: Sources,

    /// Pairs in a batch [default: the preset's]
    #[arg(long, value_name = "B", value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,

    /// Images to load, over several epochs if need be; a pair is two
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(2..))]
    images: u64,
}

/// What `bench loader` prints.
#[derive(Serialize)]
struct Report {
    image_size: u32,
    batch: usize,
    workers: usize,
    threads: i32,
    /// Images measured: not those of the warm-up.
    images: u64,
    seconds: f64,
    images_per_second: f64,
    cpu_ms_per_image: f64,
    peak_memory_mb: f64,
    memory_growth_mb: f64,
}

/// What has been used up to one moment.
struct Mark {
    time: Instant,
    cpu_seconds: f64,
    resident_mb: f64,
}

impl Mark {
    fn now() -> Self {
        let (cpu_seconds, resident_mb) = (process::cpu_seconds(), process::resident_mb());
        Self { time: Instant::now(), cpu_seconds, resident_mb }
    }
}

pub(crate) fn run(args: &Loader) -> anyhow::Result<()> {
    let mut layers = args.sources.layers()?;
    if let Some(batch) = args.batch {
        layers.flag("--batch", "batch_size", i64::from(batch));
    }
    // What is measured is reading, also on a small set.
    layers.flag("bench loader", "keep_decoded_mb", 0);
    let options: FseOptions = resolve(&layers, "fse")?;
    let common = options.common();
    common.engine.apply()?;
    let root = common.data_root()?;
    let root = faces::Root { path: &root, links: common.links() };
    let index = Index::load_or_build(root, &crate::places::cache_dir(), true)?;
    let faces = DataSet::of(index, None).faces(common)?;
    // Stage I's pairs: no target is the source itself, so that a pair is two images read.
    let config = common.loader([0.0; 2]);
    let (batch, workers) = (config.batch_size, config.threads());
    let loader = PairLoader::new(Arc::clone(&faces), config, 0, 1)?;
    let mut batches = (0..).flat_map(|epoch| loader.epoch(epoch, 0));
    let mut load = |wanted: u64| -> anyhow::Result<u64> {
        let mut images = 0;
        while images < wanted {
            let batch = batches.next().context("more epochs than there are numbers")??;
            let _ = batch.to_device(Device::Cpu)?;
            images += 2 * batch.items.len() as u64;
        }
        Ok(images)
    };
    // After a tenth, buffers have their size and as many batches are decoded ahead as will be
    // at the end: what lies between is the work for the images between.
    load(args.images.div_ceil(10))?;
    let start = Mark::now();
    let images = load(args.images)?;
    let end = Mark::now();
    let seconds = (end.time - start.time).as_secs_f64();
    output::json(&Report {
        image_size: faces.size(),
        batch,
        workers,
        threads: tch::get_num_threads(),
        images,
        seconds,
        images_per_second: images as f64 / seconds,
        cpu_ms_per_image: (end.cpu_seconds - start.cpu_seconds) * 1e3 / images as f64,
        peak_memory_mb: train::peak_memory_mb(Device::Cpu),
        memory_growth_mb: end.resident_mb - start.resident_mb,
    })
}
