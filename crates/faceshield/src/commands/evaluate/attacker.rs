//! Who tries to recognise people in protected photos.

use encoder::Encoder;
use faces::{Planes, RgbImage};
use image::imageops::{self, FilterType};
use tch::{Device, Tensor};

use crate::commands::protect::model::{Model, rows};
use crate::options::Channels;
use crate::training::recogniser::Exported;

/// Something that turns a face into numbers whose cosines say who is who. Another attack is
/// another value of this kind: everything that is measured is measured with each.
pub(super) trait Attacker {
    /// What reports call it.
    fn name(&self) -> &str;

    /// One row a picture, all equally long, of any length but 0.
    ///
    /// # Errors
    ///
    /// libtorch refuses.
    fn embed(&self, pictures: &[&RgbImage]) -> anyhow::Result<Vec<Vec<f32>>>;
}

/// An IR-SE recogniser.
pub(super) struct Recogniser<'a> {
    name: String,
    encoder: &'a Encoder,
    side: u32,
    bgr: bool,
    device: Device,
}

impl<'a> Recogniser<'a> {
    /// The one that the model is built on.
    pub(super) fn of_model(name: &str, model: &'a Model, device: Device) -> Self {
        let encoder = model.protector.extractor().encoder();
        Self { name: name.to_owned(), encoder, side: model.side, bgr: model.bgr, device }
    }

    /// One that was trained by itself.
    pub(super) fn exported(name: &str, found: &'a Exported, device: Device) -> Self {
        let side = found.config.image_size as u32;
        let bgr = found.channels == Channels::Bgr;
        Self { name: name.to_owned(), encoder: &found.encoder, side, bgr, device }
    }

    fn tensor(&self, pictures: &[&RgbImage]) -> anyhow::Result<Tensor> {
        let planes: Vec<Planes> = pictures.iter().map(|p| self.planes(p)).collect();
        Ok(faces::to_tensor(&planes, self.bgr)?.f_to_device(self.device)?)
    }

    fn planes(&self, picture: &RgbImage) -> Planes {
        if picture.dimensions() == (self.side, self.side) {
            return Planes::from_image(picture);
        }
        Planes::from_image(&imageops::resize(picture, self.side, self.side, FilterType::Triangle))
    }
}

impl Attacker for Recogniser<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn embed(&self, pictures: &[&RgbImage]) -> anyhow::Result<Vec<Vec<f32>>> {
        let _guard = tch::no_grad_guard();
        rows(&self.encoder.embed(&self.tensor(pictures)?))
    }
}
