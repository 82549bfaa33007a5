//! A step of stage II as it is computed against its definition, in float64 on a narrow model:
//! every loss, and the gradient of every trained tensor of all optimizers.
//!
//! Between the two lie: no graph through the frozen half, restricted passes where z_id is
//! wanted only, fewer forward passes, one loss at a time back to the face, masks as matrix
//! products, the mix by one map, recomputed blocks. All are exact, so what is left is rounding.
#![allow(clippy::unwrap_used)]

#[path = "../benches/plain/mod.rs"]
mod plain;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use c10d::World;
use encoder::{Fidelity, FrozenEncoder, ModelConfig, StatsAccumulator};
use faces::{PairBatch, PairItem, Relation};
use fse::Extractor;
use irc::{IrcConfig, IrcStage};
use tch::{Device, Kind, Tensor};
use train::{Optimizers, Stage, StepInfo};

/// Random weights are drawn from libtorch's one generator: by one test at a time.
static GENERATOR: Mutex<()> = Mutex::new(());

/// High enough for the discriminators' updates to be seen by the generator's losses.
const RATE: f64 = 1e-2;

/// Of a gradient's largest number.
const WITHIN: f64 = 1e-9;

/// The same, where the generator learns from an adversary that has just taken a step: Adam makes as
/// much of a gradient that is near nothing as of any other. Seen: 8e-10, 5e-9 for biases before a
/// norm.
const WITHIN_PURSUED: f64 = 1e-8;

fn images(config: &ModelConfig, count: i64, seed: u64) -> Tensor {
    let shape = [count, 3, config.image_size, config.image_size];
    c10d::torch::randn_seeded(&shape, seed, Kind::Double, Device::Cpu).unwrap().clamp(-1.0, 1.0)
}

/// Stage II of a narrow model in float64.
fn stage(config: &ModelConfig, settings: IrcConfig) -> IrcStage {
    let encoder = FrozenEncoder::random(config, 1, Device::Cpu);
    let mut stats = StatsAccumulator::new(config, Device::Cpu).discriminating(config, 3);
    let photos = images(config, 6, 11).to_kind(Kind::Float);
    stats.add_people(&encoder, &photos, &[0, 0, 1, 1, 2, 2]);
    let stats = stats.finish().unwrap();
    let extractor = Extractor::new(config, encoder, &stats, 0.3, 2, Device::Cpu);
    let stage = IrcStage::new(extractor, config, settings, 5).unwrap();
    widen(stage.state());
    stage
}

/// From here on in float64.
fn widen(tensors: weights::Tensors) {
    for (_, mut tensor) in tensors.into_iter().filter(|(_, tensor)| tensor.is_floating_point()) {
        let double = tensor.detach().to_kind(Kind::Double);
        tensor.set_data(&double);
    }
}

/// Two steps, ours and by definition, on the same batch: every loss, every gradient.
fn agree(
    stage: &mut IrcStage,
    batch: &PairBatch,
    (step, within): (u64, f64),
    by_definition: impl FnOnce(&mut plain::Observer<'_>) -> plain::Losses,
) {
    let world = World::solo();
    let unclipped = train::Config { clip_grad_norm: 0.0, ..Default::default() };
    let mut optim = Optimizers::new(&world, stage.groups(), &unclipped).unwrap();
    optim.begin_step(RATE);
    let (epoch, seed, total) = (0, 1, 100);
    let info =
        StepInfo { epoch, batch: step, step, total, seed, log_due: false, preview_due: false };
    let ours = stage.step(batch, &mut optim, &info).unwrap();
    let ours: BTreeMap<_, _> =
        ours.terms.into_iter().map(|term| (term.name, term.value)).chain(ours.totals).collect();

    let mut gradients: BTreeMap<String, Vec<(String, Tensor)>> = BTreeMap::new();
    let losses = by_definition(&mut |group, parameters| {
        let gradients_of = parameters.iter().map(|(name, p)| (name.clone(), p.grad().copy()));
        gradients.insert(group.into(), gradients_of.collect());
    });
    let largest = |t: &Tensor| t.abs().max().double_value(&[]);
    for (name, expected) in losses {
        let (gap, size) = (largest(&(&ours[name] - &expected)), largest(&expected));
        assert!(size > 0.0 && gap < 1e-11 * size, "{name}: {gap:e} of {size:e}");
    }
    // Adam's first mean is (1 − β₁) times the gradient. Biases before a norm have none but
    // rounding: a share of the whole group's largest number is the measure of those. Seen:
    // 3e-11 at most, 1e-10 for such biases.
    let moments = optim.state();
    for group in stage.groups() {
        let of_group = &gradients[group.name];
        assert_eq!(of_group.len(), group.parameters.len(), "{}", group.name);
        let whole = of_group.iter().map(|(_, g)| largest(g)).fold(0.0, f64::max);
        for (name, expected) in of_group {
            let mean = &moments[&format!("{}.{name}.exp_avg", group.name)];
            assert_eq!(mean.kind(), Kind::Double);
            let gap = largest(&(mean / (1.0 - group.betas.0) - expected));
            let size = largest(expected).max(1e-4 * whole);
            assert!(gap < within * size, "{name}: {gap:e} of {size:e}");
        }
    }
}

/// Pairs of random pictures.
fn pairs(config: &ModelConfig, relations: &[Relation]) -> PairBatch {
    let item = |(k, &relation): (usize, &Relation)| PairItem {
        position: k as u64,
        source: k,
        target: relations.len() + k,
        relation,
        seed: 70 + k as u64,
    };
    let count = relations.len() as i64;
    let bytes = |seed| ((images(config, count, seed) + 1.0) * 127.5).to_kind(Kind::Uint8);
    PairBatch {
        source: bytes(12),
        target: bytes(13),
        items: relations.iter().enumerate().map(item).collect(),
        names: vec![String::new(); relations.len()],
    }
}

#[test]
fn every_published_loss_and_gradient_is_that_of_the_definition() {
    let _alone = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    let config = ModelConfig {
        image_size: 256,
        width_divisor: 16,
        fidelity: Fidelity::Corrected,
        ..ModelConfig::default()
    };
    let settings = IrcConfig { recompute_from: 32, ..IrcConfig::of(Fidelity::Published) };
    let weights = settings.loss.clone();
    let mut stage = stage(&config, settings);
    let mut by_definition = plain::Plain::new(&stage.state(), &config);
    let batch = pairs(&config, &[Relation::Different; 2]);
    agree(&mut stage, &batch, (0, WITHIN), |observe| {
        by_definition.step(&batch, &weights, (RATE, 0.0), observe)
    });
}

/// After warm-up and ramp, with two recognisers beside the encoder, on pairs of every kind.
#[test]
fn every_corrected_loss_and_gradient_is_that_of_the_description() {
    corrected(false, WITHIN);
}

/// The same with a recogniser that learns along.
#[test]
fn so_are_those_of_the_adversary() {
    corrected(true, WITHIN_PURSUED);
}

fn corrected(pursued: bool, within: f64) {
    let _alone = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    use plain::corrected::{Given, given};
    let config = ModelConfig {
        image_size: 128,
        width_divisor: 16,
        fidelity: Fidelity::Corrected,
        ..ModelConfig::default()
    };
    let settings =
        IrcConfig { views: false, perturbed_share: 0.5, ..IrcConfig::of(Fidelity::Corrected) };
    let judge = |seed| {
        let judge = FrozenEncoder::random(&config, seed, Device::Cpu);
        widen(judge.state());
        judge
    };
    let judges = || vec![judge(31), judge(32)];
    let mut stage = stage(&config, settings.clone()).judged_by(judges());
    if pursued {
        stage = stage.pursued_by(judge(33)).unwrap();
    }
    widen(stage.state());
    let mut by_definition = plain::Plain::new(&stage.state(), &config);
    let relations = [
        [Relation::SameImage; 1].as_slice(),
        [Relation::SamePerson; 4].as_slice(),
        [Relation::Different; 5].as_slice(),
    ];
    let batch = pairs(&config, &relations.concat());
    let mut kinds = given(&batch, &settings);
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds, [Given::Own, Given::OtherPhoto, Given::Source, Given::Drawn]);
    agree(&mut stage, &batch, (90, within), |observe| {
        let adversary = pursued.then(|| judge(33));
        let recognisers = (&judges()[..], adversary.as_ref());
        by_definition.corrected_step(&batch, &settings, recognisers, (RATE, 0.0), observe)
    });
}
