//! Stage II: a step of it, and what the engine asks.

mod chase;
mod pulls;
mod seen;

use c10d::World;
use c10d::torch::range;
use encoder::{Fidelity, FrozenEncoder, ModelConfig, normalize};
use faces::PairBatch;
use fse::Extractor;
use tch::{Device, Tensor, nn};
use train::{BoxError, Group, Losses, Optimizers, Stage, StepInfo, mix};
use weights::Tensors;

use crate::adversary::Adversary;
use crate::condition::{Condition, Identities};
use crate::painted::{Painted, Report};
use crate::protector::Sight;
use crate::reconstructor::{buffers, parameters};
use crate::{
    Error, IidDiscriminator, IrcConfig, Mode, PatchDiscriminator, Reconstructor, Validation,
    losses, views,
};

const GENERATOR: &str = "generator";
const DISCRIMINATOR: &str = "discriminator";
const IID: &str = "iid_discriminator";

/// Streams of an image's random numbers: how the painted face and the target are looked at. (See
/// also `pulls` and `condition`.)
const VIEWED: u64 = 5;
const VIEWED_TARGET: u64 = 6;

/// What is left of the adversarial loss in the warm-up.
const WARM_ADVERSARY: f64 = 0.25;

/// Stage II: decoder, generator and both discriminators learn; encoder and
/// separation layers are frozen.
#[derive(Debug)]
pub struct IrcStage {
    extractor: Extractor,
    reconstructor: Reconstructor,
    discriminator: PatchDiscriminator,
    /// Where its loss counts for something.
    iid: Option<IidDiscriminator>,
    /// Where one was named.
    adversary: Option<Adversary>,
    /// Recognisers beside the encoder that must not know the target again.
    judges: Vec<FrozenEncoder>,
    validation: Option<Validation>,
    store: nn::VarStore,
    config: IrcConfig,
    fidelity: Fidelity,
}

impl IrcStage {
    /// Fresh decoder, generator and discriminators beside a trained extractor.
    ///
    /// # Errors
    /// When an option makes no sense or `iid_weights` cannot be read.
    pub fn new(
        extractor: Extractor,
        model: &ModelConfig,
        config: IrcConfig,
        seed: u64,
    ) -> Result<Self, Error> {
        config.validate()?;
        let device = extractor.device();
        let reconstructor =
            Reconstructor::new(model, mix(seed, 0), device).recomputing_from(config.recompute_from);
        tch::manual_seed(mix(seed, 1) as i64);
        let store = nn::VarStore::new(device);
        let root = store.root();
        let discriminator = PatchDiscriminator::new(&(&root / DISCRIMINATOR), model);
        let iid = (config.loss.iid != 0.0).then(|| {
            IidDiscriminator::new(&(&root / IID), model).recomputing(config.recompute_from > 0)
        });
        if iid.is_some() && !config.iid_weights.is_empty() {
            crate::imagenet::load(&store, std::path::Path::new(&config.iid_weights))?;
        }
        let fidelity = model.fidelity;
        let (judges, validation) = (Vec::new(), None);
        Ok(IrcStage {
            extractor,
            reconstructor,
            discriminator,
            iid,
            adversary: None,
            judges,
            validation,
            store,
            config,
            fidelity,
        })
    }

    /// Recognisers beside the encoder, trained otherwise: what deceives one alone is no
    /// protection. They are no part of the state.
    #[must_use]
    pub fn judged_by(mut self, judges: Vec<FrozenEncoder>) -> Self {
        self.judges = judges;
        self
    }

    /// The same, validated on people held out.
    #[must_use]
    pub fn validating(mut self, validation: Option<Validation>) -> Self {
        self.validation = validation;
        self
    }

    /// Faces as those who judge them see them: one of many views, or as they are.
    fn view(&self, faces: &Tensor, batch: &PairBatch, stream: u64) -> Result<Tensor, Error> {
        if !self.config.views {
            return Ok(faces.shallow_clone());
        }
        let seeds: Vec<u64> = batch.items.iter().map(|item| mix(item.seed, stream)).collect();
        views::look(faces, &seeds)
    }

    fn group(&self, name: &'static str) -> Group {
        let prefix = format!("{name}.");
        let mine = |(name, _): &(String, Tensor)| name.starts_with(&prefix);
        let parameters = parameters(&self.store).into_iter().filter(mine).collect();
        Group { name, parameters, betas: (0.5, 0.999), rate: self.config.discriminator_rate }
    }
}

impl Stage for IrcStage {
    type Batch = PairBatch;

    fn name(&self) -> &'static str {
        "irc"
    }

    fn groups(&self) -> Vec<Group> {
        let parameters = self.reconstructor.trainable();
        let mut groups = vec![self.group(DISCRIMINATOR)];
        groups.extend(self.iid.as_ref().map(|_| self.group(IID)));
        groups.extend(self.adversary.as_ref().map(|_| self.group(chase::ADVERSARY)));
        groups.push(Group { name: GENERATOR, parameters, betas: (0.9, 0.999), rate: 1.0 });
        groups
    }

    fn state(&self) -> Tensors {
        let mut state = self.extractor.state();
        state.extend(self.reconstructor.state());
        state.extend(self.store.variables());
        state
    }

    fn buffers(&self) -> Vec<Tensor> {
        let mut all = self.reconstructor.state();
        all.extend(self.store.variables());
        buffers(&all)
    }

    fn step(
        &mut self,
        batch: &PairBatch,
        optim: &mut Optimizers<'_>,
        info: &StepInfo,
    ) -> Result<Losses, BoxError> {
        let world = optim.world();
        let mode = &self.config.batch_norm.mode(world);
        let seen = self.see(batch)?;
        let w = &self.config.loss;
        let identities = Identities { z: &seen.z, e: &seen.e };
        let (config, fidelity) = (&self.config, self.fidelity);
        let condition = Condition::new(&identities, batch, info, config, fidelity)?;
        let different = match w.neg {
            0.0 => None,
            _ => Some(losses::DifferentPairs::count(&seen.e.0, &seen.e.1, world)?),
        };
        let mut report = Report::default();

        let y = optim.record(GENERATOR, || {
            let _range = range(c"paint");
            let (parts, lambdas) = (&seen.parts, &seen.lambdas);
            self.reconstructor.paint(&condition.identity, &seen.target, parts, lambdas, mode)
        })?;
        let fake = y.detach();
        let mut painted = Painted::new(&y);
        let face = &painted.face();
        let viewed = self.view(face, batch, VIEWED)?;

        let (real, fake_view) = (self.view(&seen.target, batch, VIEWED_TARGET)?, viewed.detach());
        optim.minimize(DISCRIMINATOR, || {
            let _range = range(c"losses");
            let real = self.discriminator.forward(&real, mode)?;
            let fake = self.discriminator.forward(&fake_view, mode)?;
            let loss = losses::discriminator(&real, &fake);
            Ok(report.total("D_loss", loss))
        })?;

        let chased = self.chase(&seen, &condition, (&real, &fake_view), optim, &mut report)?;

        let mut d_target = None;
        if let Some(iid) = &self.iid {
            let e_fake = tch::no_grad(|| self.extractor.encoder().embed(&fake));
            optim.minimize(IID, || {
                let _range = range(c"losses");
                let d_s = iid.forward(&seen.source, mode)?;
                let d_t = iid.forward(&seen.target, mode)?;
                let d_y = iid.forward(&fake, mode)?;
                d_target = Some(d_t.detach());
                let (source, target) = ((&seen.z.0, &d_s), (&seen.z.1, &d_t));
                let loss = losses::implicit_identity(source, target, (&e_fake, &d_y));
                Ok(report.total("Loss_IID", loss))
            })?;
        }

        optim.minimize(GENERATOR, || {
            let _range = range(c"losses");
            // Several networks look at it, one graph at a time.
            let mut viewed = Painted::new(&viewed);
            if w.adv != 0.0 {
                let warming = condition.risen == 0.0 && self.config.warmup > 0.0;
                let weight = w.adv * if warming { WARM_ADVERSARY } else { 1.0 };
                let adv = losses::adversarial(&self.discriminator.forward(&viewed.face(), mode)?);
                viewed.learn(report.term("adv", weight, adv))?;
            }
            if let Some(iid) = &self.iid {
                // What the face is not to resemble: as the discriminator saw it before its
                // update. The published code embeds it anew.
                let d_t = match d_target.take() {
                    Some(d_t) if self.fidelity == Fidelity::Corrected => d_t,
                    _ => tch::no_grad(|| iid.forward(&seen.target, mode))?,
                };
                let loss = losses::implicit_adversarial(&d_t, &iid.forward(face, mode)?);
                painted.learn(report.term("iid", w.iid, loss))?;
            }
            self.keep(&seen, &condition, &mut painted, &mut report)?;
            let faces = (&mut painted, &mut viewed);
            self.recognise(&seen, &condition, different, batch, faces, &mut report)?;
            self.flee(chased.as_ref(), &condition, &mut viewed, &mut report)?;
            painted.learn(viewed.loss())?;
            Ok(report.total("G_loss", painted.loss()))
        })?;
        Ok(report.0)
    }

    /// Source, target, output of the first pair, in evaluation mode.
    fn preview(&mut self, batch: &PairBatch) -> Result<Option<Tensor>, BoxError> {
        let first = batch.first();
        let seen = self.see(&first)?;
        let identity = match self.fidelity {
            Fidelity::Published => seen.z.0.shallow_clone(),
            Fidelity::Corrected => normalize(&seen.z.0),
        };
        let (parts, lambdas) = (&seen.parts, &seen.lambdas);
        let y = self.reconstructor.paint(&identity, &seen.target, parts, lambdas, &Mode::Eval)?;
        let row = Tensor::cat(&[&seen.source, &seen.target, &y], 3);
        Ok(Some(row.get(0).to_device(Device::Cpu)))
    }

    fn validate(&mut self, world: &World) -> Result<Vec<(&'static str, f64)>, BoxError> {
        let IrcStage { extractor, reconstructor, .. } = self;
        let sight = Sight { extractor, reconstructor };
        match &self.validation {
            Some(validation) => validation.measure(&sight, world),
            None => Ok(Vec::new()),
        }
    }

    fn scalars(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("Loss/D_loss", "D_loss"),
            ("Loss/G_loss", "G_loss"),
            ("Loss/L_pos", "pos"),
            ("Loss/L_neg", "neg"),
            ("Loss/Loss_adv", "adv"),
            ("Loss/Loss_IID_adv", "iid"),
            ("Loss/L_per", "per"),
            ("Loss/Loss_IID", "Loss_IID"),
        ]
    }

    fn images_per_batch(batch: &PairBatch) -> usize {
        batch.items.len()
    }

    fn items(batch: &PairBatch) -> Vec<String> {
        batch.names.clone()
    }
}
