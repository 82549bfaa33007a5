use c10d::torch::range;
use encoder::SEPARATION_LAYERS;
use faces::PairBatch;
use tch::{Device, Tensor};
use train::{BoxError, Group, Losses, Optimizers, Stage, StepInfo, Term, mix};

use crate::extractor::halves;
use crate::{Extractor, FseConfig, Noise, Objective, Separated};

/// Stream of random numbers: where identity is looked for in perception.
const PROBED: u64 = 1 << 16;

/// The group that stage I trains.
const GROUP: &str = "se";

/// Paints a face from what stage I separates. Stage II's untrained decoder and
/// generator stand behind it: the published code shows their output and logs
/// its identity as `pos_loss`.
pub trait Painter {
    /// # Shapes
    /// `identity` [B, 512], `image` [B, 3, S, S], `parts` and `lambdas` as the
    /// features 0…9 → [B, 3, S, S] in [-1, 1].
    ///
    /// # Errors
    /// Whatever went wrong; it ends the run.
    fn paint(
        &self,
        identity: &Tensor,
        image: &Tensor,
        parts: &[Tensor],
        lambdas: &[Tensor],
    ) -> Result<Tensor, BoxError>;
}

/// Makes a painter when the first picture or `pos_loss` is due: at full size it
/// is far larger than all that stage I trains.
pub type PainterFactory = Box<dyn Fn() -> Box<dyn Painter>>;

/// Stage I: the separation layers learn, everything else is frozen.
pub struct FseStage {
    extractor: Extractor,
    config: FseConfig,
    factory: Option<PainterFactory>,
    painter: Option<Box<dyn Painter>>,
}

impl std::fmt::Debug for FseStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FseStage").field("config", &self.config).finish_non_exhaustive()
    }
}

impl FseStage {
    /// # Errors
    /// When an option makes no sense.
    pub fn new(
        extractor: Extractor,
        config: FseConfig,
        painter: Option<PainterFactory>,
    ) -> Result<Self, crate::Error> {
        config.validate()?;
        Ok(FseStage { extractor, config, factory: painter, painter: None })
    }

    fn painter(&mut self) -> Option<&dyn Painter> {
        if self.painter.is_none() {
            self.painter = self.factory.as_ref().map(|make| make());
        }
        self.painter.as_deref()
    }

    /// Sources, then targets, where the extractor computes; and their noise.
    fn inputs(&self, batch: &PairBatch) -> Result<(Tensor, Noise), BoxError> {
        let noise = Noise::pairs(batch.items.iter().map(|item| item.seed));
        let _range = range(c"copy");
        let (source, target) = batch.to_device(self.extractor.device())?;
        Ok((Tensor::cat(&[source, target], 0).to_kind(self.extractor.kind()), noise))
    }

    /// Y of every pair: the source's identity in the target's picture.
    fn output(
        &mut self,
        images: &Tensor,
        separated: &Separated,
    ) -> Result<Option<Tensor>, BoxError> {
        let _guard = tch::no_grad_guard();
        let pairs = images.size()[0] / 2;
        let identity = encoder::normalize(&separated.identity.narrow(0, 0, pairs));
        let target = images.narrow(0, pairs, pairs);
        let (_, parts) = halves(&separated.perceptual);
        let (_, lambdas) = halves(&separated.lambdas);
        match self.painter() {
            Some(painter) => Ok(Some(painter.paint(&identity, &target, &parts, &lambdas)?)),
            None => Ok(None),
        }
    }
}

impl Stage for FseStage {
    type Batch = PairBatch;

    fn name(&self) -> &'static str {
        "fse"
    }

    fn groups(&self) -> Vec<Group> {
        // Layer 0 has a part in identity retention alone.
        let retained = self.config.loss.retention != 0.0;
        let concerned =
            |(name, _): &(String, tch::Tensor)| retained || !name.starts_with("se.iba_0.");
        vec![Group {
            name: GROUP,
            parameters: self.extractor.trainable().into_iter().filter(concerned).collect(),
            betas: (0.9, 0.999),
            rate: 1.0,
        }]
    }

    fn state(&self) -> weights::Tensors {
        self.extractor.state()
    }

    fn step(
        &mut self,
        batch: &PairBatch,
        optim: &mut Optimizers<'_>,
        info: &StepInfo,
    ) -> Result<Losses, BoxError> {
        let (images, noise) = self.inputs(batch)?;
        let features = {
            let _range = range(c"encode");
            tch::no_grad(|| self.extractor.features(&images))
        };
        let w = self.config.loss.clone();
        let probed = probed(info.seed);
        let mut losses = Losses::default();
        let mut pending = None;
        optim.minimize(GROUP, || {
            let objective = Objective::new(&self.extractor, &features, &noise, &w, &probed)?;
            let total = objective.total();
            losses = report(&objective, &total);
            if info.log_due && self.factory.is_some() {
                pending = Some(objective.separated.detach());
            }
            Ok(total)
        })?;
        if let Some(separated) = pending
            && let Some(output) = self.output(&images, &separated)?
        {
            let _guard = tch::no_grad_guard();
            let painted = self.extractor.encoder().embed(&output);
            let z = separated.identity.narrow(0, 0, painted.size()[0]);
            let cos = Tensor::cosine_similarity(&z, &painted, 1, 1e-8);
            losses.totals.push(("pos_loss", -cos.mean(None)));
        }
        Ok(losses)
    }

    /// Source, target, output of the first pair.
    fn preview(&mut self, batch: &PairBatch) -> Result<Option<Tensor>, BoxError> {
        let first = batch.first();
        let (images, noise) = self.inputs(&first)?;
        let features = self.extractor.features(&images);
        let separated = Separated::new(&self.extractor, &features, &noise)?;
        let mut row = vec![images.get(0), images.get(1)];
        if let Some(output) = self.output(&images, &separated)? {
            row.push(output.get(0));
        }
        Ok(Some(Tensor::cat(&row, 2).to_device(Device::Cpu)))
    }

    fn scalars(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("Loss/Encoder_loss", "Encoder_loss"),
            ("Loss/FD_loss", "FD_loss"),
            ("Loss/IR_loss", "IR_loss"),
            ("Loss/pos_loss", "pos_loss"),
        ]
    }

    fn images_per_batch(batch: &PairBatch) -> usize {
        batch.items.len()
    }

    fn items(batch: &PairBatch) -> Vec<String> {
        batch.names.clone()
    }
}

/// Terms and sums for the log: `FD_loss` is the weighted independence part,
/// `IR_loss` identity retention, `Encoder_loss` the whole.
fn report(objective: &Objective, total: &Tensor) -> Losses {
    let terms = objective.terms.iter().map(|term| Term { value: term.value.detach(), ..*term });
    let mut totals = vec![("Encoder_loss", total.detach()), ("FD_loss", objective.independence())];
    totals.extend(objective.term("retention").map(|value| ("IR_loss", value.detach())));
    Losses { terms: terms.collect(), totals }
}

/// The layers of a step in which `leakage` looks for identity: three of 1…9, others each step.
fn probed(seed: u64) -> Vec<usize> {
    let mut layers: Vec<usize> = (1..SEPARATION_LAYERS).collect();
    layers.sort_by_key(|&layer| mix(seed, PROBED + layer as u64));
    layers.truncate(3);
    layers
}
