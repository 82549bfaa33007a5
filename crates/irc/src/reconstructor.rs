use std::collections::HashMap;

use c10d::torch::widened;
use encoder::ModelConfig;
use tch::{Device, Tensor, nn};
use train::BoxError;
use weights::Tensors;

use crate::{Decoder, Error, Generator, Mode};

/// Decoder and generator: separated identity and perception → face.
#[derive(Debug)]
pub struct Reconstructor {
    decoder: Decoder,
    generator: Generator,
    store: nn::VarStore,
    /// See [`Generator::forward`].
    recompute_from: i64,
}

impl Reconstructor {
    /// Randomly initialised, the same one for the same seed.
    pub fn new(config: &ModelConfig, seed: u64, device: Device) -> Self {
        tch::manual_seed(seed as i64);
        let store = nn::VarStore::new(device);
        let root = store.root();
        let decoder = Decoder::new(&(&root / "decoder"), config);
        let generator = Generator::new(&(&root / "G"), config);
        Reconstructor { decoder, generator, store, recompute_from: 0 }
    }

    /// The same one, computing again in the backward pass what blocks of the generator with
    /// maps of `side` pixels or more would otherwise keep; 0 keeps all.
    pub fn recomputing_from(self, side: i64) -> Self {
        Reconstructor { recompute_from: side, ..self }
    }

    /// Y = clamp(G(identity, decoder(parts, λ)), −1, 1).
    ///
    /// # Shapes
    /// `identity` [B, 512], `image` [B, 3, S, S], `parts` and `lambdas` as the
    /// features 0…9 → [B, 3, S, S].
    ///
    /// # Errors
    /// When another rank fails while statistics are synchronised.
    pub fn paint(
        &self,
        identity: &Tensor,
        image: &Tensor,
        parts: &[Tensor],
        lambdas: &[Tensor],
        mode: &Mode,
    ) -> Result<Tensor, Error> {
        let attributes = self.decoder.attributes(image, parts, mode)?;
        let lambdas = self.decoder.lambda_maps(lambdas, mode)?;
        let y = self.generator.forward(identity, &attributes, &lambdas, self.recompute_from)?;
        Ok(widened(&y).clamp(-1.0, 1.0))
    }

    /// The decoder.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The generator.
    pub fn generator(&self) -> &Generator {
        &self.generator
    }

    /// `G.*` and `decoder.*`.
    pub fn state(&self) -> Tensors {
        self.store.variables().into_iter().collect()
    }

    /// What stage II trains of it: all but buffers and what nothing uses.
    pub fn trainable(&self) -> Vec<(String, Tensor)> {
        let unused = |name: &str| {
            name.strip_prefix("G.")
                .is_some_and(|rest| crate::generator::UNUSED.iter().any(|u| rest.starts_with(u)))
        };
        parameters(&self.store).into_iter().filter(|(name, _)| !unused(name)).collect()
    }
}

impl fse::Painter for Reconstructor {
    fn paint(
        &self,
        identity: &Tensor,
        image: &Tensor,
        parts: &[Tensor],
        lambdas: &[Tensor],
    ) -> Result<Tensor, BoxError> {
        Ok(Reconstructor::paint(self, identity, image, parts, lambdas, &Mode::Eval)?)
    }
}

/// All parameters of a store in the order in which they were made, which is that of their
/// use: a reducer sends gradients from the last on, as the backward pass finds them.
pub(crate) fn parameters(store: &nn::VarStore) -> Vec<(String, Tensor)> {
    let mut names: HashMap<_, _> =
        store.variables().into_iter().map(|(name, tensor)| (tensor.data_ptr(), name)).collect();
    let made = store.trainable_variables().into_iter();
    made.filter_map(|tensor| Some((names.remove(&tensor.data_ptr())?, tensor))).collect()
}

/// All running statistics of a store.
pub(crate) fn buffers(state: &Tensors) -> Vec<Tensor> {
    state.iter().filter(|(name, _)| is_buffer(name)).map(|(_, t)| t.shallow_clone()).collect()
}

fn is_buffer(name: &str) -> bool {
    name.ends_with(".running_mean") || name.ends_with(".running_var")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_all_but_buffers_in_the_order_of_use() {
        let config = ModelConfig { image_size: 256, width_divisor: 16, ..ModelConfig::default() };
        let store = Reconstructor::new(&config, 1, Device::Cpu).store;
        let found: Vec<String> = parameters(&store).into_iter().map(|(name, _)| name).collect();
        let at = |prefix: &str| found.iter().position(|name| name.starts_with(prefix));
        assert!(at("decoder.").is_some() && at("decoder.") < at("G."));
        let mut sorted = found;
        sorted.sort();
        let all: Tensors = store.variables().into_iter().collect();
        let expected: Vec<_> = all.into_keys().filter(|name| !is_buffer(name)).collect();
        assert_eq!(sorted, expected);
    }
}
