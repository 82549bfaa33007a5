//! The faces of a run: their index, the same on every rank, their pixels, and batches of them.

use std::path::Path;
use std::sync::Arc;

use faces::{Faces, Index, PairBatch, PairLoader};
use tch::Tensor;
use train::BoxError;

use super::Setting;
use crate::options::Common;

/// The index of the run's data set: built by rank 0, read by the others.
///
/// # Errors
///
/// A folder without enough readable faces; ranks that see different data.
pub(crate) fn index(common: &Common, setting: &Setting) -> anyhow::Result<Arc<Index>> {
    let root = common.data_root()?;
    let (world, cache) = (&setting.world, crate::places::cache_dir());
    let build = || Index::load_or_build(&root, &cache, world.is_main());
    // The others list the folder while rank 0 works, but must read what it has written.
    let index = if world.is_main() {
        let index = build()?;
        world.barrier()?;
        index
    } else {
        world.barrier()?;
        build()?
    };
    let digest = Tensor::from(index.digest() as i64).to_device(setting.device);
    let digests = world.all_gather(&digest)?;
    if let Some(rank) = digests.iter().position(|other| !other.equal(&digest)) {
        anyhow::bail!(
            "ranks {} and {rank} see different images in {}: give every machine the same data",
            world.rank(),
            root.display()
        );
    }
    if world.is_main() {
        tracing::info!(
            "{}: {} people, {} images{}",
            root.display(),
            index.people().len(),
            index.images().len(),
            match index.bad() {
                [] => String::new(),
                bad => format!(", {} unreadable files left out", bad.len()),
            }
        );
    }
    Ok(Arc::new(index))
}

/// The images of `index` at the model's size, out of `decoded_cache` if that is set.
///
/// # Errors
///
/// A cache that was made for other images or another size, or is not whole.
pub(crate) fn faces(common: &Common, index: &Arc<Index>) -> anyhow::Result<Arc<Faces>> {
    let size = u32::try_from(common.model.image_size)?;
    let cache = &common.data.decoded_cache;
    let cache = (!cache.is_empty()).then_some(Path::new(cache));
    let limit = common.data.keep_decoded_mb.saturating_mul(1_000_000);
    Ok(Arc::new(Faces::new(Arc::clone(index), size, cache)?.keeping(limit)))
}

/// Pairs of faces as the engine wants them.
pub(crate) struct Pairs(PairLoader);

impl Pairs {
    /// This rank's share of the pairs.
    ///
    /// # Errors
    ///
    /// Fewer images than ranks, options out of range.
    pub(crate) fn new(
        common: &Common,
        same_share: f64,
        faces: Arc<Faces>,
        setting: &Setting,
    ) -> anyhow::Result<Self> {
        let world = &setting.world;
        let config = common.loader(same_share);
        Ok(Self(PairLoader::new(faces, config, world.rank(), world.size())?))
    }

    /// Lists files that turned out unreadable, once, at the end.
    pub(crate) fn report_bad_files(&self) {
        for file in self.0.bad_files() {
            tracing::warn!("unreadable image left out: {} ({})", file.path, file.reason);
        }
    }
}

impl train::Source for Pairs {
    type Batch = PairBatch;

    fn batches_after(&self, dealt: u64) -> u64 {
        self.0.batches_after(dealt)
    }

    fn epoch<'a>(
        &'a mut self,
        epoch: u64,
        dealt: u64,
        first_batch: u64,
    ) -> Result<Box<dyn Iterator<Item = Result<PairBatch, BoxError>> + 'a>, BoxError> {
        let batches = self.0.rest_of_epoch(epoch, dealt, first_batch);
        Ok(Box::new(batches.map(|batch| batch.map_err(BoxError::from))))
    }
}
