//! The recogniser's training on a narrow model: what moves, what is exported, in which dtype.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::{Mutex, MutexGuard, PoisonError};

use c10d::World;
use encoder::pretraining::{EncoderStage, Margin, RecogniserConfig};
use encoder::{BatchStatistics, FrozenEncoder, ModelConfig};
use faces::{FaceBatch, FaceItem};
use tch::{Device, Kind, Tensor};
use train::config::{Optimizer, Precision};
use train::{Config, Optimizers, Stage, StepInfo};
use weights::Tensors;

/// Weights are drawn from libtorch's default generator, of which a process has one.
fn alone() -> MutexGuard<'static, ()> {
    static GENERATOR: Mutex<()> = Mutex::new(());
    GENERATOR.lock().unwrap_or_else(PoisonError::into_inner)
}

fn model() -> ModelConfig {
    ModelConfig { image_size: 256, width_divisor: 16, ..ModelConfig::default() }
}

fn stage(config: RecogniserConfig) -> EncoderStage {
    let start = FrozenEncoder::random(&model(), 1, Device::Cpu);
    EncoderStage::new(&model(), &start, 5, config, 3, Device::Cpu).unwrap()
}

fn batch(seed: u64) -> FaceBatch {
    let noise = c10d::torch::randn_seeded(&[4, 3, 256, 256], seed, Kind::Float, Device::Cpu);
    let images = ((noise.unwrap() + 1.0) * 127.5).clamp(0.0, 255.0).to_kind(Kind::Uint8);
    let item =
        |k: usize| FaceItem { position: k as u64, image: k, label: k % 5, seed: seed + k as u64 };
    FaceBatch { images, items: (0..4).map(item).collect(), names: vec![String::new(); 4] }
}

fn info(step: u64) -> StepInfo {
    let (epoch, batch, seed) = (0, step, step + 40);
    StepInfo { epoch, batch, step, total: 4, seed, log_due: true, preview_due: true }
}

fn sgd() -> Config {
    Config { optimizer: Optimizer::Sgd, clip_grad_norm: 5.0, ..Config::default() }
}

fn copy(state: &Tensors) -> Tensors {
    state.iter().map(|(name, tensor)| (name.clone(), tensor.detach().copy())).collect()
}

/// Two steps; loss and gradient norm of the first, which no update has touched yet.
fn two_steps(stage: &mut EncoderStage, precision: Precision) -> (f64, f64) {
    let world = World::solo();
    let mut optim = Optimizers::new(&world, stage.groups(), &sgd()).unwrap();
    let mut found = Vec::new();
    for step in 0..2 {
        optim.begin_step(0.05);
        let _precision = precision.enter(Device::Cpu);
        let losses = stage.step(&batch(step), &mut optim, &info(step)).unwrap();
        for (tag, name) in stage.scalars() {
            let known = losses.totals.iter().any(|(total, _)| total == name)
                || losses.terms.iter().any(|term| term.name == *name);
            assert!(known, "{tag} shows {name}, which the step did not return");
        }
        assert_eq!(losses.totals[0].1.kind(), Kind::Float);
        let number = |t: &Tensor| t.double_value(&[]);
        found.push((number(&losses.totals[0].1), number(&optim.grad_norms()[0].1)));
    }
    assert!(found.iter().all(|(loss, norm)| loss.is_finite() && norm.is_finite()), "{found:?}");
    found[0]
}

#[test]
fn everything_learns_and_the_export_is_a_frozen_encoder() {
    let _alone = alone();
    for margin in [Margin::ArcFace, Margin::CosFace] {
        let mut stage = stage(RecogniserConfig { margin, ..RecogniserConfig::default() });
        let before = copy(&stage.state());
        two_steps(&mut stage, Precision::Float32);
        // The batch norm after the linear layer takes its bias out again.
        let moves = |name: &String| name != "encoder.output_layer128.3.bias";
        for (name, old) in before.iter().filter(|(name, _)| moves(name)) {
            assert!(!stage.state()[name].equal(old), "{name} has not moved");
        }
        assert!(before.contains_key("head.weight"));

        let exported = stage.weights();
        assert!(exported.keys().all(|name| !name.contains("head")));
        let mut frozen = FrozenEncoder::random(&model(), 9, Device::Cpu);
        frozen.fill(&exported, "the export").unwrap();
        let _guard = tch::no_grad_guard();
        let (images, _) = batch(7).to_device(Device::Cpu).unwrap();
        assert!(frozen.embed(&images).equal(&stage.encoder().embed(&images)));
        let picture = stage.preview(&batch(3)).unwrap().unwrap();
        assert_eq!(picture.size(), [3, 64, 4 * 64]);
    }
}

#[test]
fn frozen_statistics_stay_and_half_precision_trains() {
    let _alone = alone();
    let usual = RecogniserConfig { dropout: 0.0, ..RecogniserConfig::default() };
    let frozen = RecogniserConfig { batch_norm: BatchStatistics::Frozen, ..usual.clone() };
    let mut still = stage(frozen);
    let before = copy(&still.state());
    two_steps(&mut still, Precision::Float32);
    for (name, old) in before.iter().filter(|(name, _)| name.contains(".running_")) {
        assert!(still.state()[name].equal(old), "{name}");
    }

    let full = two_steps(&mut stage(usual.clone()), Precision::Float32);
    let mut narrow = stage(usual);
    let half = two_steps(&mut narrow, Precision::BFloat16);
    assert!((half.0 - full.0).abs() < 0.15 * full.0, "{half:?} {full:?}");
    assert!(narrow.state().values().all(|tensor| tensor.kind() == Kind::Float));
}

#[test]
fn an_encoder_of_another_size_is_no_start() {
    let _alone = alone();
    let other = ModelConfig { width_divisor: 8, ..model() };
    let start = FrozenEncoder::random(&other, 1, Device::Cpu);
    let config = RecogniserConfig::default();
    let error = EncoderStage::new(&model(), &start, 5, config, 3, Device::Cpu).unwrap_err();
    assert!(!error.to_string().contains('\n'), "{error}");
}
