use tch::{Device, Kind, Tensor, nn};

use super::discriminants::{Discriminants, grid, pool, solve};
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

/// The filters and patterns of a Gaussian mixture are known: for people apart along b and
/// photos scattered with S_w, v ∝ S_w⁻¹ b and d ∝ b.
#[test]
fn discriminants_of_a_mixture_are_the_known_directions() {
    tch::manual_seed(4);
    let double = (Kind::Double, Device::Cpu);
    let (people, photos, size) = (400, 30, 6);
    let spread = Tensor::from_slice(&[1.0, 2.0, 0.5, 1.0, 3.0, 1.0]);
    // Far apart along one direction, less so along another, not at all along the others.
    let directions = Tensor::from_slice(
        &[[3.0, 6.0, 0.0, 0.0, 9.0, 0.0], [0.0, 0.0, 0.5, 0.0, 0.0, 1.0]].concat(),
    )
    .view([2, size]);
    let means = Tensor::randn([people, 1, 2], double).matmul(&directions) + 7.0;
    let x = means + Tensor::randn([people, photos, size], double) * &spread;
    let own = x.mean_dim(&[1i64][..], true, None);
    let scatter = (&x - &own).reshape([-1, size]);
    let within = scatter.tr().matmul(&scatter) / (people * photos) as f64;
    let between = (&own - own.mean(None)).squeeze_dim(1) / (people as f64).sqrt();
    let [filters, patterns] = solve(&within, &between, 2).unwrap();
    let parallel = |a: &Tensor, b: &Tensor| {
        Tensor::cosine_similarity(&a.unsqueeze(0), &b.unsqueeze(0), 1, 1e-12)
            .abs()
            .double_value(&[0])
    };
    for k in 0..2 {
        let b = directions.get(k);
        // S_w is shrunk by a hundredth of its mean eigenvalue.
        let v = &b / (spread.square() + 0.01 * spread.square().mean(None));
        assert!(parallel(&patterns.get(k), &b) > 0.99, "{k}");
        assert!(parallel(&filters.get(k), &v) > 0.99, "{k}");
    }
    let product = filters.matmul(&patterns.tr());
    assert!((product - Tensor::eye(2, double)).abs().max().double_value(&[]) < 1e-9);
}

fn projections(stats: &Stats) -> Vec<Tensor> {
    let of = |found: &Discriminants| {
        let [filters, patterns] =
            [found.filters(), found.patterns()].map(|t| t.flatten(1, -1).to_kind(Kind::Double));
        patterns.tr().matmul(&filters)
    };
    stats.layers.iter().flat_map(|layer| &layer.discriminants).map(of).collect()
}

/// However the images come in batches and people in accumulators, with people of one photo
/// among them, who count for nothing.
#[test]
fn any_split_and_merge_gives_the_same_discriminants() {
    let (config, encoder, _) = setup();
    let images = Tensor::rand([9, 3, 256, 256], (Kind::Float, Device::Cpu)) * 2 - 1;
    let people = [5, 5, 5, 2, 3, 3, 1, 1, 1];
    let new = || StatsAccumulator::new(&config, Device::Cpu).discriminating(&config, 2);
    let mut parts = [new(), new()];
    for (part, range) in [(0, 0..2), (0, 2..4), (1, 4..5), (1, 5..9)] {
        let batch = images.narrow(0, range.start as i64, range.len() as i64);
        parts[part].add_people(&encoder, &batch, &people[range]);
    }
    let [mut all, other] = parts;
    all.merge(&other);
    let mut several = new();
    let pick = |of: &[i64]| images.index_select(0, &Tensor::from_slice(of));
    several.add_people(&encoder, &pick(&[0, 1, 2, 4, 5, 6, 7, 8]), &[1, 1, 1, 2, 2, 3, 3, 3]);
    let (all, several) = (all.finish().unwrap(), several.finish().unwrap());
    assert_eq!((all.discriminants(), all.images()), (2, 9));
    assert!(all.layers[0].discriminants.is_none() && all.layers[10].discriminants.is_none());
    // Many elements are looked at through a grid, 4·16² of 4·32².
    let first = all.layers[1].discriminants.as_ref().unwrap();
    assert_eq!(first.filters().size(), [2, 4, 16, 16]);
    for (a, b) in projections(&all).iter().zip(projections(&several)) {
        let gap = (a - &b).abs().max() / b.abs().max();
        assert!(gap.double_value(&[]) < 1e-4, "{gap}");
    }
    assert_eq!(several.with_discriminants(0).discriminants(), 0);
}

#[test]
fn without_two_photos_of_anybody_there_are_no_discriminants() {
    let (config, encoder, images) = setup();
    let mut one = StatsAccumulator::new(&config, Device::Cpu).discriminating(&config, 3);
    one.add_people(&encoder, &images, &[0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(one.finish().unwrap().discriminants(), 0);
}

/// What is read of the part equals what is read of the whole; nothing is read of the rest.
#[test]
fn a_component_is_a_projection() {
    let (config, encoder, images) = setup();
    let mut sums = StatsAccumulator::new(&config, Device::Cpu).discriminating(&config, 3);
    sums.add_people(&encoder, &images, &[0, 0, 1, 1, 2, 2, 2]);
    let stats = sums.finish().unwrap();
    let features = tch::no_grad(|| encoder.features(&images, 10));
    for (layer, feature) in stats.layers.iter().zip(&features) {
        let Some(found) = &layer.discriminants else { continue };
        assert_eq!(found.count(), 2);
        let x = feature - &layer.mean;
        let (part, again) = (found.component(&x), found.component(&found.component(&x)));
        let gap = (&part - again).abs().max() / part.abs().max();
        assert!(gap.double_value(&[]) < 1e-4, "{gap}");
        let grid = found.filters().size()[2];
        let read = pool(&(&x - &part), grid).flatten(1, -1);
        let read = read.matmul(&found.filters().flatten(1, -1).tr());
        let all = pool(&x, grid).flatten(1, -1).matmul(&found.filters().flatten(1, -1).tr());
        assert!((read.abs().max() / all.abs().max()).double_value(&[]) < 1e-4);
    }
}

#[test]
fn grids_are_as_large_as_they_may() {
    let published: Vec<i64> = [(64, 64), (128, 32), (256, 16)].map(|(c, s)| grid(c, s)).to_vec();
    assert_eq!(published, [4, 4, 2]);
    assert_eq!([(8, 16), (16, 8), (32, 4), (4, 32)].map(|(c, s)| grid(c, s)), [16, 8, 4, 16]);
}
