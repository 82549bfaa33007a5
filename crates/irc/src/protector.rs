use std::path::Path;

use c10d::torch::range;
use encoder::{ModelConfig, normalize};
use fse::{Extractor, Noise};
use tch::{Device, Tensor};
use weights::Tensors;

use crate::{Error, Mode, Reconstructor};

/// A trained model at work: it sees faces, and paints them with other identities.
///
/// Seeing and painting are calls of their own, so that what happens to the identity between
/// them (a mechanism, an album's common identity) is the caller's business.
#[derive(Debug)]
pub struct Protector {
    extractor: Extractor,
    reconstructor: Reconstructor,
}

/// What the model sees in a batch of faces.
#[derive(Debug)]
pub struct View {
    /// z_id: the separated identities, [B, 512], of unit length. What a mechanism perturbs.
    pub identity: Tensor,
    /// E of the faces as they are, [B, 512], of unit length: to compare with afterwards.
    pub embedding: Tensor,
    image: Tensor,
    parts: Vec<Tensor>,
    lambdas: Vec<Tensor>,
}

impl Protector {
    /// The model that a stage II checkpoint holds; `what` names its file in errors.
    ///
    /// # Errors
    /// When a name is missing or a shape is not this model's.
    pub fn from_state(
        state: &Tensors,
        config: &ModelConfig,
        what: &Path,
        device: Device,
    ) -> Result<Self, Error> {
        let extractor = Extractor::from_state(state, config, what, device)?;
        let reconstructor = Reconstructor::new(config, 0, device);
        let mine = |name: &str| name.starts_with("G.") || name.starts_with("decoder.");
        let painting: Tensors = state
            .iter()
            .filter(|(name, _)| mine(name))
            .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
            .collect();
        weights::load_strict(&reconstructor.state(), &painting, &what.display().to_string())?;
        Ok(Protector { extractor, reconstructor })
    }

    /// What sees: encoder, statistics and separation layers.
    pub fn extractor(&self) -> &Extractor {
        &self.extractor
    }

    fn sight(&self) -> Sight<'_> {
        let Protector { extractor, reconstructor } = self;
        Sight { extractor, reconstructor }
    }

    /// Sees a batch of aligned faces.
    ///
    /// # Arguments
    /// * `faces` - [B, 3, S, S] in [−1, 1], channels in the order the model was trained with.
    /// * `seeds` - one a face, for the noise in place of what is left out of its perception.
    ///
    /// # Errors
    /// As many seeds as faces are needed.
    pub fn see(&self, faces: &Tensor, seeds: Vec<u64>) -> Result<View, Error> {
        self.sight().see(faces, seeds)
    }

    /// Paints the faces of `view` with these identities, [B, 512] of unit length →
    /// [B, 3, S, S] in [−1, 1].
    ///
    /// # Errors
    /// When libtorch refuses, for other shapes for one.
    pub fn paint(&self, view: &View, identity: &Tensor) -> Result<Tensor, Error> {
        self.sight().paint(view, identity)
    }

    /// E of faces [B, 3, S, S] in [−1, 1]: [B, 512], of unit length.
    pub fn embed(&self, faces: &Tensor) -> Tensor {
        let _guard = tch::no_grad_guard();
        let faces = faces.to_device(self.extractor.device()).to_kind(self.extractor.kind());
        self.extractor.encoder().embed(&faces)
    }
}

/// What sees and paints: a protector's, or those of a stage that trains.
pub(crate) struct Sight<'a> {
    pub(crate) extractor: &'a Extractor,
    pub(crate) reconstructor: &'a Reconstructor,
}

impl Sight<'_> {
    /// [`Protector::see`].
    pub(crate) fn see(&self, faces: &Tensor, seeds: Vec<u64>) -> Result<View, Error> {
        let _guard = tch::no_grad_guard();
        let image = faces.to_device(self.extractor.device()).to_kind(self.extractor.kind());
        let noise = Noise::Seeded(seeds);
        let separation = self.extractor.separation();
        let features = {
            let _range = range(c"encode");
            self.extractor.features(&image)
        };
        let _range = range(c"separate");
        let lambdas = separation.lambdas(&features);
        let z = separation.identity_parts(&features, &lambdas, &noise)?;
        let identity = normalize(&self.extractor.separated(&z));
        let kind = separation.perceptual_noise(&features);
        let parts = separation.perceptual_parts(&features, &lambdas, &noise, &kind)?;
        let embedding = self.extractor.identity(&features);
        Ok(View { identity, embedding, image, parts, lambdas })
    }

    /// [`Protector::paint`].
    pub(crate) fn paint(&self, view: &View, identity: &Tensor) -> Result<Tensor, Error> {
        let _guard = tch::no_grad_guard();
        let _range = range(c"paint");
        let identity = identity.to_device(view.image.device()).to_kind(view.image.kind());
        self.reconstructor.paint(&identity, &view.image, &view.parts, &view.lambdas, &Mode::Eval)
    }
}
