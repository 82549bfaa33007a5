use encoder::{FrozenEncoder, ModelConfig, READOUT_LAYERS, Stats};
use tch::{Device, Kind, Tensor, nn};
use weights::{Tensors, select};

use crate::{Error, Separation, separated_identity};

/// The whole feature separation extractor: frozen encoder, layer statistics and
/// separation layers. What a stage I checkpoint holds, and stage II works with.
#[derive(Debug)]
pub struct Extractor {
    encoder: FrozenEncoder,
    separation: Separation,
    store: nn::VarStore,
}

impl Extractor {
    /// Fresh separation layers, the same ones for the same seed.
    pub fn new(
        config: &ModelConfig,
        encoder: FrozenEncoder,
        stats: &Stats,
        initial_alpha: f64,
        seed: u64,
        device: Device,
    ) -> Self {
        tch::manual_seed(seed as i64);
        let store = nn::VarStore::new(device);
        let stats = stats.to_device(device);
        let separation = Separation::new(&(store.root() / "se"), config, stats, initial_alpha);
        Extractor { encoder, separation, store }
    }

    /// The one that a checkpoint's tensors hold, none of it trainable; `what` names the
    /// checkpoint's model file in errors.
    ///
    /// # Errors
    /// When a name is missing or a shape is not this model's.
    pub fn from_state(
        state: &Tensors,
        config: &ModelConfig,
        what: &std::path::Path,
        device: Device,
    ) -> Result<Self, Error> {
        let name = what.display().to_string();
        let stats = Stats::from_state(&select(state, "stats"), config, what)?;
        let mut encoder = FrozenEncoder::random(config, 0, device);
        encoder.fill(&select(state, "encoder"), &name)?;
        let mut extractor = Extractor::new(config, encoder, &stats, 0.0, 0, device);
        let layers: Tensors = state
            .iter()
            .filter(|(name, _)| name.starts_with("se."))
            .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
            .collect();
        weights::load_strict(&extractor.layers(), &layers, &name)?;
        extractor.store.freeze();
        Ok(extractor)
    }

    /// Tensors of the separation layers alone, `se.iba_{i}.…`.
    pub fn layers(&self) -> Tensors {
        self.store.variables().into_iter().collect()
    }

    /// Parameters that stage I trains, by name.
    pub fn trainable(&self) -> Vec<(String, Tensor)> {
        let parameter = |(name, _): &(String, Tensor)| !name.contains(".gaussin.");
        self.layers().into_iter().filter(parameter).collect()
    }

    /// Everything: `se.*`, `encoder.*` and `stats.*`.
    pub fn state(&self) -> Tensors {
        let mut state = self.layers();
        let mut add = |prefix: &str, tensors: Tensors| {
            state.extend(tensors.into_iter().map(|(name, t)| (format!("{prefix}.{name}"), t)));
        };
        add("encoder", self.encoder.state());
        add("stats", self.separation.stats().state());
        state
    }

    /// The identity encoder.
    pub fn encoder(&self) -> &FrozenEncoder {
        &self.encoder
    }

    /// The separation layers.
    pub fn separation(&self) -> &Separation {
        &self.separation
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.store.device()
    }

    /// What it computes with: the dtype of its weights.
    pub fn kind(&self) -> Kind {
        self.separation.kind()
    }

    /// Features 0…10 of images [B, 3, S, S].
    pub fn features(&self, images: &Tensor) -> Vec<Tensor> {
        self.encoder.features(images, READOUT_LAYERS - 1)
    }

    /// E(X) from the features of X: [B, 512], unit length.
    pub fn identity(&self, features: &[Tensor]) -> Tensor {
        self.encoder.from_feature(&features[READOUT_LAYERS - 1], READOUT_LAYERS - 1)
    }

    /// z_id from the identity parts: [B, 512], not of unit length.
    pub fn separated(&self, z: &[Tensor]) -> Tensor {
        separated_identity(&self.encoder, z)
    }
}

/// The first and the second half of each tensor's batch: sources and targets.
pub fn halves(tensors: &[Tensor]) -> (Vec<Tensor>, Vec<Tensor>) {
    let half = |t: &Tensor| {
        let pairs = t.size()[0] / 2;
        (t.narrow(0, 0, pairs), t.narrow(0, pairs, pairs))
    };
    tensors.iter().map(half).unzip()
}
