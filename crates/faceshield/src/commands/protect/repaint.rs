//! The trained model on crops: seen, given another identity, painted.

use std::path::Path;

use align::blend;
use dpp::{Mechanism, Prototypes, Randomness, Release};
use faces::RgbImage;
use rand::Rng;
use tch::{Device, Tensor};

use super::args::Identities;
use super::model::{Model, rows};
use crate::commands::prototypes;
use crate::failure::misuse;

/// Seed of the random public identities: part of what a release means, so it never changes.
const IDENTITIES_SEED: u64 = 0x00fa_ce5e_11d0;

/// What `choice` means to `model`, and which identities these are.
///
/// # Errors
///
/// None or too many; a file that cannot be read or is another model's.
pub(crate) fn public_identities(
    choice: &Identities,
    model: &Model,
) -> anyhow::Result<(Prototypes, String)> {
    match choice {
        Identities::Random(count) => {
            let random = Prototypes::random(*count, model.dims, IDENTITIES_SEED);
            Ok((random.map_err(|error| misuse(error.to_string()))?, format!("{count} random")))
        }
        Identities::File(path) => prototypes::read(path, model),
    }
}

/// A model and a mechanism.
pub(super) struct Repainter {
    model: Model,
    mechanism: Box<dyn Mechanism>,
    batch: usize,
    pub(super) blend: blend::Method,
    /// Which model and identities these are, whatever their files are called.
    pub(super) stamp: String,
}

/// A crop with another identity.
pub(super) struct Repainted {
    pub(super) crop: RgbImage,
    pub(super) release: Release,
    /// What the model recognised in the face before: a unit vector.
    pub(super) before: Vec<f32>,
}

/// What a user chooses.
pub(super) struct Choice<'a> {
    pub(super) checkpoint: &'a Path,
    pub(super) mechanism: dpp::Kind,
    pub(super) epsilon: Option<f64>,
    pub(super) identities: &'a Identities,
    pub(super) batch: usize,
    pub(super) blend: blend::Method,
}

impl Repainter {
    /// # Errors
    ///
    /// An ε that is missing or out of range; no checkpoint of stage II, a damaged one.
    pub(super) fn load(choice: &Choice<'_>, device: Device) -> anyhow::Result<Self> {
        let mechanism = choice.mechanism;
        let epsilon = match (mechanism, choice.epsilon) {
            (_, Some(epsilon)) => epsilon,
            // Its ε is 0 whatever is asked for.
            (dpp::Kind::Independent, None) => 1.0,
            (_, None) => {
                return Err(misuse(format!(
                    "--mechanism {mechanism} needs --epsilon E (docs/privacy.md says what it \
                     means); --mechanism independent needs none, and keeps nothing of the identity"
                )));
            }
        };
        let model = Model::load(choice.checkpoint, device)?;
        let (identities, what) = public_identities(choice.identities, &model)?;
        let built = mechanism.build(epsilon, model.dims, Some(&identities));
        let built = built.map_err(|error| misuse(error.to_string()))?;
        tracing::info!("painting with {}", model.found.display());
        Ok(Self {
            stamp: format!("{} {what}", model.stamp),
            model,
            mechanism: built,
            batch: choice.batch,
            blend: choice.blend,
        })
    }

    /// Side of the crops that it paints, in pixels.
    pub(super) fn side(&self) -> u32 {
        self.model.side
    }

    pub(super) fn mechanism(&self) -> &dyn Mechanism {
        &*self.mechanism
    }

    /// Gives every face an identity of its own draw.
    ///
    /// # Errors
    ///
    /// The operating system gives no random numbers; libtorch refuses.
    pub(super) fn repaint(
        &self,
        crops: &[&RgbImage],
        randomness: &mut Randomness,
    ) -> anyhow::Result<Vec<Repainted>> {
        let mut painted = Vec::with_capacity(crops.len());
        // As secret as the draws: whoever knew it could tell what the noise hides.
        let mut noise = randomness.generator()?;
        for crops in crops.chunks(self.batch) {
            let seeds = crops.iter().map(|_| noise.next_u64()).collect();
            let view = self.model.protector.see(&self.model.tensor(crops)?, seeds)?;
            let before = rows(&view.embedding)?;
            let releases = rows(&view.identity)?
                .iter()
                .map(|v| Release::draw(&self.mechanism, v, randomness))
                .collect::<Result<Vec<_>, _>>()?;
            let drawn: Vec<Tensor> =
                releases.iter().map(|release| Tensor::from_slice(release.vector())).collect();
            let faces = self.model.protector.paint(&view, &Tensor::f_stack(&drawn, 0)?)?;
            let all = self.model.images(&faces)?.into_iter().zip(releases).zip(before);
            let one = |((crop, release), before)| Repainted { crop, release, before };
            painted.extend(all.map(one));
        }
        Ok(painted)
    }

    /// What the model recognises in crops: one unit vector each.
    pub(super) fn embed(&self, crops: &[&RgbImage]) -> anyhow::Result<Vec<Vec<f32>>> {
        self.model.embed(crops, self.batch)
    }
}
