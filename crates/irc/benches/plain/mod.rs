//! A step of stage II by its definition (method.md §6, corrected fidelity), in the manner of
//! the published code: what ours is compared with, in losses and gradients by
//! `tests/plain.rs`, in time and memory by `benches/step.rs`.
//!
//! Everything is trainable all the time, so graphs go through the frozen parts as well; Y is
//! seen by the encoder as cat(Y, Y) and through all ten restricted passes; the implicit
//! identity discriminator runs six times; each optimizer's losses are summed before one
//! backward pass, nothing is recomputed. Encoder, separation layers and generator are written
//! out on named tensors. Decoder and discriminators are our own modules, as they hold no
//! shortcut that is not switched off here.
// A test or a bench that includes this uses a part of it.
#![allow(dead_code)]

pub(crate) mod corrected;
mod generator;
mod losses;
#[path = "../../../fse/benches/plain/mod.rs"]
pub(crate) mod stage_one;

use encoder::{ModelConfig, READOUT_LAYERS, normalize};
use faces::PairBatch;
use fse::Noise;
use irc::{Decoder, IidDiscriminator, IrcWeights, Mode, PatchDiscriminator};
use tch::{Device, Kind, Tensor, nn};
use train::mix;
use weights::Tensors;

use generator::PlainGenerator;

/// The stream of the painted face's noise. Nothing that counts depends on it.
const PAINTED: u64 = 2;

/// A group's parameters and its Adam.
struct Optimizer {
    name: &'static str,
    parameters: Vec<(String, Tensor)>,
    moments: [Vec<Tensor>; 3],
    beta1: f64,
}

/// All networks of stage II and their optimizers.
pub(crate) struct Plain {
    frozen: stage_one::Plain,
    generator: Tensors,
    decoder: Decoder,
    discriminator: PatchDiscriminator,
    /// Where the model has one.
    iid: Option<IidDiscriminator>,
    /// As an encoder's tensors; none where the model has no adversary.
    adversary: Tensors,
    optimizers: [Optimizer; 4],
}

/// Sees a group's name, and its parameters with their gradients.
pub(crate) type Observer<'a> = dyn FnMut(&str, &[(String, Tensor)]) + 'a;

/// Losses by the names that stage II reports.
pub(crate) type Losses = Vec<(&'static str, Tensor)>;

impl Plain {
    /// With the values of `IrcStage::state`, copied.
    pub(crate) fn new(state: &Tensors, model: &ModelConfig) -> Self {
        let kind = state["encoder.input_layer.0.weight"].kind();
        let leaf = |name: &str| !name.contains("running_") && !name.starts_with("stats.");
        let own = |prefixes: &[&str]| -> Tensors {
            let mine = state
                .iter()
                .filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix)));
            let copy = |(name, tensor): (&String, &Tensor)| {
                let tensor = tensor.detach().copy().set_requires_grad(leaf(name));
                (name.clone(), tensor)
            };
            mine.map(copy).collect()
        };
        let mut store = nn::VarStore::new(Device::Cpu);
        let root = store.root();
        let decoder = Decoder::new(&(&root / "decoder"), model);
        let discriminator = PatchDiscriminator::new(&(&root / "discriminator"), model);
        let iid = state
            .keys()
            .any(|name| name.starts_with("iid_discriminator."))
            .then(|| IidDiscriminator::new(&(&root / "iid_discriminator"), model));
        store.set_kind(kind);
        let modules: Tensors = store.variables().into_iter().collect();
        let values = own(&["decoder.", "discriminator.", "iid_discriminator."]);
        weights::load_strict(&modules, &values, "stage II").expect("the same modules");
        let generator = own(&["G."]);
        let group = |name, prefixes: &[&str], beta1| {
            let parameters = modules.iter().chain(&generator).filter(|(name, _)| {
                leaf(name)
                    && !name.starts_with("G.deconv.")
                    && prefixes.iter().any(|prefix| name.starts_with(prefix))
            });
            let parameters = parameters.map(|(name, t)| (name.clone(), t.shallow_clone()));
            Optimizer::new(name, parameters.collect(), beta1)
        };
        let renamed =
            |(name, tensor): (String, Tensor)| (name.replacen("adversary.", "encoder.", 1), tensor);
        let adversary: Tensors = own(&["adversary."]).into_iter().map(renamed).collect();
        let of_adversary = adversary.iter().filter(|(name, _)| leaf(name)).map(|(name, tensor)| {
            (name.replacen("encoder.", "adversary.", 1), tensor.shallow_clone())
        });
        let optimizers = [
            group("discriminator", &["discriminator."], 0.5),
            group("iid_discriminator", &["iid_discriminator."], 0.5),
            group("generator", &["decoder.", "G."], 0.9),
            Optimizer::new("adversary", of_adversary.collect(), 0.5),
        ];
        let frozen = stage_one::Plain::new(own(&["encoder.", "se.", "stats."]), model);
        Plain { frozen, generator, decoder, discriminator, iid, adversary, optimizers }
    }

    /// One step at this rate, gradients clipped to `clip` (0: not at all). `observe` sees each
    /// group's parameters with their gradients.
    pub(crate) fn step(
        &mut self,
        batch: &PairBatch,
        w: &IrcWeights,
        (rate, clip): (f64, f64),
        observe: &mut Observer<'_>,
    ) -> Losses {
        let mut update = |optimizers: &mut [Optimizer; 4], k: usize, loss: &Tensor| {
            optimizers[k].step(loss, rate, clip, observe);
        };
        let mode = &Mode::Train;
        let (source, target) = batch.to_device(Device::Cpu).expect("images");
        let kind = self.optimizers[0].parameters[0].1.kind();
        let (source, target) = (&source.to_kind(kind), &target.to_kind(kind));
        let noise = Noise::pairs(batch.items.iter().map(|item| item.seed));
        let images = Tensor::cat(&[source, target], 0);
        let [e, z_id, lambdas, parts, perceived] = self.see(&images, &noise);
        let ([e_s, e_t], [z_s, z_t]) = (two(&e[0]), two(&z_id[0]));
        let (parts, lambdas) = (targets(&parts), targets(&lambdas));
        let mut wanted = targets(&perceived);
        wanted[0] = target.shallow_clone();

        let attributes = self.decoder.attributes(target, &parts, mode).expect("attributes");
        let maps = self.decoder.lambda_maps(&lambdas, mode).expect("λ maps");
        let y = PlainGenerator(&self.generator).paint(&normalize(&z_s), &attributes, &maps);
        let seeds: Vec<u64> = batch.items.iter().map(|item| mix(item.seed, PAINTED)).collect();
        let noise = Noise::Seeded(seeds.repeat(2));
        let [e, _, _, _, perceived] = self.see(&Tensor::cat(&[&y, &y], 0), &noise);
        let e_y = two(&e[0])[0].shallow_clone();
        let mut seen = targets(&perceived);
        seen[0] = y.shallow_clone();

        let scores = |x: &Tensor| self.discriminator.forward(x, mode).expect("scores");
        let d_loss = losses::discriminator(&scores(target), &scores(&y.detach()));
        update(&mut self.optimizers, 0, &d_loss);

        let iid = self.iid.as_ref().expect("an implicit identity discriminator");
        let implicit = |y: &Tensor| {
            [source, target, y].map(|x| iid.forward(x, mode).expect("implicit identities"))
        };
        // Their graphs end here, or this backward pass would free those that the last one needs.
        let ids = [&z_s, &z_t, &e_y].map(Tensor::detach);
        let embedded = implicit(&y.detach());
        let d_t = embedded[1].detach();
        let iid_loss = losses::implicit_identity(ids.each_ref(), &embedded);
        update(&mut self.optimizers, 1, &iid_loss);

        let adv = losses::adversarial(&scores(&y));
        let [_, _, d_y] = implicit(&y);
        let iid = losses::implicit_adversarial(&d_t, &d_y);
        let per = losses::perceptual(&seen, &wanted);
        let neg = losses::negative(&e_y, &z_t, &e_s, &e_t);
        let pos = losses::positive(&e_y, &e_s);
        let total = &adv * w.adv + &iid * w.iid + &per * w.per + &neg * w.neg + &pos * w.pos;
        update(&mut self.optimizers, 2, &total);
        vec![
            ("D_loss", d_loss),
            ("Loss_IID", iid_loss),
            ("adv", adv),
            ("iid", iid),
            ("per", per),
            ("neg", neg),
            ("pos", pos),
            ("G_loss", total),
        ]
    }

    /// E, z_id, λ, P and, without noise, what counts as perception, of images.
    fn see(&self, images: &Tensor, noise: &Noise) -> [Vec<Tensor>; 5] {
        let encoder = self.frozen.encoder();
        let features = encoder.features(images);
        let e = encoder.head(&features[features.len() - 1]);
        let parts = self.frozen.parts(&features[..READOUT_LAYERS], noise);
        let z_id = self.frozen.separated(&parts.z);
        let perceived = self.frozen.perceived(&features, &parts.lambdas);
        [vec![e], vec![z_id], parts.lambdas, parts.p, perceived]
    }
}

impl Optimizer {
    fn new(name: &'static str, parameters: Vec<(String, Tensor)>, beta1: f64) -> Self {
        let zeros = || parameters.iter().map(|(_, p)| p.detach().zeros_like()).collect();
        let step = |_| Tensor::zeros([0i64; 0], (Kind::Float, Device::Cpu));
        let moments = [zeros(), zeros(), parameters.iter().map(step).collect()];
        Optimizer { name, parameters, moments, beta1 }
    }

    /// Gradients that other losses have left behind do not count.
    fn step(&mut self, loss: &Tensor, rate: f64, clip: f64, observe: &mut Observer<'_>) {
        let parameters: Vec<Tensor> =
            self.parameters.iter().map(|(_, p)| p.shallow_clone()).collect();
        c10d::torch::zero_grads(&parameters, true).expect("leaves");
        loss.backward();
        observe(self.name, &self.parameters);
        if clip > 0.0 {
            let norm = c10d::torch::grad_norm(&parameters).expect("gradients");
            c10d::torch::clip_grads(&parameters, &norm, clip).expect("gradients");
        }
        let adam =
            c10d::torch::Adam { lr: rate, beta1: self.beta1, beta2: 0.999, ..Default::default() };
        let [m, v, t] = &self.moments;
        c10d::torch::fused_adam_(&parameters, m, v, t, &adam, None).expect("Adam");
    }
}

/// The second halves.
fn targets(of: &[Tensor]) -> Vec<Tensor> {
    of.iter().map(|t| two(t)[1].shallow_clone()).collect()
}

/// First and second half of a batch.
fn two(t: &Tensor) -> [Tensor; 2] {
    let pairs = t.size()[0] / 2;
    [t.narrow(0, 0, pairs), t.narrow(0, pairs, pairs)]
}
