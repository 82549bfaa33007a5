//! One full-size step of stage I by its definition (`plain/mod.rs`), batch 1, corrected
//! fidelity: the baseline of `faceshield bench step --stage fse`. Prints one JSON object.
//!
//! The default allocator; the first step counts, as the next would take as long. The painted
//! face that the published code adds to each step, which no loss uses, is left out.
mod plain;

use std::time::Instant;

use encoder::{FrozenEncoder, LayerStats, ModelConfig, READOUT_LAYERS, Stats};
use fse::{Extractor, FseWeights, Noise, Objective};
use tch::{Device, Kind, Tensor};
use train::{Group, Optimizers, mix};

/// Where `leakage` looks.
const PROBED: [usize; 3] = [2, 5, 8];

fn main() {
    let model = ModelConfig::default();
    let encoder = FrozenEncoder::random(&model, 1, Device::Cpu);
    let extractor = Extractor::new(&model, encoder, &statistics(&model), 0.0, 1, Device::Cpu);
    let images = [0, 1].map(|stream| {
        let shape = [1, 3, model.image_size, model.image_size];
        c10d::torch::randn_seeded(&shape, mix(1, stream), Kind::Float, Device::Cpu)
            .expect("normal numbers on the CPU")
            .clamp(-1.0, 1.0)
    });
    let images = Tensor::cat(&images, 0);
    let (noise, w) = (Noise::pairs([mix(1, 2)].into_iter()), FseWeights::default());
    let features = tch::no_grad(|| extractor.features(&images));
    let ours = tch::no_grad(|| Objective::new(&extractor, &features, &noise, &w, &PROBED));
    let ours = ours.expect("a seed for each image").total().double_value(&[]);

    let by_definition = plain::Plain::new(extractor.state(), &model);
    let parameters = extractor.trainable();
    let group = Group { name: "se", parameters, betas: (0.9, 0.999), rate: 1.0 };
    let world = c10d::World::solo();
    let mut optimizers =
        Optimizers::new(&world, vec![group], &train::Config::default()).expect("one group");
    optimizers.begin_step(1e-4);
    let mut loss = f64::NAN;
    let start = Instant::now();
    let step = optimizers.minimize("se", || {
        let total = plain::total(&by_definition.objective(&images, &noise, &w, &PROBED), &w);
        loss = total.double_value(&[]);
        Ok(total)
    });
    step.expect("a step");
    let (seconds, peak) = (start.elapsed().as_secs_f64(), train::peak_memory_mb(Device::Cpu));
    assert!((loss - ours).abs() < 1e-3 * ours.abs(), "{loss} by definition, {ours} ours");
    println!("{{\"plain_seconds\":{seconds:.2},\"plain_peak_mb\":{peak:.0}}}");
}

/// Statistics that need no data: mean 0, spread 1, all active.
fn statistics(model: &ModelConfig) -> Stats {
    let layer = |&(channels, side): &(i64, i64)| {
        let fill =
            |value: f64| Tensor::full([channels, side, side], value, (Kind::Float, Device::Cpu));
        LayerStats::from_parts(fill(0.0), &fill(1.0), &fill(1.0))
    };
    Stats { layers: model.feature_shapes()[..READOUT_LAYERS].iter().map(layer).collect() }
}
