//! Who is paired with whom, and who stands in for an image that cannot be read.

use std::sync::Arc;

use crate::random::{Use, below, mix, unit};
use crate::{Error, Faces, Index, PairConfig, Planes};

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

impl Pairs {
    pub(crate) fn new(faces: Arc<Faces>, config: PairConfig) -> Pairs {
        Pairs { faces, config }
    }

    pub(crate) fn faces(&self) -> &Faces {
        &self.faces
    }

    pub(crate) fn index(&self) -> &Index {
        self.faces.index()
    }

    /// The pair whose source is `source`, as drawn, before anything is read.
    ///
    /// With probability `same_share` the target is the source itself, with probability
    /// `own_share` uniform over the other images of the source's person, else over all images of
    /// all *other people* (so a person with many images is drawn more often).
    pub(crate) fn draw(&self, epoch: u64, position: u64, source: usize) -> PairItem {
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
    pub(crate) fn load(&self, drawn: PairItem) -> Result<Loaded, Error> {
        let (source, mut source_pixels) = self.first_readable(drawn.source, None)?;
        self.arrange(&mut source_pixels, Use::FlipSource, drawn.seed);
        let unlike = match drawn.relation {
            Relation::SameImage => {
                let item = PairItem { source, target: source, ..drawn };
                return Ok(Loaded { item, target: source_pixels.clone(), source: source_pixels });
            }
            Relation::SamePerson => None,
            Relation::Different => Some(source),
        };
        let (target, mut target_pixels) = self.first_readable(drawn.target, unlike)?;
        self.arrange(&mut target_pixels, Use::FlipTarget, drawn.seed);
        let item = PairItem { source, target, ..drawn };
        Ok(Loaded { item, source: source_pixels, target: target_pixels })
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
            if let Some(pixels) = self.read(image)? {
                return Ok((image, pixels));
            }
        }
        Err(self.faces.bad().nothing_left())
    }

    /// The pixels of an image, or none if it cannot be used.
    fn read(&self, image: usize) -> Result<Option<Planes>, Error> {
        let _range = c10d::torch::range(c"decode");
        match self.faces.read(image) {
            Ok(pixels) => Ok(Some(pixels)),
            Err(Error::Image { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Mirrors half of the images and puts the channels in order, as configured.
    fn arrange(&self, image: &mut Planes, usage: Use, seed: u64) {
        if self.config.flip && mix(usage, &[seed]) & 1 == 1 {
            image.flip();
        }
        if self.config.bgr {
            image.swap_channels();
        }
    }

    fn person_images(&self, image: usize) -> std::ops::Range<usize> {
        self.index().people()[self.index().images()[image].person].images.clone()
    }
}
