//! The faces of a run: their index, the same on every rank, their pixels, and batches of them.

use std::path::Path;
use std::sync::Arc;

use faces::{BadImages, FaceBatch, FaceLoader, Faces, Index, Links, PairBatch, PairLoader, Root};
use files::Escape;
use tch::Tensor;
use train::BoxError;

use super::Setting;
use crate::commands::photos::tell_links;
use crate::options::Common;

/// A data set as a rank of a run sees it: its images, and those that turned out bad.
pub(crate) struct DataSet {
    index: Arc<Index>,
    bad: Arc<BadImages>,
}

impl DataSet {
    /// The run's data set; bad images are listed at the end of the text file `list`.
    ///
    /// # Errors
    ///
    /// A folder without enough readable faces; ranks that see different data.
    pub(crate) fn open(
        common: &Common,
        setting: &Setting,
        list: Option<&Path>,
    ) -> anyhow::Result<Self> {
        Self::open_root(&common.data_root()?, common.links(), setting, list)
    }

    /// The data set in the folder `root`, as [`DataSet::open`].
    ///
    /// # Errors
    ///
    /// As [`DataSet::open`].
    pub(crate) fn open_root(
        root: &Path,
        links: Links,
        setting: &Setting,
        list: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let index = index(Root { path: root, links }, setting)?;
        if setting.world.is_main() && setting.private {
            let (links, bad) = (index.links().count(), index.bad().len());
            if links + bad > 0 {
                tracing::warn!("data: {links} links noted, {bad} unreadable images left out");
            }
        } else if setting.world.is_main() {
            tell_links(index.links());
            for file in index.bad() {
                tracing::warn!("unreadable image left out: {} ({})", file.path, file.reason);
            }
        }
        Ok(Self::named(index, list, !setting.private))
    }

    /// The images of `index`.
    pub(crate) fn of(index: Index, list: Option<&Path>) -> Self {
        Self::named(index, list, true)
    }

    /// The same; whether the log names those that are bad.
    fn named(index: Index, list: Option<&Path>, named: bool) -> Self {
        let index = Arc::new(index);
        let bad = BadImages::new(Arc::clone(&index), list.map(Path::to_path_buf));
        let bad = Arc::new(if named { bad } else { bad.unnamed() });
        Self { index, bad }
    }

    /// The images at the model's size, out of `decoded_cache` if that is set.
    ///
    /// # Errors
    ///
    /// A cache that was made for other images or another size, or is not whole; more bad
    /// images than `max_bad_images` allows.
    pub(crate) fn faces(&self, common: &Common) -> anyhow::Result<Arc<Faces>> {
        let cache = &common.data.decoded_cache;
        self.faces_from(common, (!cache.is_empty()).then_some(Path::new(cache)))
    }

    /// The same, out of the decoded cache `cache` if there is one.
    ///
    /// # Errors
    ///
    /// As [`DataSet::faces`].
    pub(crate) fn faces_from(
        &self,
        common: &Common,
        cache: Option<&Path>,
    ) -> anyhow::Result<Arc<Faces>> {
        let size = u32::try_from(common.model.image_size)?;
        let limit = common.data.keep_decoded_mb.saturating_mul(1_000_000);
        let faces = Faces::new(Arc::clone(&self.index), size, cache)?.keeping(limit);
        Ok(Arc::new(faces.bearing(Arc::clone(&self.bad), common.data.max_bad_images)?))
    }
}

/// The index of the images in `root`: built by rank 0, read by the others.
fn index(root: Root<'_>, setting: &Setting) -> anyhow::Result<Index> {
    let (world, cache) = (&setting.world, crate::places::cache_dir());
    let told = |error: faces::Error| if setting.private { error.unnamed() } else { error };
    let build = || Index::load_or_build(root, &cache, world.is_main()).map_err(told);
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
            root.path.escaped()
        );
    }
    if world.is_main() {
        tracing::info!(
            "{}: {} people, {} images{}",
            root.path.escaped(),
            index.people().len(),
            index.images().len(),
            match index.bad() {
                [] => String::new(),
                bad => format!(", {} unreadable files left out", bad.len()),
            }
        );
    }
    Ok(index)
}

/// Pairs of faces as the engine wants them.
pub(crate) struct Pairs(PairLoader);

impl Pairs {
    /// This rank's part of the pairs, of which these shares are of one image and of one person.
    ///
    /// # Errors
    ///
    /// Fewer images than ranks, options out of range.
    pub(crate) fn new(
        common: &Common,
        shares: [f64; 2],
        faces: Arc<Faces>,
        setting: &Setting,
    ) -> anyhow::Result<Self> {
        let world = &setting.world;
        let config = common.loader(shares);
        Ok(Self(PairLoader::new(faces, config, world.rank(), world.size())?))
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

/// Single faces with the numbers of their people, as the engine wants them.
pub(crate) struct Singles(FaceLoader);

impl Singles {
    /// This rank's share of the images of `people`.
    ///
    /// # Errors
    ///
    /// Fewer than two images a rank, options out of range.
    pub(crate) fn new(
        common: &Common,
        people: &[usize],
        faces: Arc<Faces>,
        setting: &Setting,
    ) -> anyhow::Result<Self> {
        let world = &setting.world;
        let root = faces.index().root().escaped().to_string();
        let loader =
            FaceLoader::new(faces, people, common.face_loader(), world.rank(), world.size())?;
        if loader.images() < 2 * world.size() {
            anyhow::bail!(
                "{root} leaves {} images to learn from, too few for two on each of {} ranks: \
                 give more images or start fewer ranks",
                loader.images(),
                world.size()
            );
        }
        Ok(Self(loader))
    }
}

impl train::Source for Singles {
    type Batch = FaceBatch;

    fn batches_after(&self, dealt: u64) -> u64 {
        self.0.batches_after(dealt)
    }

    fn epoch<'a>(
        &'a mut self,
        epoch: u64,
        dealt: u64,
        first_batch: u64,
    ) -> Result<train::Batches<'a, FaceBatch>, BoxError> {
        let batches = self.0.rest_of_epoch(epoch, dealt, first_batch);
        Ok(Box::new(batches.map(|batch| batch.map_err(BoxError::from))))
    }
}

/// Says once more, at the end, how many images this rank did without.
pub(crate) fn report_bad_images(faces: &Faces) {
    let bad = faces.bad();
    if bad.count() == 0 {
        return;
    }
    let list = bad.list().map(|list| format!(": see {}", list.escaped()));
    let list = list.unwrap_or_default();
    tracing::warn!("{} of {} images were left out{list}", bad.count(), bad.of());
}
