use std::path::{Path, PathBuf};

use tch::{Device, nn};
use weights::Tensors;

use crate::{Encoder, Error, ModelConfig};

/// Copies in the published file that no computation uses.
const UNUSED: [&str; 3] = ["batch_norm2d.", "linear.", "batch_norm1d."];

/// Where an encoder's weights come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Read from this file.
    File(PathBuf),
    /// Drawn at random with this seed: it recognises nobody.
    Random(u64),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::File(path) => write!(f, "identity encoder from {}", path.display()),
            Origin::Random(seed) => write!(
                f,
                "the identity encoder is randomly initialised (seed {seed}) and recognises \
                 nobody: train one (`faceshield train encoder`) or set encoder_weights"
            ),
        }
    }
}

/// An [`Encoder`] with its weights, none of which can be trained.
#[derive(Debug)]
pub struct FrozenEncoder {
    encoder: Encoder,
    store: nn::VarStore,
    origin: Origin,
}

impl FrozenEncoder {
    /// Draws the weights at random: the same ones for the same seed.
    pub fn random(config: &ModelConfig, seed: u64, device: Device) -> Self {
        tch::manual_seed(seed as i64);
        let mut store = nn::VarStore::new(device);
        let encoder = Encoder::new(&store.root(), config);
        store.freeze();
        FrozenEncoder { encoder, store, origin: Origin::Random(seed) }
    }

    /// Reads `file`, or draws the weights at random where `file` is empty.
    ///
    /// # Errors
    /// When the file cannot be read or its names or shapes are not those of
    /// this model.
    pub fn load(
        config: &ModelConfig,
        file: &Path,
        seed: u64,
        device: Device,
    ) -> Result<Self, Error> {
        let mut frozen = FrozenEncoder::random(config, seed, device);
        if !file.as_os_str().is_empty() {
            let archive = weights::read(file)?;
            frozen.fill(&archive.tensors, &file.display().to_string())?;
            frozen.origin = Origin::File(file.to_path_buf());
        }
        Ok(frozen)
    }

    /// Takes the weights from those below `encoder.` of a checkpoint's tensors, stage I's or the
    /// recogniser's own; `file` is where these were read.
    ///
    /// # Errors
    /// When names or shapes are not those of this model.
    pub fn from_checkpoint(
        config: &ModelConfig,
        tensors: &Tensors,
        file: &Path,
        device: Device,
    ) -> Result<Self, Error> {
        let mut frozen = FrozenEncoder::random(config, 0, device);
        let own = weights::select(tensors, crate::pretraining::PREFIX);
        frozen.fill(&own, &file.display().to_string())?;
        frozen.origin = Origin::File(file.to_path_buf());
        Ok(frozen)
    }

    /// Takes its weights from named tensors; `what` names them in errors.
    ///
    /// # Errors
    /// When names or shapes differ from this model's.
    pub fn fill(&mut self, tensors: &Tensors, what: &str) -> Result<(), Error> {
        let used: Tensors = tensors
            .iter()
            .filter(|(name, _)| !UNUSED.iter().any(|prefix| name.starts_with(prefix)))
            .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
            .collect();
        weights::load_strict(&self.state(), &used, what)?;
        Ok(())
    }

    /// Every weight under its published name.
    pub fn state(&self) -> Tensors {
        self.store.variables().into_iter().collect()
    }

    /// Where the weights come from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl std::ops::Deref for FrozenEncoder {
    type Target = Encoder;

    fn deref(&self) -> &Encoder {
        &self.encoder
    }
}
