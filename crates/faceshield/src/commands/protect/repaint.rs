//! The trained model on crops: seen, given another identity, painted.

use std::path::{Path, PathBuf};

use anyhow::Context;
use dpp::{Mechanism, Prototypes, Randomness, Release};
use encoder::ModelConfig;
use faces::{Planes, RgbImage};
use irc::Protector;
use tch::{Device, Kind, Tensor};
use train::checkpoint;

use crate::failure::misuse;

/// Seed of the public prototypes: part of what a release means, so it never changes.
const PROTOTYPES_SEED: u64 = 0x00fa_ce5e_11d0;

/// A stage II checkpoint and a mechanism.
pub(super) struct Repainter {
    protector: Protector,
    mechanism: Box<dyn Mechanism>,
    randomness: Randomness,
    bgr: bool,
    side: u32,
    batch: usize,
    /// For the noise in place of what is left out of a face's perception.
    noise: u64,
    pub(super) found: PathBuf,
}

/// A crop with another identity.
pub(super) struct Repainted {
    pub(super) crop: RgbImage,
    pub(super) release: Release,
}

/// What a user chooses.
pub(super) struct Choice<'a> {
    pub(super) checkpoint: &'a Path,
    pub(super) mechanism: dpp::Kind,
    pub(super) epsilon: Option<f64>,
    pub(super) prototypes: usize,
    pub(super) seed: Option<u64>,
    pub(super) batch: usize,
}

impl Repainter {
    /// # Errors
    ///
    /// No checkpoint of stage II, a damaged one; an ε that is missing or out of range.
    pub(super) fn load(choice: &Choice<'_>, device: Device) -> anyhow::Result<Self> {
        let found = checkpoint::find(choice.checkpoint, "irc")?;
        let configuration = toml::Value::Table(found.manifest().configuration.clone());
        let model: ModelConfig = configuration
            .clone()
            .try_into()
            .with_context(|| format!("the configuration in {}", found.path().display()))?;
        model.validate()?;
        let bgr = configuration.get("channels").and_then(|value| value.as_str()) == Some("bgr");
        let file = found.path().join(checkpoint::MODEL);
        let protector = Protector::from_state(&found.model()?, &model, &file, device)?;
        let dims = usize::try_from(model.embedding()).unwrap_or(0);
        let epsilon = match (choice.mechanism, choice.epsilon) {
            (_, Some(epsilon)) => epsilon,
            // Its ε is 0 whatever is asked for.
            (dpp::Kind::Independent, None) => 1.0,
            (mechanism, None) => {
                return Err(misuse(format!(
                    "--mechanism {mechanism} needs --epsilon E: the smaller, the less of the \
                     identity is kept"
                )));
            }
        };
        let wrong = |error: dpp::Error| misuse(error.to_string());
        let prototypes =
            Prototypes::random(choice.prototypes, dims, PROTOTYPES_SEED).map_err(wrong)?;
        let mechanism = choice.mechanism.build(epsilon, dims, Some(&prototypes)).map_err(wrong)?;
        Ok(Self {
            protector,
            mechanism,
            randomness: choice.seed.map_or_else(Randomness::system, Randomness::seeded),
            bgr,
            side: u32::try_from(model.image_size)?,
            batch: choice.batch.max(1),
            noise: choice.seed.unwrap_or_else(rand_seed),
            found: found.path().to_path_buf(),
        })
    }

    /// Side of the crops that it paints, in pixels.
    pub(super) fn side(&self) -> u32 {
        self.side
    }

    pub(super) fn mechanism(&self) -> &dyn Mechanism {
        &*self.mechanism
    }

    /// Gives every face an identity of its own draw.
    ///
    /// # Errors
    ///
    /// The operating system gives no random numbers; libtorch refuses.
    pub(super) fn repaint(&mut self, crops: &[RgbImage]) -> anyhow::Result<Vec<Repainted>> {
        let mut painted = Vec::with_capacity(crops.len());
        for crops in crops.chunks(self.batch) {
            let seeds = (0..crops.len() as u64).map(|k| train::mix(self.noise, 1 + k)).collect();
            self.noise = train::mix(self.noise, 0);
            let view = self.protector.see(&self.tensor(crops)?, seeds)?;
            let identities = rows(&view.identity)?;
            let releases = identities
                .iter()
                .map(|v| Release::draw(&self.mechanism, v, &mut self.randomness))
                .collect::<Result<Vec<_>, _>>()?;
            let drawn: Vec<Tensor> =
                releases.iter().map(|release| Tensor::from_slice(release.vector())).collect();
            let faces = self.protector.paint(&view, &Tensor::f_stack(&drawn, 0)?)?;
            let crops = self.images(&faces)?.into_iter();
            painted.extend(crops.zip(releases).map(|(crop, release)| Repainted { crop, release }));
        }
        Ok(painted)
    }

    /// What the model recognises in crops: one unit vector each.
    pub(super) fn embed(&self, crops: &[RgbImage]) -> anyhow::Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(crops.len());
        for crops in crops.chunks(self.batch) {
            all.extend(rows(&self.protector.embed(&self.tensor(crops)?))?);
        }
        Ok(all)
    }

    fn tensor(&self, crops: &[RgbImage]) -> anyhow::Result<Tensor> {
        let planes: Vec<Planes> = crops.iter().map(Planes::from_image).collect();
        Ok(faces::to_tensor(&planes, self.bgr)?)
    }

    /// [B, 3, S, S] in [−1, 1] → pictures.
    fn images(&self, faces: &Tensor) -> anyhow::Result<Vec<RgbImage>> {
        let faces = if self.bgr { faces.f_flip([1])? } else { faces.shallow_clone() };
        let bytes = ((faces.f_to_kind(Kind::Float)?.f_add_scalar(1.0)?) * 127.5)
            .f_round()?
            .f_clamp(0.0, 255.0)?
            .f_permute([0, 2, 3, 1])?
            .f_to_kind(Kind::Uint8)?
            .f_to_device(Device::Cpu)?;
        let one = |face: Tensor| -> anyhow::Result<RgbImage> {
            let pixels: Vec<u8> = Vec::try_from(face.f_reshape([-1])?)?;
            RgbImage::from_raw(self.side, self.side, pixels).context("a face of another size")
        };
        (0..faces.size()[0]).map(|row| one(bytes.get(row))).collect()
    }
}

fn rows(vectors: &Tensor) -> anyhow::Result<Vec<Vec<f32>>> {
    let vectors = vectors.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?;
    (0..vectors.size()[0]).map(|row| Ok(Vec::try_from(vectors.get(row))?)).collect()
}

/// Nobody else's: whoever knew it could tell what the noise hides.
fn rand_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
