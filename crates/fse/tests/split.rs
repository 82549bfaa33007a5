//! What the linear split of identity promises of the parts, in numbers.
#![allow(clippy::unwrap_used)]

use encoder::{Fidelity, FrozenEncoder, ModelConfig, StatsAccumulator};
use fse::{Extractor, Noise, PerceptualNoise};
use tch::{Device, Kind, Tensor};
use weights::Tensors;

fn config(fidelity: Fidelity) -> ModelConfig {
    ModelConfig { image_size: 256, width_divisor: 16, fidelity, ..ModelConfig::default() }
}

fn images(count: i64) -> Tensor {
    tch::manual_seed(7);
    (Tensor::randn([count, 3, 256, 256], (Kind::Float, Device::Cpu)) * 0.5).clamp(-1.0, 1.0)
}

fn extractor(config: &ModelConfig, discriminants: usize) -> Extractor {
    let encoder = FrozenEncoder::random(config, 1, Device::Cpu);
    let mut stats =
        StatsAccumulator::new(config, Device::Cpu).discriminating(config, discriminants);
    stats.add_people(&encoder, &images(8), &[0, 0, 1, 1, 2, 2, 3, 3]);
    let stats = stats.finish().unwrap();
    Extractor::new(config, encoder, &stats, 0.0, 2, Device::Cpu)
}

/// The largest number.
fn most(t: &Tensor) -> f64 {
    t.abs().max().double_value(&[])
}

/// Before noise, nothing of a person is read in perception by the filters; identity and
/// perception sum to the feature; and identity's noise hides nothing that the filters read.
#[test]
fn identity_is_whole_in_z_and_unread_in_p() {
    let extractor = extractor(&config(Fidelity::Corrected), 3);
    let (separation, images) = (extractor.separation(), images(2));
    let features = extractor.features(&images);
    let lambda =
        |value: f64| -> Vec<Tensor> { features[..10].iter().map(|f| f.full_like(value)).collect() };
    let noise = Noise::Seeded(vec![1, 2]);
    let perceived = separation.perceived(&features, &lambda(0.0));
    let whole = separation.identity_parts(&features, &lambda(1.0), &noise).unwrap();
    let masked = separation.identity_parts(&features, &lambda(0.3), &noise).unwrap();
    let kind = PerceptualNoise::DataSet;
    let clear = separation.perceptual_parts(&features, &lambda(0.0), &noise, &kind).unwrap();
    for (i, layer) in separation.stats().layers[1..10].iter().enumerate() {
        let (i, found) = (i + 1, layer.discriminants.as_ref().unwrap());
        let part = |x: &Tensor| found.component(&(x - &layer.mean));
        let scale = most(&part(&features[i]));
        assert!(most(&part(&perceived[i])) < 1e-4 * scale, "layer {i}");
        assert!(clear[i].equal(&perceived[i]), "layer {i}");
        // All neurons of a random encoder are active.
        assert!(most(&(&whole[i] - &features[i])) < 1e-4 * most(&features[i]), "layer {i}");
        let gap = part(&masked[i]) - part(&features[i]);
        assert!(most(&gap) < 1e-3 * scale, "layer {i}: {}", most(&gap) / scale);
    }
}

/// A checkpoint from before there were discriminants is read, and gives the parts of masks
/// alone; one that has them gives the parts it was trained with; half of them is an error.
#[test]
fn checkpoints_with_and_without_discriminants_are_read() {
    let config = config(Fidelity::Corrected);
    let (with, path) = (extractor(&config, 3), std::path::Path::new("model"));
    let features = with.features(&images(2));
    let parts = |extractor: &Extractor| {
        let separation = extractor.separation();
        separation.perceived(&features, &separation.lambdas(&features))
    };
    let equal = |a: &[Tensor], b: &[Tensor]| a.iter().zip(b).all(|(a, b)| a.equal(b));
    let read = |state: &Tensors| Extractor::from_state(state, &config, path, Device::Cpu);
    let again = read(&with.state()).unwrap();
    assert!(equal(&parts(&with), &parts(&again)));

    let mut state = with.state();
    assert!(state.remove("stats.readout_layer4.patterns").is_some());
    let error = read(&state).unwrap_err().to_string();
    assert!(error.contains("readout_layer4.patterns"), "{error}");

    state.retain(|name, _| !name.ends_with(".filters") && !name.ends_with(".patterns"));
    let old = read(&state).unwrap();
    assert_eq!(old.separation().stats().discriminants(), 0);
    let masked = |(f, lambda): (&Tensor, Tensor)| f - &lambda * f;
    let by_masks: Vec<Tensor> =
        features.iter().zip(old.separation().lambdas(&features)).map(masked).collect();
    assert!(equal(&parts(&old), &by_masks) && !equal(&parts(&with), &by_masks));
}

/// Published fidelity leaves discriminants alone, wherever they come from.
#[test]
fn the_published_parts_are_those_of_masks_alone() {
    let config = config(Fidelity::Published);
    let (with, without) = (extractor(&config, 3), extractor(&config, 0));
    assert_eq!(with.separation().stats().discriminants(), 0);
    assert!(with.state().keys().eq(without.state().keys()));
}
