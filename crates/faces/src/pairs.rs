//! Batches of pairs: who is paired with whom, and who stands in for an image that cannot be
//! read.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::loader::{Dealing, Items, Loader, threads};
use crate::random::{Use, below, mix, unit};
use crate::tensor::stack;
use crate::{Error, Faces, Index, PairBatch, Planes};

/// What the loader needs to know; every field is a configuration key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PairConfig {
    /// Pairs per batch on this rank.
    pub batch_size: usize,
    /// Seed of the run: order, pairs and per-item seeds follow from it.
    pub seed: u64,
    /// Share of the items, 0 to 1, whose target is the source itself: 0.2 (corrected) or
    /// 0 (published; method.md §8).
    pub same_share: f64,
    /// Share of the items whose target is another image of the source's person. Its sum with
    /// `same_share` is 1 at most.
    pub own_share: f64,
    /// Channels in the order B, G, R, which the published weights expect.
    pub bgr: bool,
    /// Mirror each image left to right with probability ½.
    pub flip: bool,
    /// Leave out an epoch's last, incomplete batch, unless it is the only one.
    pub drop_last: bool,
    /// Threads that decode; 0 takes half of the cores it may use, from 1 to 8.
    pub workers: usize,
    /// Batches decoded ahead, at least 1. Memory held: `prefetch × batch_size` pairs of
    /// `2 · 3 · S²` bytes (1.5 MiB at 512 pixels).
    pub prefetch: usize,
}

impl Default for PairConfig {
    fn default() -> Self {
        PairConfig {
            batch_size: 2,
            seed: 0,
            same_share: 0.2,
            own_share: 0.0,
            bgr: false,
            flip: false,
            drop_last: false,
            workers: 0,
            prefetch: 4,
        }
    }
}

impl PairConfig {
    fn validate(&self) -> Result<(), Error> {
        let wrong = |key, value: String, expected: &str| {
            Err(Error::Option { key, value, expected: expected.into() })
        };
        for (key, share) in [("same_share", self.same_share), ("own_share", self.own_share)] {
            if !(0.0..=1.0).contains(&share) {
                return wrong(key, share.to_string(), "a share from 0 to 1");
            }
        }
        if self.same_share + self.own_share > 1.0 {
            let sum = format!("{} + {}", self.same_share, self.own_share);
            return wrong("same_share + own_share", sum, "at most 1");
        }
        Ok(())
    }

    /// Threads that decode: `workers`, or the number that 0 stands for.
    pub fn threads(&self) -> usize {
        threads(self.workers)
    }
}

/// Hands out the batches of pairs of one rank, decoded ahead by its own threads.
///
/// What comes out is a pure function of (data, configuration, rank, world size, epoch,
/// batch number): neither the number of threads nor earlier calls matter.
pub struct PairLoader(Loader<Pairs>);

impl PairLoader {
    /// A loader for one of `world_size` ranks over `faces`.
    ///
    /// # Errors
    /// A value of `config` out of range, fewer images than ranks, threads that cannot be
    /// started.
    pub fn new(
        faces: Arc<Faces>,
        config: PairConfig,
        rank: usize,
        world_size: usize,
    ) -> Result<PairLoader, Error> {
        config.validate()?;
        let PairConfig { batch_size, seed, drop_last, workers, prefetch, .. } = config;
        let dealing = Dealing { batch_size, seed, rank, world_size, drop_last, workers, prefetch };
        Ok(PairLoader(Loader::new(Pairs { faces, config }, &dealing)?))
    }

    /// Batches of an epoch, the same on all ranks; at least 1.
    pub fn batches_per_epoch(&self) -> u64 {
        self.0.batches_per_epoch()
    }

    /// Batches that are left of an epoch when its first `dealt` positions have been dealt out.
    pub fn batches_after(&self, dealt: u64) -> u64 {
        self.0.batches_after(dealt)
    }

    /// The batches of `epoch` from number `first_batch` on (none if that is beyond the
    /// last). Decoding begins at once; dropping the iterator cancels what is not yet decoded.
    pub fn epoch(
        &self,
        epoch: u64,
        first_batch: u64,
    ) -> impl Iterator<Item = Result<PairBatch, Error>> + use<> {
        self.rest_of_epoch(epoch, 0, first_batch)
    }

    /// The same where batch 0 begins after the first `dealt` positions of the epoch's order,
    /// as [`Sampler::after`](crate::Sampler::after) says.
    pub fn rest_of_epoch(
        &self,
        epoch: u64,
        dealt: u64,
        first_batch: u64,
    ) -> impl Iterator<Item = Result<PairBatch, Error>> + use<> {
        self.0.rest_of_epoch(epoch, dealt, first_batch)
    }

    /// The images of all batches.
    pub fn faces(&self) -> &Faces {
        self.0.faces()
    }
}

/// Who the target of a pair is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The source image itself.
    SameImage,
    /// Another image of the source's person (the source itself where there is no other).
    SamePerson,
    /// Another person.
    Different,
}

/// One (source, target) pair of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairItem {
    /// Place in the epoch's global order; no other item of the epoch, on any rank, has it.
    pub position: u64,
    /// The source image, a place in [`Index::images`].
    pub source: usize,
    /// The target image, a place in [`Index::images`].
    pub target: usize,
    /// What the target is to the source.
    pub relation: Relation,
    /// A pure function of (run seed, epoch, position): what all per-image randomness of a
    /// training step should be drawn from, so that it does not depend on the rank.
    pub seed: u64,
}

/// A pair with its pixels.
pub(crate) struct Loaded {
    pub(crate) item: PairItem,
    pub(crate) source: Planes,
    pub(crate) target: Planes,
}

/// Draws and reads pairs; shared by the loading threads.
pub(crate) struct Pairs {
    faces: Arc<Faces>,
    config: PairConfig,
}

impl Items for Pairs {
    type Item = PairItem;
    type Loaded = Loaded;
    type Batch = PairBatch;

    fn faces(&self) -> &Faces {
        &self.faces
    }

    fn count(&self) -> usize {
        self.index().images().len()
    }

    /// The pair whose source is `source`, as drawn, before anything is read.
    ///
    /// With probability `same_share` the target is the source itself, with probability
    /// `own_share` uniform over the other images of the source's person, else over all images of
    /// all *other people* (so a person with many images is drawn more often).
    fn draw(&self, epoch: u64, position: u64, source: usize) -> PairItem {
        let words = [self.config.seed, epoch, position];
        let seed = mix(Use::Item, &words);
        let share = unit(mix(Use::Same, &words));
        let relation = if share < self.config.same_share {
            Relation::SameImage
        } else if share < self.config.same_share + self.config.own_share {
            Relation::SamePerson
        } else {
            Relation::Different
        };
        let own = self.person_images(source);
        let bits = mix(Use::Target, &words);
        // What is not to be drawn is a gap in the numbering of the rest.
        let target = match relation {
            Relation::SamePerson if own.len() > 1 => {
                let drawn = own.start + below(bits, own.len() - 1);
                drawn + usize::from(drawn >= source)
            }
            Relation::SameImage | Relation::SamePerson => source,
            Relation::Different => {
                let drawn = below(bits, self.index().images().len() - own.len());
                if drawn < own.start { drawn } else { drawn + own.len() }
            }
        };
        PairItem { position, source, target, relation, seed }
    }

    /// Reads a drawn pair, at the configured size.
    ///
    /// An image that cannot be used is replaced by the next readable one of the same person
    /// (in index order, wrapping round), and if there is none by the next readable one of
    /// the following people (wrapping round; for a target that is another person without the
    /// source's person).
    /// That depends on the files alone, so all ranks and all runs agree. The returned item
    /// names the images used.
    ///
    /// # Errors
    /// [`Error::NothingLeft`] when no two people have a readable image any more;
    /// [`Error::TooManyBad`] when more cannot be used than are borne; others of
    /// [`Faces::read`].
    fn load(&self, drawn: PairItem) -> Result<Loaded, Error> {
        let (source, mut source_pixels) = self.first_readable(drawn.source, None)?;
        self.arrange(&mut source_pixels, mix(Use::FlipSource, &[drawn.seed]));
        let unlike = match drawn.relation {
            Relation::SameImage => {
                let item = PairItem { source, target: source, ..drawn };
                return Ok(Loaded { item, target: source_pixels.clone(), source: source_pixels });
            }
            Relation::SamePerson => None,
            Relation::Different => Some(source),
        };
        let (target, mut target_pixels) = self.first_readable(drawn.target, unlike)?;
        self.arrange(&mut target_pixels, mix(Use::FlipTarget, &[drawn.seed]));
        let item = PairItem { source, target, ..drawn };
        Ok(Loaded { item, source: source_pixels, target: target_pixels })
    }

    fn batch(&self, loaded: Vec<Loaded>) -> Result<PairBatch, Error> {
        let items: Vec<PairItem> = loaded.iter().map(|pair| pair.item).collect();
        let images = self.index().images();
        let name = |item: &PairItem| {
            format!("{} and {}", images[item.source].path, images[item.target].path)
        };
        let names = items.iter().map(name).collect();
        let (source, target): (Vec<_>, Vec<_>) =
            loaded.into_iter().map(|pair| (pair.source, pair.target)).unzip();
        Ok(PairBatch { source: stack(&source)?, target: stack(&target)?, items, names })
    }
}

impl Pairs {
    fn index(&self) -> &Index {
        self.faces.index()
    }

    /// The first readable image in the order of replacement, with its pixels.
    fn first_readable(
        &self,
        wanted: usize,
        unlike: Option<usize>,
    ) -> Result<(usize, Planes), Error> {
        let images = self.index().images();
        let own = self.person_images(wanted);
        let barred = unlike.map(|image| images[image].person);
        let same_person = (wanted..own.end).chain(own.start..wanted);
        let other_people = (own.end..images.len()).chain(0..own.start);
        let candidates = same_person.chain(other_people);
        for image in candidates.filter(|&image| Some(images[image].person) != barred) {
            if let Some(pixels) = read(&self.faces, image)? {
                return Ok((image, pixels));
            }
        }
        Err(self.faces.bad().nothing_left())
    }

    fn arrange(&self, image: &mut Planes, bits: u64) {
        arrange(image, self.config.flip && bits & 1 == 1, self.config.bgr);
    }

    fn person_images(&self, image: usize) -> std::ops::Range<usize> {
        self.index().people()[self.index().images()[image].person].images.clone()
    }
}

/// The pixels of an image, or none if it cannot be used.
pub(crate) fn read(faces: &Faces, image: usize) -> Result<Option<Planes>, Error> {
    let _range = c10d::torch::range(c"decode");
    match faces.read(image) {
        Ok(pixels) => Ok(Some(pixels)),
        Err(Error::Image { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Mirrors an image and puts its channels in order, as asked.
pub(crate) fn arrange(image: &mut Planes, flip: bool, bgr: bool) {
    if flip {
        image.flip();
    }
    if bgr {
        image.swap_channels();
    }
}
