use std::collections::HashMap;

use c10d::World;
use c10d::torch::{Autocast, range};
use faces::FaceBatch;
use tch::{Device, Kind, Tensor, nn};
use train::{BoxError, Group, Losses, Optimizers, Stage, StepInfo, Term, mix};
use weights::{Tensors, select};

use super::margin::cross_entropy;
use super::{PREFIX, RecogniserConfig, STAGE, Verification, draws, logits};
use crate::{Encoder, Error, FrozenEncoder, ModelConfig, normalize};

/// Images in a preview.
const SHOWN: i64 = 8;

/// The training of the recogniser: the encoder and one direction per person, its *head*, learn
/// together by a softmax over people with a margin. The head stays in checkpoints.
#[derive(Debug)]
pub struct EncoderStage {
    encoder: Encoder,
    head: Tensor,
    store: nn::VarStore,
    config: RecogniserConfig,
    verification: Option<Verification>,
}

impl EncoderStage {
    /// An encoder that starts from `start`'s weights, and a fresh head for `people` people.
    ///
    /// # Errors
    /// When an option makes no sense, or `start` is of another size.
    pub fn new(
        model: &ModelConfig,
        start: &FrozenEncoder,
        people: usize,
        config: RecogniserConfig,
        seed: u64,
        device: Device,
    ) -> Result<Self, Error> {
        config.validate()?;
        tch::manual_seed(mix(seed, 2) as i64);
        let store = nn::VarStore::new(device);
        let root = store.root();
        let encoder = Encoder::new(&(&root / PREFIX), model);
        // Directions only: their length plays no part. InsightFace's spread.
        let init = nn::Init::Randn { mean: 0.0, stdev: 0.01 };
        let head = (&root / "head").var("weight", &[people as i64, model.embedding()], init);
        let stage = EncoderStage { encoder, head, store, config, verification: None };
        weights::load_strict(&stage.weights(), &start.state(), &start.origin().to_string())?;
        Ok(stage)
    }

    /// The same, validated on people held out.
    #[must_use]
    pub fn validating(mut self, verification: Option<Verification>) -> Self {
        self.verification = verification;
        self
    }

    /// The encoder's weights under their published names, without the head: shallow clones.
    pub fn weights(&self) -> Tensors {
        select(&self.state(), PREFIX)
    }

    /// The encoder as it stands.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The images as the recogniser sees them in training, and their labels.
    fn inputs(&self, batch: &FaceBatch) -> Result<(Tensor, Tensor, Vec<u64>), BoxError> {
        let _guard = tch::no_grad_guard();
        let (images, labels) = {
            let _range = range(c"copy");
            batch.to_device(self.store.device())?
        };
        let _range = range(c"augment");
        let seeds: Vec<u64> = batch.items.iter().map(|item| item.seed).collect();
        let prepared = self.encoder.prepare(&images).to_kind(self.head.kind());
        Ok((self.config.augment.apply(&prepared, &seeds), labels, seeds))
    }
}

impl Stage for EncoderStage {
    type Batch = FaceBatch;

    fn name(&self) -> &'static str {
        STAGE
    }

    /// All parameters in the order of their use, which is that of the messages of gradients.
    fn groups(&self) -> Vec<Group> {
        let variables = self.store.variables().into_iter();
        let mut names: HashMap<_, _> =
            variables.map(|(name, tensor)| (tensor.data_ptr(), name)).collect();
        let made = self.store.trainable_variables().into_iter();
        let named = made.filter_map(|tensor| Some((names.remove(&tensor.data_ptr())?, tensor)));
        vec![Group { name: STAGE, parameters: named.collect(), betas: (0.9, 0.999), rate: 1.0 }]
    }

    fn state(&self) -> Tensors {
        self.store.variables().into_iter().collect()
    }

    fn buffers(&self) -> Vec<Tensor> {
        let running =
            |name: &str| name.ends_with(".running_mean") || name.ends_with(".running_var");
        self.state().into_iter().filter(|(name, _)| running(name)).map(|(_, t)| t).collect()
    }

    fn step(
        &mut self,
        batch: &FaceBatch,
        optim: &mut Optimizers<'_>,
        info: &StepInfo,
    ) -> Result<Losses, BoxError> {
        let mode = self.config.batch_norm.mode(optim.world());
        let (images, labels, seeds) = self.inputs(batch)?;
        let images = rows_of_channels(&images);
        let RecogniserConfig { margin, scale, dropout, .. } = self.config;
        let m = self.config.margin_at(info.step, info.total);
        let mut losses = Losses::default();
        optim.minimize(STAGE, || {
            let encode = range(c"encode");
            let thin = |x: &Tensor| draws::dropout(x, &seeds, dropout);
            let identities = self.encoder.learn(&images, &mode, &thin)?;
            drop(encode);
            // In full precision: a margin of cosines near 1 is lost in half of it.
            let _precision = Autocast::new(images.device(), false);
            let _range = range(c"losses");
            let cosines = identities.matmul(&normalize(&self.head).tr()).clamp(-1.0, 1.0);
            let loss = cross_entropy(&logits(&cosines, &labels, margin, m, scale), &labels);
            let right = cosines.detach().argmax(1, false).eq_tensor(&labels);
            let term = |name, value| Term { name, weight: 0.0, value };
            losses.terms = vec![
                term("accuracy", right.to_kind(Kind::Float).mean(Kind::Float)),
                term("margin", Tensor::from(m as f32)),
            ];
            losses.totals = vec![("margin_loss", loss.detach())];
            Ok(loss)
        })?;
        Ok(losses)
    }

    /// Images of the batch as the recogniser saw them, side by side.
    fn preview(&mut self, batch: &FaceBatch) -> Result<Option<Tensor>, BoxError> {
        let (images, ..) = self.inputs(batch)?;
        let shown = images.narrow(0, 0, images.size()[0].min(SHOWN)).unbind(0);
        Ok(Some(Tensor::cat(&shown, 2).to_device(Device::Cpu)))
    }

    fn validate(&mut self, world: &World) -> Result<Vec<(&'static str, f64)>, BoxError> {
        match &self.verification {
            Some(verification) => verification.measure(&self.encoder, world, self.store.device()),
            None => Ok(Vec::new()),
        }
    }

    fn scalars(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("Loss/margin_loss", "margin_loss"),
            ("Train/accuracy", "accuracy"),
            ("Train/margin", "margin"),
        ]
    }

    fn images_per_batch(batch: &FaceBatch) -> usize {
        batch.items.len()
    }

    fn items(batch: &FaceBatch) -> Vec<String> {
        batch.names.clone()
    }
}

/// Laid out as rows of channels, which convolutions and norms after it keep.
fn rows_of_channels(images: &Tensor) -> Tensor {
    images.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}
