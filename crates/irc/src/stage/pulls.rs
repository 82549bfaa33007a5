//! What the generator's losses pull a painted face to: the target's picture, the identity that it
//! was given, and away from its own.

use encoder::Fidelity;
use faces::PairBatch;
use fse::{Noise, PerceptualNoise};
use tch::Tensor;
use train::mix;

use super::IrcStage;
use super::seen::Seen;
use crate::condition::Condition;
use crate::painted::{Painted, Report};
use crate::{Error, losses};

/// Stream of an image's random numbers: the noise of the painted face.
const PAINTED: u64 = 2;

impl IrcStage {
    /// What is to stay of the target's picture: pixels, colours, light.
    pub(super) fn keep(
        &self,
        seen: &Seen,
        condition: &Condition,
        painted: &mut Painted<'_>,
        report: &mut Report,
    ) -> Result<(), Error> {
        let w = &self.config.loss;
        let face = &painted.face();
        if w.rec != 0.0 {
            let rec = losses::reconstruction(face, &seen.target, &condition.own);
            painted.learn(report.term("rec", w.rec, rec))?;
        }
        if w.ssim != 0.0 {
            let ssim = losses::dissimilarity(face, &seen.target);
            painted.learn(report.term("ssim", w.ssim, ssim))?;
        }
        if w.near != 0.0 {
            let near = losses::nearness(face, &seen.target);
            painted.learn(report.term("near", w.near, near))?;
        }
        if w.low != 0.0 || w.light != 0.0 {
            let [low, light] = losses::grid(face, &seen.target);
            let low = report.term("low", w.low, low);
            painted.learn(low + report.term("light", w.light, light))?;
        }
        Ok(())
    }

    /// Who is to be recognised in the face, of which recognisers see a view, and who not, and what
    /// else the encoder perceives.
    pub(super) fn recognise(
        &self,
        seen: &Seen,
        condition: &Condition,
        different: Option<losses::DifferentPairs>,
        batch: &PairBatch,
        (painted, viewed): (&mut Painted<'_>, &mut Painted<'_>),
        report: &mut Report,
    ) -> Result<(), Error> {
        let w = &self.config.loss;
        let face = &painted.face();

        // Without views, who perceives the face recognises it as well.
        let mut on_face = None;
        if w.per != 0.0 || different.is_some() {
            let seeds = batch.items.iter().map(|item| mix(item.seed, PAINTED));
            let noise = Noise::Seeded(seeds.collect());
            let (perceived, e_y) = self.perceive(face, &noise)?;
            let mut loss = Tensor::zeros([0i64; 0], (face.kind(), face.device()));
            if w.per != 0.0 {
                let per = losses::perceptual(&perceived, &seen.perceived);
                loss += report.term("per", w.per, per);
            }
            if let Some(different) = different {
                let neg = different.negative(&e_y, &seen.z.1)?;
                loss += report.term("neg", w.neg, neg);
            }
            match self.config.views {
                true => painted.learn(loss)?,
                false => on_face = Some((e_y, loss)),
            }
        }
        if let Some((e_y, loss)) = on_face {
            painted.learn(loss + self.identify(&e_y, seen, condition, report))?;
        } else if !condition.looked_at {
            return Ok(());
        } else if w.pos != 0.0 || w.push != 0.0 {
            let e_y = self.extractor.encoder().embed(&viewed.face());
            viewed.learn(self.identify(&e_y, seen, condition, report))?;
        }
        self.judge(seen, condition, viewed, report)
    }

    /// The encoder's part: the identity that was given, and not the face's own.
    fn identify(
        &self,
        e_y: &Tensor,
        seen: &Seen,
        condition: &Condition,
        report: &mut Report,
    ) -> Tensor {
        let w = &self.config.loss;
        let mut loss = Tensor::zeros([0i64; 0], (e_y.kind(), e_y.device()));
        if w.pos != 0.0 {
            let everyone = condition.own.ones_like();
            let pos = losses::pull(e_y, &condition.wanted, &everyone);
            loss += report.term("pos", w.pos * condition.risen, pos);
        }
        if w.push != 0.0 {
            let push = losses::push(e_y, (&seen.e.0, &seen.e.1), &(1.0 - &condition.own));
            loss += report.term("push", w.push * condition.risen, push);
        }
        loss
    }

    /// The part of the recognisers beside the encoder.
    fn judge(
        &self,
        seen: &Seen,
        condition: &Condition,
        viewed: &mut Painted<'_>,
        report: &mut Report,
    ) -> Result<(), Error> {
        if self.judges.is_empty() {
            return Ok(());
        }
        let w = &self.config.loss;
        let weights = [0.5 * w.pos * condition.risen, w.push * condition.risen];
        let share = 1.0 / self.judges.len() as f64;
        let own = condition.own.unsqueeze(1).gt(0.5);
        // A drawn identity is nobody's, so a judge has no face for it.
        let known = &condition.own + &condition.swapped;
        let others = 1.0 - &condition.own;
        let mut sums = [0.0; 2].map(|zero: f64| Tensor::from(zero).to_device(own.device()));
        for judge in &self.judges {
            let embed = |faces: &Tensor| tch::no_grad(|| judge.embed(faces));
            let (e_s, e_t) = (embed(&seen.source), embed(&seen.target));
            let e_y = judge.embed(&viewed.face());
            let terms = [
                losses::pull(&e_y, &e_t.where_self(&own, &e_s), &known) * share,
                losses::push(&e_y, (&e_s, &e_t), &others) * share,
            ];
            viewed.learn(&terms[0] * weights[0] + &terms[1] * weights[1])?;
            for (sum, term) in sums.iter_mut().zip(terms) {
                *sum = &*sum + term.detach();
            }
        }
        for ((name, weight), sum) in
            ["judged_pos", "judged_push"].into_iter().zip(weights).zip(sums)
        {
            report.note(name, weight, sum);
        }
        Ok(())
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
}
