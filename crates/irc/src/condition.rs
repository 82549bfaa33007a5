//! Which identity each face of a batch is given, and which it is then to have.

use c10d::torch::upload;
use encoder::{Fidelity, normalize};
use faces::{PairBatch, Relation};
use rand::SeedableRng;
use tch::{Kind, Tensor};
use train::{StepInfo, mix, unit};

use crate::{Error, IrcConfig, Perturbation, perturb};

/// Streams of an image's random numbers: whether its identity is perturbed, how, and which of
/// two photos of a person an own identity comes from.
const WHETHER: u64 = 1;
const HOW: u64 = 3;
const WHICH: u64 = 4;

/// What the frozen half knows of a batch's identities, [B, D] each.
pub(crate) struct Identities<'a> {
    /// z_id of sources and targets.
    pub(crate) z: &'a (Tensor, Tensor),
    /// E of sources and targets, of unit length.
    pub(crate) e: &'a (Tensor, Tensor),
}

/// What a step gives the generator and asks of it.
pub(crate) struct Condition {
    /// What the generator is conditioned on, [B, D].
    pub(crate) identity: Tensor,
    /// What E is to see in the painted face, [B, D] of unit length.
    pub(crate) wanted: Tensor,
    /// 1 for own pairs, else 0: `[B]`.
    pub(crate) own: Tensor,
    /// 1 for pairs whose new identity is the source's, another person's: `[B]`.
    pub(crate) swapped: Tensor,
    /// How far identity terms have risen, 0 to 1.
    pub(crate) risen: f64,
    /// Whether recognisers look at the face: before identity terms count, for the log alone.
    pub(crate) looked_at: bool,
}

/// Where a face's identity comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// The target's own photo.
    Target,
    /// Another photo of the target's person.
    OtherPhoto,
    /// The source, another person.
    Source,
    /// Drawn.
    Drawn,
}

impl Condition {
    /// Decides for every pair; a pure function of the pairs' seeds and the place in the run.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub(crate) fn new(
        seen: &Identities<'_>,
        batch: &PairBatch,
        info: &StepInfo,
        config: &IrcConfig,
        fidelity: Fidelity,
    ) -> Result<Condition, Error> {
        let device = seen.e.0.device();
        let kind = seen.e.0.kind();
        let progress = info.step as f64 / info.total.max(1) as f64;
        let warming = progress < config.warmup;
        let risen = match progress - config.warmup {
            since if since < 0.0 => 0.0,
            since if config.ramp > 0.0 => (since / config.ramp).min(1.0),
            _ => 1.0,
        };
        let looked_at = risen > 0.0 || info.log_due;
        let from: Vec<From> = batch
            .items
            .iter()
            .map(|item| match item.relation {
                _ if fidelity == Fidelity::Published => From::Source,
                Relation::SamePerson if mix(item.seed, WHICH) & 1 == 0 => From::OtherPhoto,
                Relation::SamePerson | Relation::SameImage => From::Target,
                Relation::Different if warming => From::Target,
                Relation::Different if unit(item.seed, WHETHER) < config.perturbed_share => {
                    From::Drawn
                }
                Relation::Different => From::Source,
            })
            .collect();
        let rows = |of: &[From]| -> Result<Tensor, Error> {
            let rows: Vec<f32> = from.iter().map(|f| f32::from(u8::from(of.contains(f)))).collect();
            Ok(upload(&Tensor::f_from_slice(&rows).map_err(c10d::Error::from)?, device)?
                .to_kind(kind))
        };
        let own = rows(&[From::Target, From::OtherPhoto])?;
        let swapped = rows(&[From::Source])?;
        if fidelity == Fidelity::Published {
            let (identity, wanted) = (seen.z.0.shallow_clone(), seen.e.0.shallow_clone());
            return Ok(Condition { identity, wanted, own, swapped, risen, looked_at });
        }

        let pick = |mask: &Tensor, yes: &Tensor, no: &Tensor| {
            yes.where_self(&mask.unsqueeze(1).gt(0.5), no)
        };
        let (z_s, z_t) = (normalize(&seen.z.0), normalize(&seen.z.1));
        let mut identity = pick(&rows(&[From::Target])?, &z_t, &z_s);
        let mut wanted = pick(&own, &seen.e.1, &seen.e.0);
        if from.contains(&From::Drawn) {
            let seeds = batch.items.iter().map(|item| mix(item.seed, HOW));
            let drawn = match config.perturbation {
                Perturbation::Angular => {
                    perturb::angular(&z_s, &dpp::Angular::new(config.epsilon)?, seeds)?
                }
                Perturbation::Independent => independent(&z_s, seeds)?,
            }
            .to_kind(kind);
            let mask = rows(&[From::Drawn])?;
            identity = pick(&mask, &drawn, &identity);
            wanted = pick(&mask, &drawn, &wanted);
        }
        Ok(Condition { identity, wanted, own, swapped, risen, looked_at })
    }
}

/// Uniform directions, one a seed, in the shape and place of `like` [B, D].
pub(crate) fn independent(
    like: &Tensor,
    seeds: impl Iterator<Item = u64>,
) -> Result<Tensor, Error> {
    let (rows, dims) = like.size2().map_err(c10d::Error::from)?;
    let mechanism = dpp::Independent::uniform(usize::try_from(dims).unwrap_or(0))?;
    let mut all: Vec<f32> = Vec::new();
    for seed in seeds {
        all.extend(mechanism.draw(&mut dpp::Generator::seed_from_u64(seed))?);
    }
    let drawn = Tensor::f_from_slice(&all).and_then(|t| t.f_view([rows, dims]));
    Ok(upload(&drawn.map_err(c10d::Error::from)?.to_kind(Kind::Float), like.device())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use faces::PairItem;
    use tch::Device;

    fn random(seed: u64) -> Tensor {
        let drawn = c10d::torch::randn_seeded(&[64, 32], seed, Kind::Float, Device::Cpu);
        normalize(&drawn.unwrap())
    }

    /// 64 pairs, half of them of one person, in the warm-up and after it.
    #[test]
    fn everyone_gets_the_identity_that_the_plan_says() {
        let relations = [Relation::SameImage, Relation::SamePerson, Relation::Different];
        let items: Vec<PairItem> = (0..64)
            .map(|k| {
                let relation = relations[(k % 4).min(2)];
                PairItem { position: 0, source: 0, target: 0, relation, seed: mix(9, k as u64) }
            })
            .collect();
        let empty = || Tensor::zeros([64, 3, 1, 1], (Kind::Uint8, Device::Cpu));
        let names = vec![String::new(); 64];
        let batch = PairBatch { source: empty(), target: empty(), items, names };
        let (z, e) = ((random(1), random(2)), (random(3), random(4)));
        let seen = Identities { z: &z, e: &e };
        let config = IrcConfig { perturbed_share: 0.5, ramp: 0.15, ..IrcConfig::default() };
        let at = |step| {
            let info = StepInfo {
                epoch: 0,
                batch: 0,
                step,
                total: 100,
                seed: 1,
                log_due: false,
                preview_due: false,
            };
            Condition::new(&seen, &batch, &info, &config, Fidelity::Corrected).unwrap()
        };
        let same = |a: &Tensor, b: &Tensor, k: usize| {
            let gap = (a.get(k as i64) - b.get(k as i64)).abs().max();
            gap.double_value(&[]) < 1e-6
        };
        let (early, late) = (at(0), at(60));
        assert_eq!((early.risen, at(12).risen, late.risen), (0.0, 0.0, 1.0));
        assert!((at(18).risen - 0.4).abs() < 1e-9);
        let (mut other_photos, mut drawn, mut swapped) = (0, 0, 0);
        for (k, item) in batch.items.iter().enumerate() {
            let own = late.own.double_value(&[k as i64]) == 1.0;
            assert_eq!(own, item.relation != Relation::Different);
            assert_eq!(early.own.double_value(&[k as i64]), 1.0);
            assert!(same(&early.wanted, &e.1, k));
            if own {
                assert!(same(&late.wanted, &e.1, k));
                let other = same(&late.identity, &z.0, k);
                assert!(other || same(&late.identity, &z.1, k));
                assert!(!other || item.relation == Relation::SamePerson);
                other_photos += usize::from(other);
            } else if late.swapped.double_value(&[k as i64]) == 1.0 {
                assert!(same(&late.identity, &z.0, k) && same(&late.wanted, &e.0, k));
                swapped += 1;
            } else {
                assert!(same(&late.identity, &late.wanted, k));
                assert!(!same(&late.identity, &z.0, k) && !same(&late.identity, &z.1, k));
                drawn += 1;
            }
        }
        assert!((other_photos, drawn, swapped) > (2, 5, 5), "{other_photos} {drawn} {swapped}");
    }
}
