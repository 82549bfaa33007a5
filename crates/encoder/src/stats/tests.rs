use tch::{Device, Kind, Tensor, nn};

use super::{Stats, StatsAccumulator, StatsMeaning};
use crate::{Encoder, ModelConfig};

fn setup() -> (ModelConfig, Encoder, Tensor) {
    tch::manual_seed(3);
    let config = ModelConfig { image_size: 256, width_divisor: 16, ..Default::default() };
    let vs = nn::VarStore::new(Device::Cpu);
    let encoder = Encoder::new(&vs.root(), &config);
    let images = Tensor::rand([7, 3, 256, 256], (Kind::Float, Device::Cpu)) * 2 - 1;
    (config, encoder, images)
}

#[test]
fn any_split_and_merge_gives_the_plain_two_pass_statistics() {
    let (config, encoder, images) = setup();
    let mut one = StatsAccumulator::new(&config, Device::Cpu);
    for k in 0..3 {
        one.add(&encoder, &images.narrow(0, k, 1));
    }
    let mut two = StatsAccumulator::new(&config, Device::Cpu);
    two.add(&encoder, &images.narrow(0, 3, 4));
    one.merge(&two);
    let stats = one.finish().unwrap();
    let features = tch::no_grad(|| encoder.features(&images, 10));
    for (layer, feature) in stats.layers.iter().zip(features) {
        let x = feature.to_kind(Kind::Double);
        let mean = x.mean_dim(&[0i64][..], false, None);
        let std = x.std_dim(&[0i64][..], true, false);
        // Convolutions of different batch sizes differ in the last bits.
        let error =
            |a: &Tensor, b: &Tensor| ((a - b).abs().max() / b.abs().max()).double_value(&[]);
        assert!(error(&layer.mean, &mean) < 1e-5);
        assert!(error(&layer.std(), &std) < 1e-5);
    }
    assert_eq!(stats.images(), 7);
}

#[test]
fn a_file_gives_back_what_was_measured() {
    let (config, encoder, images) = setup();
    let mut acc = StatsAccumulator::new(&config, Device::Cpu);
    acc.add(&encoder, &images);
    let stats = acc.finish().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stats.safetensors");
    stats.write(&path, "test").unwrap();
    let read = Stats::read(&path, &config, StatsMeaning::Centred).unwrap();
    for (a, b) in stats.layers.iter().zip(&read.layers) {
        assert!(a.mean.equal(&b.mean) && a.active().equal(&b.active()));
        assert!(a.std().equal(&b.std()));
    }
    let wider = ModelConfig { width_divisor: 8, ..config };
    let error = Stats::read(&path, &wider, StatsMeaning::Centred).unwrap_err().to_string();
    assert!(error.contains("readout_layer0.m is [4, 64, 64]"), "{error}");
}
