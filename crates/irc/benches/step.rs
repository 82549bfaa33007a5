//! One full-size step of stage II by its definition (`plain/mod.rs`), batch 1: the baseline of
//! `faceshield bench step --stage irc`. Prints one JSON object.
//!
//! The default allocator; the first step counts, as the next would take as long.
mod plain;

use std::time::Instant;

use encoder::{Fidelity, FrozenEncoder, LayerStats, ModelConfig, READOUT_LAYERS, Stats};
use faces::{PairBatch, PairItem, Relation};
use fse::Extractor;
use irc::{IrcConfig, IrcStage, IrcWeights};
use tch::{Device, Kind, Tensor};
use train::{Stage, mix};

fn main() {
    let model = ModelConfig::default();
    let state = {
        let encoder = FrozenEncoder::random(&model, 1, Device::Cpu);
        let extractor = Extractor::new(&model, encoder, &statistics(&model), 5.0, 1, Device::Cpu);
        IrcStage::new(extractor, &model, IrcConfig::of(Fidelity::Published), 1)
            .expect("stage II")
            .state()
    };
    let mut by_definition = plain::Plain::new(&state, &model);
    drop(state);
    let images = |stream| {
        let shape = [1, 3, model.image_size, model.image_size];
        let normal = c10d::torch::randn_seeded(&shape, mix(1, stream), Kind::Float, Device::Cpu)
            .expect("normal numbers on the CPU");
        ((normal.clamp(-1.0, 1.0) + 1.0) * 127.5).to_kind(Kind::Uint8)
    };
    let item = PairItem {
        position: 0,
        source: 0,
        target: 1,
        relation: Relation::Different,
        seed: mix(1, 2),
    };
    let batch = PairBatch {
        source: images(0),
        target: images(1),
        items: vec![item],
        names: vec![String::new()],
    };

    let start = Instant::now();
    let losses = by_definition.step(
        &batch,
        &IrcWeights::of(Fidelity::Published),
        (1e-4, 1.0),
        &mut |_, _| (),
    );
    let (seconds, peak) = (start.elapsed().as_secs_f64(), train::peak_memory_mb(Device::Cpu));
    for (name, loss) in losses {
        assert!(loss.double_value(&[]).is_finite(), "{name}");
    }
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
