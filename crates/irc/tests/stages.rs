//! Both stages on a narrow model: every trained tensor moves, nothing else
//! does, and every size the model exists for fits together.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::{Mutex, MutexGuard, PoisonError};

use c10d::World;
use c10d::torch::Autocast;
use encoder::{Fidelity, FrozenEncoder, ModelConfig, StatsAccumulator};
use faces::{PairBatch, PairItem, Relation};
use fse::{Extractor, FseConfig, FseStage};
use irc::{BatchStatistics, IrcConfig, IrcStage, Mode, Protector, Reconstructor};
use tch::{Device, Kind, Tensor};
use train::config::Precision;
use train::{Optimizers, Stage, StepInfo};
use weights::Tensors;

/// Weights are drawn from libtorch's default generator, of which a process has one.
fn alone() -> MutexGuard<'static, ()> {
    static GENERATOR: Mutex<()> = Mutex::new(());
    GENERATOR.lock().unwrap_or_else(PoisonError::into_inner)
}

fn model(image_size: i64, fidelity: Fidelity) -> ModelConfig {
    ModelConfig { image_size, width_divisor: 16, fidelity, ..ModelConfig::default() }
}

fn batch(config: &ModelConfig, seed: u64) -> PairBatch {
    tch::manual_seed(seed as i64);
    let side = config.image_size;
    let images = || Tensor::randint(256, [2, 3, side, side], (Kind::Uint8, Device::Cpu));
    let item = |k: u64| PairItem {
        position: k,
        source: k as usize,
        target: 2 + k as usize,
        relation: Relation::Different,
        seed: seed * 100 + k,
    };
    PairBatch {
        source: images(),
        target: images(),
        items: vec![item(0), item(1)],
        names: vec![String::new(); 2],
    }
}

fn extractor(config: &ModelConfig) -> Extractor {
    let encoder = FrozenEncoder::random(config, 1, Device::Cpu);
    let mut stats = StatsAccumulator::new(config, Device::Cpu);
    let (source, target) = batch(config, 9).to_device(Device::Cpu).unwrap();
    stats.add(&encoder, &source);
    stats.add(&encoder, &target);
    Extractor::new(config, encoder, &stats.finish().unwrap(), 1.0, 2, Device::Cpu)
}

fn info(step: u64) -> StepInfo {
    // Past the warm-up, all terms at their weights.
    let (epoch, batch, seed, step) = (0, step, step + 40, step + 1);
    StepInfo { epoch, batch, step, total: 1, seed, log_due: true, preview_due: true }
}

fn copy(state: &Tensors) -> Tensors {
    state.iter().map(|(name, tensor)| (name.clone(), tensor.detach().copy())).collect()
}

/// Runs two steps; returns the names of all tensors that changed.
fn changed<S: Stage<Batch = PairBatch>>(stage: &mut S, config: &ModelConfig) -> Vec<String> {
    let world = World::solo();
    let before = copy(&stage.state());
    let mut optim = Optimizers::new(&world, stage.groups(), &train::Config::default()).unwrap();
    for step in 0..2 {
        optim.begin_step(1e-3);
        let losses = stage.step(&batch(config, step), &mut optim, &info(step)).unwrap();
        for term in &losses.terms {
            assert!(term.value.double_value(&[]).is_finite(), "{}", term.name);
        }
        for (tag, name) in stage.scalars() {
            let known = losses.totals.iter().any(|(total, _)| total == name)
                || losses.terms.iter().any(|term| term.name == *name);
            // The corrected objective is another one.
            let wanted = config.fidelity == Fidelity::Published || name.ends_with("loss");
            assert!(known || !wanted, "{tag} shows {name}, which the step did not return");
        }
        assert!(optim.left_out().iter().all(|(_, flag)| f64::try_from(flag).unwrap() == 0.0));
    }
    let picture = tch::no_grad(|| stage.preview(&batch(config, 3))).unwrap().unwrap();
    assert_eq!(picture.size(), [3, config.image_size, 3 * config.image_size]);
    let after = stage.state();
    before.iter().filter(|(name, old)| !after[*name].equal(old)).map(|(n, _)| n.clone()).collect()
}

#[test]
fn stage_one_moves_the_separation_layers_and_nothing_else() {
    let _alone = alone();
    let without_retention = || {
        let mut settings = FseConfig::of(Fidelity::Corrected);
        settings.loss.retention = 0.0;
        settings
    };
    for (fidelity, settings) in [
        (Fidelity::Corrected, FseConfig::of(Fidelity::Corrected)),
        (Fidelity::Published, FseConfig::of(Fidelity::Published)),
        (Fidelity::Corrected, without_retention()),
    ] {
        let config = model(256, fidelity);
        let extractor = extractor(&config);
        let mut expected: Vec<String> = extractor.trainable().into_iter().map(|p| p.0).collect();
        // Their loss has no way to layer 0 but identity retention, which has one.
        expected.retain(|name| settings.loss.retention != 0.0 || !name.starts_with("se.iba_0."));
        expected.sort();
        let painted = config.clone();
        let painter: fse::PainterFactory =
            Box::new(move || Box::new(Reconstructor::new(&painted, 3, Device::Cpu)));
        let mut stage = FseStage::new(extractor, settings, Some(painter)).unwrap();
        let changed = changed(&mut stage, &config);
        assert_eq!(changed, expected, "{fidelity}");
    }
}

#[test]
fn stage_two_moves_generator_decoder_and_discriminators_and_nothing_else() {
    let _alone = alone();
    for fidelity in [Fidelity::Corrected, Fidelity::Published] {
        let config = model(256, fidelity);
        let stage = IrcStage::new(extractor(&config), &config, IrcConfig::of(fidelity), 5);
        let origin = FrozenEncoder::random(&config, 7, Device::Cpu);
        let mut stage = stage.unwrap().pursued_by(origin).unwrap();
        // Where its term counts for nothing there is none.
        let pursued = stage.state().keys().any(|name| name.starts_with("adversary."));
        assert_eq!(pursued, fidelity == Fidelity::Corrected);
        // At this width, gates are one channel wide, and some of them shut.
        let gate = |name: &String| name.starts_with("adversary.") && name.contains(".fc");
        let mut changed = changed(&mut stage, &config);
        changed.retain(|name| !gate(name));
        let unused = |name: &String| {
            name.starts_with("se.")
                || name.starts_with("encoder.")
                || name.starts_with("stats.")
                || name.starts_with("G.deconv.")
                || name.starts_with("adversary.") && name.contains(".running_")
                || gate(name)
        };
        let expected: Vec<String> = stage.state().into_keys().filter(|n| !unused(n)).collect();
        assert_eq!(changed, expected, "{fidelity}");
    }
}

/// Recognisers beside the encoder have their say, and are no part of what is saved.
#[test]
fn judges_are_heard_and_not_saved() {
    let _alone = alone();
    let config = model(256, Fidelity::Corrected);
    let own = IrcStage::new(extractor(&config), &config, IrcConfig::default(), 5).unwrap();
    let names: Vec<String> = own.state().into_keys().collect();
    let judges = [7, 8].map(|seed| FrozenEncoder::random(&config, seed, Device::Cpu)).into();
    let stage = IrcStage::new(extractor(&config), &config, IrcConfig::default(), 5).unwrap();
    let stage = stage.judged_by(judges);
    assert!(stage.state().into_keys().eq(names));
    let alone = first_step(own, &config, Precision::Float32);
    let judged = first_step(stage, &config, Precision::Float32);
    let value = |of: &[(&'static str, f64)], name: &str| {
        of.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
    };
    assert_eq!(value(&alone, "judged_push"), None);
    for name in ["judged_pos", "judged_push"] {
        assert!(value(&judged, name).unwrap().abs() <= 1.0, "{name}");
    }
    // The face is the same; what pulls at it is not.
    assert_eq!(value(&alone, "push"), value(&judged, "push"));
    assert_ne!(value(&alone, "generator"), value(&judged, "generator"));
}

/// Up to the order in which gradients are added up: parameters are compared by how far they
/// are apart in all against how far they moved, as Adam makes a whole step of a gradient that
/// is but rounding. Running statistics follow a batch once, not once a pass, which would put
/// them apart by a third of their movement or more (the movement of a mean may itself be rounding).
#[test]
fn recomputing_in_the_backward_pass_changes_nothing() {
    let _alone = alone();
    let config = model(256, Fidelity::Corrected);
    let stage = |recompute_from| {
        let settings = IrcConfig { recompute_from, ..IrcConfig::default() };
        IrcStage::new(extractor(&config), &config, settings, 5).unwrap()
    };
    let after_two_steps = |recompute_from| {
        let mut stage = stage(recompute_from);
        changed(&mut stage, &config);
        copy(&stage.state())
    };
    let start = copy(&stage(0).state());
    let (kept, recomputed) = (after_two_steps(0), after_two_steps(32));
    let apart = |a: &Tensor, b: &Tensor| (a - b).square().sum(Kind::Double).double_value(&[]);
    let (mut gap, mut movement) = (0.0, 0.0);
    for (name, tensor) in &kept {
        let (off, moved) = (apart(tensor, &recomputed[name]), apart(tensor, &start[name]));
        if name.ends_with(".running_var") {
            assert!(off <= 0.03 * moved, "{name}: {off} of {moved}");
        } else if !name.ends_with(".running_mean") {
            gap += off;
            movement += moved;
        }
    }
    assert!(gap < 0.01 * movement, "{gap} of {movement}");
}

#[test]
fn an_extractor_comes_back_from_its_checkpoint_state() {
    let _alone = alone();
    let config = model(256, Fidelity::Corrected);
    let first = extractor(&config);
    let state = copy(&first.state());
    let path = std::path::Path::new("model.safetensors");
    let second = Extractor::from_state(&state, &config, path, Device::Cpu).unwrap();
    for (name, tensor) in second.state() {
        assert!(tensor.equal(&state[&name]), "{name}");
    }
    let mut short = copy(&state);
    short.remove("se.iba_3.conv1.weight");
    let error = Extractor::from_state(&short, &config, path, Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("se.iba_3.conv1.weight") && !error.contains('\n'), "{error}");
}

#[test]
fn every_image_size_paints_an_image_of_its_size() {
    let _alone = alone();
    let _guard = tch::no_grad_guard();
    for size in [128, 256, 512, 1024] {
        let config = model(size, Fidelity::Corrected);
        let shapes = config.feature_shapes();
        let part = |i: usize| {
            Tensor::rand([1, shapes[i].0, shapes[i].1, shapes[i].1], (Kind::Float, Device::Cpu))
        };
        let parts: Vec<Tensor> = (0..10).map(part).collect();
        let image = Tensor::rand([1, 3, size, size], (Kind::Float, Device::Cpu));
        let identity = Tensor::rand([1, config.embedding()], (Kind::Float, Device::Cpu));
        let painter = Reconstructor::new(&config, 1, Device::Cpu);
        let y = painter.paint(&identity, &image, &parts, &parts, &Mode::Eval).unwrap();
        assert_eq!(y.size(), [1, 3, size, size]);
        let names: Vec<String> = painter.state().into_keys().collect();
        let has = |name: &str| names.iter().any(|n| n == name);
        assert_eq!(has("G.AADBlk_8.conv1.weight"), size == 1024);
        assert_eq!(has("decoder.deconv7.deconv.weight"), size == 1024);
        assert_eq!(has("G.AADBlk8.conv2.weight"), size != 1024);
    }
}

/// Sizes the published model states: 14.2 M, 67.2 M, 121.5 M, 8.3 M, 21.9 M.
#[test]
fn full_width_has_the_published_number_of_weights() {
    let _alone = alone();
    let count = |state: &Tensors, prefix: &str| -> f64 {
        let own = state.iter().filter(|(name, _)| name.starts_with(prefix));
        own.map(|(_, tensor)| tensor.numel() as f64).sum::<f64>() / 1e6
    };
    let config = ModelConfig::default();
    let painter = Reconstructor::new(&config, 1, Device::Cpu).state();
    assert!((count(&painter, "decoder.") - 67.2).abs() < 0.05, "{}", count(&painter, "decoder."));
    assert!((count(&painter, "G.") - 121.5).abs() < 0.05, "{}", count(&painter, "G."));
    drop(painter);
    let store = tch::nn::VarStore::new(Device::Cpu);
    let _d = irc::PatchDiscriminator::new(&(store.root() / "d"), &config);
    let _i = irc::IidDiscriminator::new(&(store.root() / "i"), &config);
    let state: Tensors = store.variables().into_iter().collect();
    assert!((count(&state, "d.") - 8.3).abs() < 0.05, "{}", count(&state, "d."));
    assert!((count(&state, "i.") - 21.9).abs() < 0.05, "{}", count(&state, "i."));
}

/// Losses and gradient norms of a first step, and the dtypes of what it trained.
fn first_step<S: Stage<Batch = PairBatch>>(
    mut stage: S,
    config: &ModelConfig,
    precision: Precision,
) -> Vec<(&'static str, f64)> {
    let world = World::solo();
    let mut optim = Optimizers::new(&world, stage.groups(), &train::Config::default()).unwrap();
    optim.begin_step(1e-3);
    let losses = {
        let _precision = precision.enter(Device::Cpu);
        stage.step(&batch(config, 0), &mut optim, &info(0)).unwrap()
    };
    assert!(!Autocast::is_on(Device::Cpu), "autocast ends with its guard");
    for (name, tensor) in stage.groups().into_iter().flat_map(|group| group.parameters) {
        assert_eq!(tensor.kind(), Kind::Float, "{name}");
    }
    let terms = losses.terms.into_iter().map(|term| (term.name, term.value));
    let all = terms.chain(losses.totals).chain(optim.grad_norms());
    all.map(|(name, value)| (name, value.double_value(&[]))).collect()
}

/// bfloat16 has 8 bits: losses agree to a tenth, and are not the same. Gradients less so: the
/// generator's passes instance norms of four values (weights rounded to bfloat16 in a float32
/// step: by a seventh), that of the separation layers HSIC of standardised features. Recomputed segments compute in bfloat16
/// as well, so their gradients are those of kept ones.
#[test]
fn bfloat16_follows_float32() {
    let _alone = alone();
    let config = model(256, Fidelity::Corrected);
    let one = |precision| {
        let stage = FseStage::new(extractor(&config), FseConfig::default(), None).unwrap();
        first_step(stage, &config, precision)
    };
    let two = |precision, recompute_from| {
        let batch_norm = BatchStatistics::Frozen;
        let settings = IrcConfig { recompute_from, batch_norm, ..IrcConfig::default() };
        let stage = IrcStage::new(extractor(&config), &config, settings, 5).unwrap();
        first_step(stage, &config, precision)
    };
    let close = |a: &[(&'static str, f64)], b: &[(&'static str, f64)], share: f64| {
        for ((name, a), (_, b)) in a.iter().zip(b) {
            let share = if ["generator", "se"].contains(name) { 5.0 * share } else { share };
            // A cosine near 0: by a hundredth of its range.
            let floor = if *name == "pos" { 0.2 } else { 0.1 };
            assert!((a - b).abs() <= share * (a.abs() + floor), "{name}: {a} and {b}");
        }
    };
    let (full, half) = (one(Precision::Float32), one(Precision::BFloat16));
    assert_ne!(full, half);
    close(&full, &half, 0.1);
    let (full, half) = (two(Precision::Float32, 32), two(Precision::BFloat16, 32));
    assert_ne!(full, half);
    close(&full, &half, 0.1);
    close(&two(Precision::BFloat16, 0), &half, 1e-3);
}

/// What a checkpoint holds is enough to paint: at its own size, in range, depending on the
/// identity it is given, one face at a time or several.
#[test]
fn a_checkpoints_state_paints_faces() {
    let _alone = alone();
    for fidelity in [Fidelity::Corrected, Fidelity::Published] {
        let config = model(256, fidelity);
        let stage = IrcStage::new(extractor(&config), &config, IrcConfig::of(fidelity), 3).unwrap();
        let state = copy(&stage.state());
        let file = std::path::Path::new("model.safetensors");
        let protector = Protector::from_state(&state, &config, file, Device::Cpu).unwrap();
        let (faces, _) = batch(&config, 5).to_device(Device::Cpu).unwrap();
        let view = protector.see(&faces, vec![1, 2]).unwrap();
        let painted = protector.paint(&view, &view.identity).unwrap();
        assert_eq!(painted.size(), faces.size());
        assert!(f64::try_from(painted.abs().max()).unwrap() <= 1.0);
        let lengths = view.identity.square().sum_dim_intlist([1i64].as_slice(), false, None);
        assert!(f64::try_from((lengths - 1.0).abs().max()).unwrap() < 1e-5);
        let other = protector.paint(&view, &view.identity.flip([0])).unwrap();
        let largest = |gap: Tensor| f64::try_from(gap.abs().max()).unwrap();
        let moved = largest(&other - &painted);
        assert!(moved > 0.0);
        if fidelity == Fidelity::Corrected {
            // The published noise is made of the other faces of the batch.
            let alone = protector.see(&faces.narrow(0, 1, 1), vec![2]).unwrap();
            let alone = protector.paint(&alone, &alone.identity).unwrap();
            // Only rounding, small against what another identity changes.
            let gap = largest(alone.get(0) - painted.get(1));
            assert!(gap < 0.01 * moved, "{gap} against {moved}");
        }
        let mut short = state;
        let name = short.keys().find(|name| name.starts_with("G.")).unwrap().clone();
        short.remove(&name);
        let error = Protector::from_state(&short, &config, file, Device::Cpu).unwrap_err();
        assert!(error.to_string().contains(&name), "{error}");
    }
}
