//! The corrected objective of stage II by its description (`IrcWeights`), without views: whose
//! identity each face is given is read off the pairs by the rules of `IrcConfig`.
use encoder::{FrozenEncoder, normalize};
use faces::{PairBatch, Relation};
use fse::Noise;
use irc::{IrcConfig, Mode};
use rand::SeedableRng;
use tch::{Device, Tensor};
use train::{mix, unit};

use super::losses::cos;
use super::stage_one::encoder::PlainEncoder;
use super::{Losses, Observer, Plain, losses, targets, two};

/// What a pair's face is given; each kind concerns other terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Given {
    Own,
    OtherPhoto,
    Source,
    Drawn,
}

/// Of each pair, after the warm-up.
pub(crate) fn given(batch: &PairBatch, config: &IrcConfig) -> Vec<Given> {
    let of = |item: &faces::PairItem| match item.relation {
        Relation::SameImage => Given::Own,
        Relation::SamePerson if mix(item.seed, 4).is_multiple_of(2) => Given::OtherPhoto,
        Relation::SamePerson => Given::Own,
        Relation::Different if unit(item.seed, 1) < config.perturbed_share => Given::Drawn,
        Relation::Different => Given::Source,
    };
    batch.items.iter().map(of).collect()
}

impl Plain {
    /// One step after the warm-up and the ramp, as [`Plain::step`].
    pub(crate) fn corrected_step(
        &mut self,
        batch: &PairBatch,
        config: &IrcConfig,
        (judges, adversary): (&[FrozenEncoder], Option<&FrozenEncoder>),
        (rate, clip): (f64, f64),
        observe: &mut Observer<'_>,
    ) -> Losses {
        let (mode, w) = (&Mode::Train, &config.loss);
        let (source, target) = batch.to_device(Device::Cpu).expect("images");
        let kind = self.optimizers[0].parameters[0].1.kind();
        let (source, target) = (&source.to_kind(kind), &target.to_kind(kind));
        let noise = Noise::pairs(batch.items.iter().map(|item| item.seed));
        let [e, z, lambdas, parts, _] = self.see(&Tensor::cat(&[source, target], 0), &noise);
        let ([e_s, e_t], [z_s, z_t]) = (two(&e[0]), two(&z[0]));
        let (lambdas, parts) = (targets(&lambdas), targets(&parts));

        let given = given(batch, config);
        let rows = |each: &dyn Fn(usize, Given) -> [Tensor; 2]| -> [Tensor; 2] {
            let all: Vec<_> = given.iter().enumerate().map(|(k, &given)| each(k, given)).collect();
            [0, 1].map(|i| Tensor::stack(&all.iter().map(|pair| &pair[i]).collect::<Vec<_>>(), 0))
        };
        let [identity, wanted] = rows(&|k, given| {
            let row = |t: &Tensor| t.get(k as i64);
            let direction = |t: &Tensor| normalize(&row(t).unsqueeze(0)).get(0);
            match given {
                Given::Own => [direction(&z_t), row(&e_t)],
                Given::OtherPhoto => [direction(&z_s), row(&e_t)],
                Given::Source => [direction(&z_s), row(&e_s)],
                Given::Drawn => {
                    let sphere = dpp::Independent::uniform(z_s.size()[1] as usize);
                    let mut draws = dpp::Generator::seed_from_u64(mix(batch.items[k].seed, 3));
                    let drawn = sphere.and_then(|sphere| sphere.draw(&mut draws)).expect("a draw");
                    let drawn = Tensor::from_slice(&drawn).to_kind(kind);
                    [drawn.shallow_clone(), drawn]
                }
            }
        });
        // What a term counts a pair for, by what its face was given.
        let share = |own: f64, source: f64, drawn: f64| {
            let of = |given: &Given| match given {
                Given::Own | Given::OtherPhoto => own,
                Given::Source => source,
                Given::Drawn => drawn,
            };
            Tensor::from_slice(&given.iter().map(of).collect::<Vec<f64>>()).to_kind(kind)
        };

        let attributes = self.decoder.attributes(target, &parts, mode).expect("attributes");
        let maps = self.decoder.lambda_maps(&lambdas, mode).expect("λ maps");
        let y = super::PlainGenerator(&self.generator).paint(&identity, &attributes, &maps);

        let scores = |x: &Tensor| self.discriminator.forward(x, mode).expect("scores");
        let d_loss = losses::discriminator(&scores(target), &scores(&y.detach()));
        self.optimizers[0].step(&d_loss, rate * config.discriminator_rate, clip, observe);

        let others = share(0.0, 1.0, 1.0);
        let learner = PlainEncoder { tensors: &self.adversary, ..self.frozen.encoder() };
        let guess = |x: &Tensor| learner.head(&learner.features(x)[24]);
        let who = adversary.map(|origin| [source, target].map(|x| origin.embed(x)));
        let mut of_adversary = Losses::new();
        if let Some([a_s, a_t]) = &who {
            let taken = guess(&y.detach());
            let pursuit = ((cos(&taken, a_s) - cos(&taken, a_t)) * &others
                - cos(&guess(target), a_t))
            .mean(None);
            self.optimizers[3].step(&pursuit, rate * config.discriminator_rate, clip, observe);
            of_adversary.push(("Loss_adversary", pursuit));
        }

        let adv = losses::adversarial(&self.discriminator.forward(&y, mode).expect("scores"));
        let off = (&y - target).abs().mean_dim(&[1i64, 2, 3][..], false, None);
        let rec = (off * share(1.0, 0.0, 0.0)).mean(None);
        let ssim = losses::dissimilarity(&y, target);
        let near = (&y - target).pow_tensor_scalar(4.0).mean(None);
        let cell = target.size()[2] / 8;
        let grid = (&y - target).avg_pool2d([cell; 2], [cell; 2], [0, 0], false, true, None);
        let low = grid.square().mean(None);
        let light = grid.mean_dim(&[1i64][..], false, None).square().mean(None);
        let e_y = self.frozen.encoder();
        let features = e_y.features(&y);
        let e_y = e_y.head(&features[features.len() - 1]);
        let pos = -cos(&e_y, &wanted).mean(None);
        let nearer = |y: &Tensor, s: &Tensor, t: &Tensor| {
            ((cos(y, t) - cos(s, t)).relu() * &others).mean(None)
        };
        let push = nearer(&e_y, &e_s, &e_t);
        let [mut judged_pos, mut judged_push] = [0.0, 0.0].map(|zero: f64| Tensor::from(zero));
        for judge in judges {
            let [s, t, face] = [source, target, &y].map(|x| judge.embed(x));
            let own = share(1.0, 0.0, 0.0).unsqueeze(1);
            let wanted = &t * &own + &s * (1.0 - &own);
            let share_of = 1.0 / judges.len() as f64;
            judged_pos -= (cos(&face, &wanted) * share(1.0, 1.0, 0.0)).mean(None) * share_of;
            judged_push += nearer(&face, &s, &t) * share_of;
        }
        let mut total = &adv * w.adv
            + &rec * w.rec
            + &ssim * w.ssim
            + &near * w.near
            + &low * w.low
            + &light * w.light
            + (&pos + &judged_pos * 0.5) * w.pos
            + (&push + &judged_push) * w.push;
        if let Some([a_s, a_t]) = &who {
            let flight = nearer(&guess(&y), a_s, a_t);
            total += &flight * w.adversary;
            of_adversary.push(("adversary", flight));
        }
        self.optimizers[2].step(&total, rate, clip, observe);
        let losses = vec![
            ("D_loss", d_loss),
            ("adv", adv),
            ("rec", rec),
            ("ssim", ssim),
            ("near", near),
            ("low", low),
            ("light", light),
            ("pos", pos),
            ("push", push),
            ("judged_pos", judged_pos),
            ("judged_push", judged_push),
            ("G_loss", total),
        ];
        losses.into_iter().chain(of_adversary).collect()
    }
}
