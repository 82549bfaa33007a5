//! What protects photos: the model with a mechanism, baselines, somebody else, nothing.

use files::Escape;
use std::cell::OnceCell;

use align::blend::Mask;
use align::obscure::{Area, Obscure};
use anyhow::Context;
use dpp::{Mechanism, Randomness};
use faces::RgbImage;
use faces::similarity::{Similarity, reference_points};
use irc::View;
use serde::Serialize;
use tch::Tensor;

use super::sample::Photo;
use crate::commands::protect::model::{Model, rows};

/// Streams of the seed: noise in what the model sees, and draws of identities and baselines.
const NOISE: u64 = 0x006e_6f69_7365;
const DRAW: u64 = 0x6472_6177;

/// Photos in work, and what the model sees in them.
pub(super) struct Batch<'a> {
    pub(super) photos: Vec<&'a Photo>,
    /// Aligned crops.
    pub(super) images: Vec<RgbImage>,
    /// One for each photo; the same whatever protects it.
    pub(super) seeds: Vec<u64>,
    view: OnceCell<View>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(photos: Vec<&'a Photo>, images: Vec<RgbImage>, seeds: Vec<u64>) -> Self {
        Self { photos, images, seeds, view: OnceCell::new() }
    }

    /// What the model sees, whoever asks first.
    fn view(&self, model: &Model) -> anyhow::Result<&View> {
        if let Some(view) = self.view.get() {
            return Ok(view);
        }
        let seeds = self.seeds.iter().map(|&seed| train::mix(seed, NOISE)).collect();
        let images: Vec<&RgbImage> = self.images.iter().collect();
        let view = model.protector.see(&model.tensor(&images)?, seeds)?;
        Ok(self.view.get_or_init(|| view))
    }
}

/// What reports say of a protection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Card {
    pub(super) name: String,
    pub(super) kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mechanism: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) epsilon: Option<f64>,
    /// What it guarantees, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) claim: Option<String>,
}

/// Kinds of protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// None: what attackers can do without it.
    Original,
    /// The model with the photo's own identity: what is lost by painting alone.
    OwnIdentity,
    /// The model with an identity that a mechanism drew.
    Model,
    /// Blur and its like.
    Baseline,
    /// Photos that were protected before.
    Folder,
}

impl Card {
    fn new(name: impl Into<String>, kind: Kind) -> Card {
        Card { name: name.into(), kind, mechanism: None, epsilon: None, claim: None }
    }
}

/// Protected photos.
pub(super) struct Painted {
    pub(super) images: Vec<RgbImage>,
    /// The identities that the model was told to paint, of unit length.
    pub(super) identities: Option<Vec<Vec<f32>>>,
}

/// Something that makes protected photos out of originals. Another way to protect is another
/// value of this kind.
pub(super) trait Protection {
    fn card(&self) -> &Card;

    /// # Errors
    ///
    /// libtorch refuses; a file that cannot be read.
    fn protect(&self, batch: &Batch<'_>) -> anyhow::Result<Painted>;
}

/// Does nothing.
pub(super) struct Original(Card);

impl Original {
    pub(super) fn new() -> Self {
        Self(Card::new("original", Kind::Original))
    }
}

impl Protection for Original {
    fn card(&self) -> &Card {
        &self.0
    }

    fn protect(&self, batch: &Batch<'_>) -> anyhow::Result<Painted> {
        Ok(Painted { images: batch.images.clone(), identities: None })
    }
}

/// The model, with identities drawn by a mechanism or, without one, the photos' own.
pub(super) struct Repaint<'a> {
    card: Card,
    model: &'a Model,
    mechanism: Option<Box<dyn Mechanism>>,
}

impl<'a> Repaint<'a> {
    pub(super) fn own(model: &'a Model) -> Self {
        Self { card: Card::new("own identity", Kind::OwnIdentity), model, mechanism: None }
    }

    /// With a mechanism that was built for `epsilon`.
    pub(super) fn drawn(model: &'a Model, mechanism: Box<dyn Mechanism>, epsilon: f64) -> Self {
        let name = mechanism.name();
        let titled = if epsilon > 0.0 { format!("{name} ε={epsilon}") } else { name.clone() };
        let card = Card {
            mechanism: Some(name),
            epsilon: Some(epsilon),
            claim: Some(mechanism.claim()),
            ..Card::new(titled, Kind::Model)
        };
        Self { card, model, mechanism: Some(mechanism) }
    }
}

impl Protection for Repaint<'_> {
    fn card(&self) -> &Card {
        &self.card
    }

    fn protect(&self, batch: &Batch<'_>) -> anyhow::Result<Painted> {
        let view = batch.view(self.model)?;
        let mut identities = rows(&view.identity)?;
        if let Some(mechanism) = &self.mechanism {
            for (identity, &seed) in identities.iter_mut().zip(&batch.seeds) {
                let mut rng = Randomness::seeded(train::mix(seed, DRAW)).generator()?;
                *identity = mechanism.perturb(identity, &mut rng)?;
            }
        }
        let given: Vec<Tensor> = identities.iter().map(|row| Tensor::from_slice(row)).collect();
        let painted = self.model.protector.paint(view, &Tensor::f_stack(&given, 0)?)?;
        Ok(Painted { images: self.model.images(&painted)?, identities: Some(identities) })
    }
}

/// Covers the face.
pub(super) struct Cover {
    card: Card,
    /// By the width of the covered area in pixels.
    obscure: Box<dyn Fn(u32) -> Obscure>,
}

impl Cover {
    pub(super) fn new(obscure: impl Fn(u32) -> Obscure + 'static, epsilon: Option<f64>) -> Self {
        let one = obscure(512);
        let name = one.name().to_owned();
        let titled = epsilon.map_or_else(|| name.clone(), |e| format!("{name} ε={e}"));
        let card = Card { epsilon, claim: Some(one.claim()), ..Card::new(titled, Kind::Baseline) };
        Self { card, obscure: Box::new(obscure) }
    }
}

impl Protection for Cover {
    fn card(&self) -> &Card {
        &self.card
    }

    fn protect(&self, batch: &Batch<'_>) -> anyhow::Result<Painted> {
        let mut images = batch.images.clone();
        for (image, &seed) in images.iter_mut().zip(&batch.seeds) {
            let area = face_area(image.width())?;
            let mut rng = Randomness::seeded(train::mix(seed, DRAW)).generator()?;
            (self.obscure)(area.width).apply(image, area, &mut rng)?;
        }
        Ok(Painted { images, identities: None })
    }
}

/// What is covered of an aligned crop: what would be covered of the photo it was cut from.
fn face_area(side: u32) -> anyhow::Result<Area> {
    let points = reference_points(side);
    let same = Similarity::estimate(&points, &points).context("a crop without pixels")?;
    Ok(Area::around(&Mask::default(), &same, side))
}

/// Photos that somebody protected.
pub(super) struct Given(Card);

impl Given {
    pub(super) fn new() -> Self {
        Self(Card::new("protected", Kind::Folder))
    }
}

impl Protection for Given {
    fn card(&self) -> &Card {
        &self.0
    }

    fn protect(&self, batch: &Batch<'_>) -> anyhow::Result<Painted> {
        let both = batch.photos.iter().zip(&batch.images);
        let images = both.map(|(photo, original)| {
            let path = photo.protected.as_deref().context("a photo without a counterpart")?;
            let picture = photo.crop(path, original.width())?;
            let (side, other) = (original.width(), picture.width());
            anyhow::ensure!(
                side == other,
                "{} has {other} × {other} pixels, its original {side} × {side}: protect photos at \
                 their size",
                path.escaped()
            );
            Ok(picture)
        });
        Ok(Painted { images: images.collect::<anyhow::Result<_>>()?, identities: None })
    }
}
