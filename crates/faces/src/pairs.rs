//! Who is paired with whom, and who stands in for an image that cannot be read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use image::RgbImage;

use crate::random::{Use, below, mix, unit};
use crate::tensor::swap_channels;
use crate::{BadFile, Error, Index, PairConfig, picture};

/// One (source, target) pair of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairItem {
    /// Place in the epoch's global order; no other item of the epoch, on any rank, has it.
    pub position: u64,
    /// The source image, a place in [`Index::images`].
    pub source: usize,
    /// The target image, a place in [`Index::images`]: another person's, or the source.
    pub target: usize,
    /// Whether the target is the source image itself.
    pub same: bool,
    /// A pure function of (run seed, epoch, position): what all per-image randomness of a
    /// training step should be drawn from, so that it does not depend on the rank.
    pub seed: u64,
}

/// A pair with its pixels.
pub(crate) struct Loaded {
    pub(crate) item: PairItem,
    pub(crate) source: RgbImage,
    pub(crate) target: RgbImage,
}

/// Draws and reads pairs; shared by the loading threads.
pub(crate) struct Pairs {
    pub(crate) index: Arc<Index>,
    config: PairConfig,
    /// Images that failed after indexing, and why. Only spares asking again: whether an
    /// image is readable does not change, so nothing depends on what is in here.
    bad: Mutex<BTreeMap<usize, String>>,
}

impl Pairs {
    pub(crate) fn new(index: Arc<Index>, config: PairConfig) -> Pairs {
        Pairs { index, config, bad: Mutex::new(BTreeMap::new()) }
    }

    /// The pair whose source is `source`, as drawn, before anything is read.
    ///
    /// The target is uniform over all images of all *other people* (so a person with many
    /// images is drawn more often), or, with probability `same_share`, the source itself.
    pub(crate) fn draw(&self, epoch: u64, position: u64, source: usize) -> PairItem {
        let words = [self.config.seed, epoch, position];
        let seed = mix(Use::Item, &words);
        let same = unit(mix(Use::Same, &words)) < self.config.same_share;
        let own = self.person_images(source);
        let others = self.index.images().len() - own.len();
        let drawn = below(mix(Use::Target, &words), others);
        // The source's person is a gap in the numbering of the others.
        let other = if drawn < own.start { drawn } else { drawn + own.len() };
        PairItem { position, source, target: if same { source } else { other }, same, seed }
    }

    /// Reads a drawn pair, at the configured size.
    ///
    /// An image that cannot be read is replaced by the next readable one of the same person
    /// (in index order, wrapping round), and if there is none by the next readable one of
    /// the following people (wrapping round; for a target without the source's person).
    /// That depends on the files alone, so all ranks and all runs agree. The returned item
    /// names the images used.
    ///
    /// # Errors
    /// [`Error::NothingLeft`] when no two people have a readable image any more.
    pub(crate) fn load(&self, drawn: PairItem) -> Result<Loaded, Error> {
        let (source, mut source_pixels) =
            self.first_readable(drawn.source, None).ok_or_else(|| self.nothing_left())?;
        self.arrange(&mut source_pixels, Use::FlipSource, drawn.seed);
        if drawn.same {
            let item = PairItem { source, target: source, ..drawn };
            return Ok(Loaded { item, target: source_pixels.clone(), source: source_pixels });
        }
        let (target, mut target_pixels) =
            self.first_readable(drawn.target, Some(source)).ok_or_else(|| self.nothing_left())?;
        self.arrange(&mut target_pixels, Use::FlipTarget, drawn.seed);
        let item = PairItem { source, target, ..drawn };
        Ok(Loaded { item, source: source_pixels, target: target_pixels })
    }

    /// The first readable image in the order of replacement, with its pixels.
    fn first_readable(&self, wanted: usize, unlike: Option<usize>) -> Option<(usize, RgbImage)> {
        let images = self.index.images();
        let own = self.person_images(wanted);
        let barred = unlike.map(|image| images[image].person);
        let same_person = (wanted..own.end).chain(own.start..wanted);
        let other_people = (own.end..images.len()).chain(0..own.start);
        same_person
            .chain(other_people)
            .filter(|&image| Some(images[image].person) != barred)
            .find_map(|image| Some((image, self.read(image)?)))
    }

    fn read(&self, image: usize) -> Option<RgbImage> {
        if self.lock().contains_key(&image) {
            return None;
        }
        let _range = c10d::torch::range(c"decode");
        match picture::read_image(&self.index.path(image)?, self.config.image_size) {
            Ok(pixels) => Some(pixels),
            Err(error) => {
                tracing::warn!("{error}; another image takes its place");
                let reason = match error {
                    Error::Image { reason, .. } => reason,
                    other => other.to_string(),
                };
                self.lock().insert(image, reason);
                None
            }
        }
    }

    /// Mirrors half of the images and puts the channels in order, as configured.
    fn arrange(&self, image: &mut RgbImage, usage: Use, seed: u64) {
        if self.config.flip && mix(usage, &[seed]) & 1 == 1 {
            image::imageops::flip_horizontal_in_place(image);
        }
        if self.config.bgr {
            swap_channels(image);
        }
    }

    /// Files that failed when indexed or since, sorted by path.
    pub(crate) fn bad_files(&self) -> Vec<BadFile> {
        let images = self.index.images();
        let mut all = self.index.bad().to_vec();
        all.extend(self.lock().iter().map(|(&image, reason)| BadFile {
            path: images[image].path.clone(),
            reason: reason.clone(),
        }));
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    }

    fn nothing_left(&self) -> Error {
        let bad = self.lock();
        let example = bad
            .iter()
            .next()
            .map(|(&image, reason)| format!("{} ({reason})", self.index.images()[image].path));
        Error::NothingLeft {
            root: self.index.root().into(),
            bad: bad.len(),
            example: example.unwrap_or_default(),
        }
    }

    fn person_images(&self, image: usize) -> std::ops::Range<usize> {
        self.index.people()[self.index.images()[image].person].images.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, String>> {
        // A map of finished facts is whole even if a thread died holding it.
        self.bad.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
