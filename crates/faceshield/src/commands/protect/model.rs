//! A trained model, read from a checkpoint, on pictures instead of tensors.

use std::path::{Path, PathBuf};

use anyhow::Context;
use encoder::ModelConfig;
use faces::{Planes, RgbImage};
use irc::Protector;
use tch::{Device, Kind, Tensor};
use train::checkpoint;

/// A stage II checkpoint at work.
pub(crate) struct Model {
    pub(crate) protector: Protector,
    pub(crate) config: ModelConfig,
    pub(crate) bgr: bool,
    /// Side of the crops that it sees and paints, in pixels.
    pub(crate) side: u32,
    /// Numbers of an identity.
    pub(crate) dims: usize,
    /// The checkpoint's folder.
    pub(crate) found: PathBuf,
    /// Which model it is, whatever its files are called: their sum.
    pub(crate) stamp: String,
}

impl Model {
    /// The model of a checkpoint, or of the newest one in the folder `checkpoint`.
    ///
    /// # Errors
    ///
    /// No checkpoint of stage II, a damaged one.
    pub(crate) fn load(checkpoint: &Path, device: Device) -> anyhow::Result<Self> {
        let found = checkpoint::find(checkpoint, "irc")?;
        let configuration = toml::Value::Table(found.manifest().configuration.clone());
        let config: ModelConfig = configuration
            .clone()
            .try_into()
            .with_context(|| format!("the configuration in {}", found.path().display()))?;
        config.validate()?;
        let file = found.path().join(checkpoint::MODEL);
        let protector = Protector::from_state(&found.model()?, &config, &file, device)?;
        let sum = found.manifest().files.get(checkpoint::MODEL);
        Ok(Self {
            protector,
            config: config.clone(),
            bgr: configuration.get("channels").and_then(|value| value.as_str()) == Some("bgr"),
            side: u32::try_from(config.image_size)?,
            dims: usize::try_from(config.embedding())?,
            found: found.path().to_path_buf(),
            stamp: sum.map(|sum| sum.sha256.clone()).unwrap_or_default(),
        })
    }

    /// What the model recognises in crops, `batch` at a time: one unit vector each.
    pub(crate) fn embed(&self, crops: &[&RgbImage], batch: usize) -> anyhow::Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(crops.len());
        for crops in crops.chunks(batch) {
            all.extend(rows(&self.protector.embed(&self.tensor(crops)?))?);
        }
        Ok(all)
    }

    /// Crops → [B, 3, S, S] in [−1, 1], in the order of channels that the model was trained with.
    pub(crate) fn tensor(&self, crops: &[&RgbImage]) -> anyhow::Result<Tensor> {
        let planes: Vec<Planes> = crops.iter().map(|crop| Planes::from_image(crop)).collect();
        Ok(faces::to_tensor(&planes, self.bgr)?)
    }

    /// The inverse of [`Model::tensor`].
    pub(crate) fn images(&self, faces: &Tensor) -> anyhow::Result<Vec<RgbImage>> {
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

/// The rows of a matrix.
pub(crate) fn rows(vectors: &Tensor) -> anyhow::Result<Vec<Vec<f32>>> {
    let vectors = vectors.f_to_kind(Kind::Float)?.f_to_device(Device::Cpu)?;
    (0..vectors.size()[0]).map(|row| Ok(Vec::try_from(vectors.get(row))?)).collect()
}

/// Cosine of two rows.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1e-12)
}
