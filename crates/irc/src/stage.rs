use c10d::torch::range;
use encoder::{Fidelity, ModelConfig, normalize};
use faces::PairBatch;
use fse::{Extractor, Noise, PerceptualNoise, halves};
use tch::{Device, Tensor, nn};
use train::{BoxError, Group, Losses, Optimizers, Stage, StepInfo, Term, mix};
use weights::Tensors;

use crate::reconstructor::{buffers, parameters};
use crate::{
    Error, IidDiscriminator, IrcConfig, Mode, PatchDiscriminator, Reconstructor, losses, perturb,
};

const GENERATOR: &str = "generator";
const DISCRIMINATOR: &str = "discriminator";
const IID: &str = "iid_discriminator";

/// Streams of random numbers: whether and how an identity is perturbed, and
/// the noise of the painted face.
const PERTURB: u64 = 1;
const PAINTED: u64 = 2;

/// Stage II: decoder, generator and both discriminators learn; encoder and
/// separation layers are frozen.
#[derive(Debug)]
pub struct IrcStage {
    extractor: Extractor,
    reconstructor: Reconstructor,
    discriminator: PatchDiscriminator,
    iid: IidDiscriminator,
    store: nn::VarStore,
    config: IrcConfig,
    fidelity: Fidelity,
}

/// What the frozen half gives a step, without a graph.
struct Seen {
    source: Tensor,
    target: Tensor,
    /// z_id of sources and targets.
    z: (Tensor, Tensor),
    /// E of sources and targets.
    e: (Tensor, Tensor),
    /// Perceptual parts and λ of the targets.
    parts: Vec<Tensor>,
    lambdas: Vec<Tensor>,
    /// What Y's perception is compared with: P_1…P_9 of the targets.
    perceived: Vec<Tensor>,
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
        let iid =
            IidDiscriminator::new(&(&root / IID), model).recomputing(config.recompute_from > 0);
        if !config.iid_weights.is_empty() {
            crate::imagenet::load(&store, std::path::Path::new(&config.iid_weights))?;
        }
        let fidelity = model.fidelity;
        Ok(IrcStage { extractor, reconstructor, discriminator, iid, store, config, fidelity })
    }

    /// Runs the frozen half on a batch.
    fn see(&self, batch: &PairBatch) -> Result<Seen, Error> {
        let _guard = tch::no_grad_guard();
        let device = self.extractor.device();
        let (source, target) = {
            let _range = range(c"copy");
            let (source, target) = batch.to_device(device)?;
            let kind = self.extractor.kind();
            (source.to_kind(kind), target.to_kind(kind))
        };
        let noise = Noise::pairs(batch.items.iter().map(|item| item.seed));
        let separation = self.extractor.separation();

        let encode = range(c"encode");
        let features = self.extractor.features(&Tensor::cat(&[&source, &target], 0));
        drop(encode);
        let _range = range(c"separate");
        let all_lambdas = separation.lambdas(&features);
        let z = separation.identity_parts(&features, &all_lambdas, &noise)?;
        let z = two(&self.extractor.separated(&z));
        let e = two(&self.extractor.identity(&features));

        let (f_s, f_t) = halves(&features);
        let (_, lambdas) = halves(&all_lambdas);
        let (_, noise) = noise.halves();
        let kind = match self.fidelity {
            Fidelity::Corrected => PerceptualNoise::DataSet,
            Fidelity::Published => PerceptualNoise::BatchMean(&f_s),
        };
        let parts = separation.perceptual_parts(&f_t, &lambdas, &noise, &kind)?;
        let mut perceived = match self.fidelity {
            Fidelity::Corrected => separation.perceived(&f_t, &lambdas),
            Fidelity::Published => parts.iter().map(Tensor::shallow_clone).collect(),
        };
        // Index 0 stands for the images themselves.
        perceived[0] = target.shallow_clone();
        Ok(Seen { source, target, z, e, parts, lambdas, perceived })
    }

    /// The identity that the generator is conditioned on.
    fn condition(&self, seen: &Seen, batch: &PairBatch, info: &StepInfo) -> Result<Tensor, Error> {
        if self.fidelity == Fidelity::Published {
            return Ok(seen.z.0.shallow_clone());
        }
        let identity = normalize(&seen.z.0);
        let draw = mix(info.seed, PERTURB) as f64 / u64::MAX as f64;
        if draw >= self.config.perturbed_share {
            return Ok(identity);
        }
        let mechanism = dpp::Angular::new(self.config.epsilon)?;
        let seeds = batch.items.iter().map(|item| mix(item.seed, PERTURB));
        perturb::angular(&identity, &mechanism, seeds)
    }

    /// What Y's perception is, to compare with [`Seen::perceived`]; and E(Y).
    fn perceive(&self, y: &Tensor, noise: &Noise) -> Result<(Vec<Tensor>, Tensor), Error> {
        let separation = self.extractor.separation();
        let features = self.extractor.features(y);
        let e = self.extractor.identity(&features);
        let lambdas = separation.lambdas(&features);
        let mut perceived = match self.fidelity {
            Fidelity::Corrected => separation.perceived(&features, &lambdas),
            // The published code mixes Y's *normalised* features with the mean
            // of its raw ones.
            Fidelity::Published => {
                let normalised = separation.readouts(&features);
                let kind = PerceptualNoise::BatchMean(&features);
                separation.perceptual_parts(&normalised, &lambdas, noise, &kind)?
            }
        };
        perceived[0] = y.shallow_clone();
        Ok((perceived, e))
    }

    fn group(&self, name: &'static str) -> Group {
        let prefix = format!("{name}.");
        let mine = |(name, _): &(String, Tensor)| name.starts_with(&prefix);
        let parameters = parameters(&self.store).into_iter().filter(mine).collect();
        Group { name, parameters, betas: (0.5, 0.999) }
    }
}

impl Stage for IrcStage {
    type Batch = PairBatch;

    fn name(&self) -> &'static str {
        "irc"
    }

    fn groups(&self) -> Vec<Group> {
        let parameters = self.reconstructor.trainable();
        vec![
            self.group(DISCRIMINATOR),
            self.group(IID),
            Group { name: GENERATOR, parameters, betas: (0.9, 0.999) },
        ]
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
        let different = losses::DifferentPairs::count(&seen.e.0, &seen.e.1, world)?;
        let identity = self.condition(&seen, batch, info)?;
        let seeds = batch.items.iter().map(|item| mix(item.seed, PAINTED)).collect();
        let noise = Noise::Seeded(seeds);
        let w = &self.config.loss;
        let mut report = Report::default();

        let y = optim.record(GENERATOR, || {
            let _range = range(c"paint");
            let (parts, lambdas) = (&seen.parts, &seen.lambdas);
            self.reconstructor.paint(&identity, &seen.target, parts, lambdas, mode)
        })?;
        let fake = y.detach();
        let e_fake = tch::no_grad(|| self.extractor.encoder().embed(&fake));

        optim.minimize(DISCRIMINATOR, || {
            let _range = range(c"losses");
            let real = self.discriminator.forward(&seen.target, mode)?;
            let loss = losses::discriminator(&real, &self.discriminator.forward(&fake, mode)?);
            Ok(report.total("D_loss", loss))
        })?;

        let mut d_target = None;
        optim.minimize(IID, || {
            let _range = range(c"losses");
            let d_s = self.iid.forward(&seen.source, mode)?;
            let d_t = self.iid.forward(&seen.target, mode)?;
            let d_y = self.iid.forward(&fake, mode)?;
            d_target = Some(d_t.detach());
            let loss =
                losses::implicit_identity((&seen.z.0, &d_s), (&seen.z.1, &d_t), (&e_fake, &d_y));
            Ok(report.total("Loss_IID", loss))
        })?;

        optim.minimize(GENERATOR, || {
            let _range = range(c"losses");
            let mut painted = Painted::new(&y);
            let face = &painted.face();
            painted.learn(report.term(
                "adv",
                w.adv,
                losses::adversarial(&self.discriminator.forward(face, mode)?),
            ))?;
            // What the face is not to resemble: as the discriminator saw it before its update.
            // The published code embeds it anew.
            let d_t = match d_target.take() {
                Some(d_t) if self.fidelity == Fidelity::Corrected => d_t,
                _ => tch::no_grad(|| self.iid.forward(&seen.target, mode))?,
            };
            painted.learn(report.term(
                "iid",
                w.iid,
                losses::implicit_adversarial(&d_t, &self.iid.forward(face, mode)?),
            ))?;
            let (perceived, e_y) = self.perceive(face, &noise)?;
            let per = losses::perceptual(&perceived, &seen.perceived);
            let neg = different.negative(&e_y, &seen.z.1)?;
            let pos = losses::positive(&e_y, &seen.e.0);
            painted.learn(
                report.term("per", w.per, per)
                    + report.term("neg", w.neg, neg)
                    + report.term("pos", w.pos, pos),
            )?;
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

/// A painted face and what its losses pull it to. Each loss goes back to the face as soon as
/// it is known, so that only one of the graphs behind the face is held at a time.
struct Painted<'a> {
    painted: &'a Tensor,
    face: Tensor,
    total: Tensor,
}

impl<'a> Painted<'a> {
    fn new(painted: &'a Tensor) -> Self {
        let face = painted.detach().set_requires_grad(true);
        let total = Tensor::zeros([0i64; 0], (face.kind(), face.device()));
        Painted { painted, face, total }
    }

    /// The face, at which the way back ends.
    fn face(&self) -> Tensor {
        self.face.shallow_clone()
    }

    fn learn(&mut self, loss: Tensor) -> Result<(), Error> {
        self.total += loss.detach();
        if loss.requires_grad() {
            c10d::backward(&loss)?;
        }
        Ok(())
    }

    /// The sum of all losses, its gradient that of what painted the face.
    fn loss(&self) -> Tensor {
        let pull = self.face.grad();
        let pull = if pull.defined() { pull } else { self.face.zeros_like() };
        let surrogate = (self.painted * pull).sum(self.face.kind());
        &surrogate - surrogate.detach() + &self.total
    }
}

/// The losses of a step, noted as they are computed.
#[derive(Default)]
struct Report(Losses);

impl Report {
    /// Notes a term and gives it back weighted. A term that counts for nothing
    /// is cut off its graph.
    fn term(&mut self, name: &'static str, weight: f64, value: Tensor) -> Tensor {
        self.0.terms.push(Term { name, weight, value: value.detach() });
        if weight == 0.0 { value.detach() * 0.0 } else { value * weight }
    }

    fn total(&mut self, name: &'static str, value: Tensor) -> Tensor {
        self.0.totals.push((name, value.detach()));
        value
    }
}

/// First and second half of a batch.
fn two(t: &Tensor) -> (Tensor, Tensor) {
    let pairs = t.size()[0] / 2;
    (t.narrow(0, 0, pairs), t.narrow(0, pairs, pairs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    #[test]
    fn losses_one_by_one_pull_like_their_sum() {
        tch::manual_seed(9);
        let random = || Tensor::randn([2, 3], (Kind::Double, Device::Cpu));
        let (w, x) = (random().set_requires_grad(true), random());
        let losses = |y: &Tensor| [y.square().sum(None), (y * 3.0).sin().sum(None)];
        let gradient = |loss: Tensor| Tensor::run_backward(&[loss], &[&w], false, false).remove(0);

        let y = &w * &x;
        let [a, b] = losses(&y);
        let sum = a + b;
        let expected = (sum.double_value(&[]), gradient(sum));

        let y = &w * &x;
        let mut painted = Painted::new(&y);
        for i in 0..2 {
            let [a, b] = losses(&painted.face());
            painted.learn([a, b][i].shallow_clone()).unwrap();
        }
        let loss = painted.loss();
        assert!((loss.double_value(&[]) - expected.0).abs() < 1e-12);
        assert!((gradient(loss) - expected.1).abs().max().double_value(&[]) < 1e-12);
    }
}
