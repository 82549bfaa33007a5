//! Batches of single images with the numbers of their people, for training by classification.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::loader::{Dealing, Items, Loader};
use crate::pairs::{arrange, read};
use crate::random::{Use, mix};
use crate::tensor::{normalise, stack};
use crate::{Error, Faces, Planes};

/// What a [`FaceLoader`] needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaceConfig {
    /// Images per batch on this rank. An epoch's last, incomplete batch is left out.
    pub batch_size: usize,
    /// Seed of the run: order and per-item seeds follow from it.
    pub seed: u64,
    /// Channels in the order B, G, R.
    pub bgr: bool,
    /// Mirror each image left to right with probability ½.
    pub flip: bool,
    /// Threads that decode; 0 takes half of the cores it may use, from 1 to 8.
    pub workers: usize,
    /// Batches decoded ahead, at least 1.
    pub prefetch: usize,
}

impl Default for FaceConfig {
    fn default() -> Self {
        FaceConfig { batch_size: 64, seed: 0, bgr: false, flip: true, workers: 0, prefetch: 4 }
    }
}

/// One image of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaceItem {
    /// Place in the epoch's global order; no other item of the epoch, on any rank, has it.
    pub position: u64,
    /// The image, a place in [`Index::images`](crate::Index::images).
    pub image: usize,
    /// Its person's place among the people of the loader.
    pub label: usize,
    /// A pure function of (run seed, epoch, position): what all per-image randomness of a
    /// training step should be drawn from, so that it does not depend on the rank.
    pub seed: u64,
}

/// A batch of `B` images; bytes until [`FaceBatch::to_device`].
#[derive(Debug)]
pub struct FaceBatch {
    /// `[B, 3, S, S]`, u8, on the CPU, channels in the network's order.
    pub images: Tensor,
    /// Which images these are, in the same order.
    pub items: Vec<FaceItem>,
    /// Their files, relative to the data set's root.
    pub names: Vec<String>,
}

impl FaceBatch {
    /// The images as the network sees them, and their labels. Nothing is waited for on CUDA.
    ///
    /// # Shapes
    /// `[B, 3, S, S]`, f32, x/127.5 − 1, contiguous; `[B]`, i64; both on `device`.
    ///
    /// # Errors
    /// [`Error::Torch`] when the device is not there or its memory is full.
    pub fn to_device(&self, device: Device) -> Result<(Tensor, Tensor), Error> {
        let labels: Vec<i64> = self.items.iter().map(|item| item.label as i64).collect();
        let labels = Tensor::f_from_slice(&labels)?.f_to_kind(Kind::Int64)?.f_to_device(device)?;
        Ok((normalise(&c10d::torch::upload(&self.images, device)?)?, labels))
    }
}

/// Hands out batches of single images of some of the people, on one rank, decoded ahead by its
/// own threads. Pure in the sense of [`PairLoader`](crate::PairLoader).
pub struct FaceLoader(Loader<Singles>);

impl FaceLoader {
    /// A loader for one of `world_size` ranks over the images of `people` (places in
    /// [`Index::people`](crate::Index::people)); a person's label is its place in that list.
    ///
    /// # Errors
    /// A value of `config` or a person out of range, fewer images than ranks, threads that
    /// cannot be started.
    pub fn new(
        faces: Arc<Faces>,
        people: &[usize],
        config: FaceConfig,
        rank: usize,
        world_size: usize,
    ) -> Result<FaceLoader, Error> {
        let all = faces.index().people();
        let mut images = Vec::new();
        for (label, &person) in people.iter().enumerate() {
            let Some(person) = all.get(person) else {
                let expected = format!("below {}, the number of people", all.len());
                return Err(Error::Option { key: "person", value: person.to_string(), expected });
            };
            images.extend(person.images.clone().map(|image| (image, label)));
        }
        let FaceConfig { batch_size, seed, workers, prefetch, .. } = config;
        let dealing =
            Dealing { batch_size, seed, rank, world_size, drop_last: true, workers, prefetch };
        Ok(FaceLoader(Loader::new(Singles { faces, images, config }, &dealing)?))
    }

    /// Images in an epoch, of all ranks together.
    pub fn images(&self) -> usize {
        self.0.count()
    }

    /// Batches that are left of an epoch when its first `dealt` positions have been dealt out.
    pub fn batches_after(&self, dealt: u64) -> u64 {
        self.0.batches_after(dealt)
    }

    /// The batches of `epoch` from number `first_batch` on, where batch 0 begins after the
    /// first `dealt` positions of the epoch's order. Decoding begins at once; dropping the
    /// iterator cancels what is not yet decoded.
    pub fn rest_of_epoch(
        &self,
        epoch: u64,
        dealt: u64,
        first_batch: u64,
    ) -> impl Iterator<Item = Result<FaceBatch, Error>> + use<> {
        self.0.rest_of_epoch(epoch, dealt, first_batch)
    }

    /// The images of all batches.
    pub fn faces(&self) -> &Faces {
        self.0.faces()
    }
}

/// Draws and reads single images; shared by the loading threads.
pub(crate) struct Singles {
    faces: Arc<Faces>,
    /// The images of the chosen people, each person's together, with their labels.
    images: Vec<(usize, usize)>,
    config: FaceConfig,
}

/// An image with its pixels.
pub(crate) struct Loaded {
    item: FaceItem,
    pixels: Planes,
}

impl Items for Singles {
    /// The item and its place among the loader's images.
    type Item = (FaceItem, usize);
    type Loaded = Loaded;
    type Batch = FaceBatch;

    fn faces(&self) -> &Faces {
        &self.faces
    }

    fn count(&self) -> usize {
        self.images.len()
    }

    fn draw(&self, epoch: u64, position: u64, number: usize) -> (FaceItem, usize) {
        let (image, label) = self.images[number];
        let seed = mix(Use::Item, &[self.config.seed, epoch, position]);
        (FaceItem { position, image, label, seed }, number)
    }

    /// Reads an image; for one that cannot be used the next one that can stands in, of the same
    /// person first, with its own label.
    fn load(&self, (drawn, number): (FaceItem, usize)) -> Result<Loaded, Error> {
        let own = |&place: &usize| self.images[place].1 == drawn.label;
        let all = || (number..self.images.len()).chain(0..number);
        for place in all().filter(own).chain(all().filter(|place| !own(place))) {
            let (image, label) = self.images[place];
            if let Some(mut pixels) = read(&self.faces, image)? {
                let flip = self.config.flip && mix(Use::FlipSource, &[drawn.seed]) & 1 == 1;
                arrange(&mut pixels, flip, self.config.bgr);
                return Ok(Loaded { item: FaceItem { image, label, ..drawn }, pixels });
            }
        }
        Err(self.faces.bad().nothing_left())
    }

    fn batch(&self, loaded: Vec<Loaded>) -> Result<FaceBatch, Error> {
        let items: Vec<FaceItem> = loaded.iter().map(|face| face.item).collect();
        let images = self.faces.index().images();
        let names = items.iter().map(|item| images[item.image].path.clone()).collect();
        let pixels: Vec<Planes> = loaded.into_iter().map(|face| face.pixels).collect();
        Ok(FaceBatch { images: stack(&pixels)?, items, names })
    }
}
