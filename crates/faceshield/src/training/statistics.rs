//! Layer statistics of a data set: given, found in the cache, or computed by all ranks
//! together and cached.

use std::ops::Range;
use std::path::Path;

use c10d::ReduceOp;
use encoder::{FrozenEncoder, Stats, StatsAccumulator};
use faces::{Faces, Index};
use rayon::prelude::*;

use super::Setting;
use super::statistics_cache::Cache;
use crate::options::{Channels, Common, FseOptions};

/// Images per pass through the encoder.
const BATCH: usize = 8;

/// The statistics that the options ask for, with as many discriminants as they want.
///
/// # Errors
///
/// A file that does not fit the model; no readable image; a lost rank.
pub(crate) fn load_or_compute(
    options: &FseOptions,
    faces: &Faces,
    encoder: &FrozenEncoder,
    setting: &Setting,
) -> anyhow::Result<Stats> {
    let stats = find(options, faces, encoder, setting)?;
    let wanted = options.stage.discriminants;
    if wanted > 0 && setting.world.is_main() {
        match stats.discriminants() {
            0 => tracing::warn!("{}", none(options)),
            found => tracing::info!("{found} discriminants of people in a feature"),
        }
    }
    Ok(stats.with_discriminants(wanted))
}

/// Why there are no discriminants.
fn none(options: &FseOptions) -> String {
    let given = &options.common.encoder.stats_file;
    let why = match given.is_empty() {
        true => "the data have no two photos of anybody".to_owned(),
        false => format!("{given} has none (`faceshield stats` writes them)"),
    };
    format!("masks alone separate, without discriminants of people: {why}")
}

fn find(
    options: &FseOptions,
    faces: &Faces,
    encoder: &FrozenEncoder,
    setting: &Setting,
) -> anyhow::Result<Stats> {
    let common = &options.common;
    let model = &common.model;
    if !common.encoder.stats_file.is_empty() {
        let path = Path::new(&common.encoder.stats_file);
        return Ok(Stats::read(path, model, common.encoder.stats_are)?);
    }
    let cache = Cache::new(options, faces, encoder)?;
    let cached = cache.read(model);
    if let Err(error) = &cached
        && setting.world.is_main()
    {
        tracing::warn!("{error}: layer statistics are measured anew");
    }
    let cached = cached.ok().flatten();
    if let (true, Some(cached)) = (setting.all_agree(cached.is_some())?, cached) {
        if setting.world.is_main() {
            tracing::info!("layer statistics from {}", cache.path().display());
        }
        return Ok(cached);
    }
    let stats = compute(options, faces, encoder, setting)?;
    if setting.world.is_main()
        && let Err(error) = cache.write(&stats)
    {
        // A read-only disk costs the next run some time.
        tracing::warn!("cannot keep the layer statistics: {error}; going on without");
    }
    Ok(stats)
}

/// Writes statistics to a file of their own, making its folder.
///
/// # Errors
///
/// When the disk refuses.
pub(crate) fn write(stats: &Stats, file: &Path, common: &Common) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let data = train::checkpoint::short_path(Path::new(&common.data.data));
    Ok(stats.write(file, &format!("{data} ({} images)", stats.images()))?)
}

/// Measures every image once; the ranks share the people out and merge.
///
/// # Errors
///
/// No readable image, too many bad ones; a lost rank; a stop asked for.
pub(crate) fn compute(
    options: &FseOptions,
    faces: &Faces,
    encoder: &FrozenEncoder,
    setting: &Setting,
) -> anyhow::Result<Stats> {
    let (world, common) = (&setting.world, &options.common);
    let images = faces.index().images().len();
    let bgr = common.data.channels == Channels::Bgr;
    let mine = share(faces.index(), world.rank(), world.size());
    // As many passes on every rank, so that all can agree to stop; the last may be empty.
    let most = world.reduce_scalar(mine.len() as f64, ReduceOp::Max)? as usize;
    let passes = most.div_ceil(BATCH);
    let bar = crate::commands::data::bar("layer statistics");
    bar.set_length(mine.len() as u64);
    if world.is_main() {
        tracing::info!("layer statistics over {images} images");
    } else {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    let mut sums = StatsAccumulator::new(&common.model, setting.device)
        .discriminating(&common.model, options.stage.discriminants);
    for pass in 0..passes {
        setting.check_stop()?;
        let start = mine.end.min(mine.start + pass * BATCH);
        let numbers = start..mine.end.min(start + BATCH);
        let read: Vec<_> = numbers.clone().into_par_iter().map(|i| faces.read(i)).collect();
        let (mut images, mut people) = (Vec::new(), Vec::new());
        for (number, image) in numbers.clone().zip(read) {
            match image {
                Ok(image) => {
                    images.push(image);
                    people.push(faces.index().images()[number].person);
                }
                // Told where it was found, and left out here too.
                Err(faces::Error::Image { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if !images.is_empty() {
            let images = faces::to_tensor(&images, bgr)?.to_device(setting.device);
            sums.add_people(encoder, &images, &people);
        }
        bar.inc(numbers.len() as u64);
    }
    bar.finish_and_clear();
    let stats = sums.merge_ranks(world)?.finish()?;
    // As they will be read back from the cache: a resumed run must see the same numbers.
    Ok(Stats::from_state(&stats.state(), &common.model, Path::new("layer statistics"))?)
}

/// The images of a rank: those of people next to each other, about as many on every rank.
fn share(index: &Index, rank: usize, ranks: usize) -> Range<usize> {
    let all = index.images().len();
    // A person is the rank's in whose share the first image lies.
    let starts = index.people().iter().map(|person| person.images.start);
    let from = |rank: usize| starts.clone().find(|start| start * ranks >= rank * all);
    from(rank).unwrap_or(all)..from(rank + 1).unwrap_or(all)
}
