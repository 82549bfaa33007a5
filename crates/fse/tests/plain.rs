//! Stage I as it is computed against its definition, in float64 on a narrow model: every term,
//! and the gradient of every trained tensor.
//!
//! Between the two lie: convolving before resizing, one first convolution for all layers of a
//! size, restricted passes walked down together, norms as scale and shift, `lerp`, HSIC in
//! closed form by tiles. All of them are exact, so what is left is rounding.
#![allow(clippy::unwrap_used)]

#[path = "../benches/plain/mod.rs"]
mod plain;

use encoder::{Fidelity, FrozenEncoder, ModelConfig, StatsAccumulator};
use fse::{Extractor, FseWeights, Inspection, LayerIndependence, Noise, Objective};
use tch::{Device, Kind, Tensor};

/// A narrow extractor in float64, its statistics measured, its λ about ½.
fn extractor(config: &ModelConfig) -> Extractor {
    let encoder = FrozenEncoder::random(config, 1, Device::Cpu);
    let mut stats = StatsAccumulator::new(config, Device::Cpu).discriminating(config, 3);
    let photos = images(config, 6, 11).to_kind(Kind::Float);
    stats.add_people(&encoder, &photos, &[0, 0, 1, 1, 2, 2]);
    let stats = stats.finish().unwrap();
    let extractor = Extractor::new(config, encoder, &stats, 0.3, 2, Device::Cpu);
    for (_, mut tensor) in extractor.state() {
        if tensor.is_floating_point() {
            let double = tensor.detach().to_kind(Kind::Double);
            tensor.set_data(&double);
        }
    }
    extractor
}

fn images(config: &ModelConfig, count: i64, seed: u64) -> Tensor {
    let shape = [count, 3, config.image_size, config.image_size];
    c10d::torch::randn_seeded(&shape, seed, Kind::Double, Device::Cpu).unwrap().clamp(-1.0, 1.0)
}

/// Largest difference, as a share of the largest number.
fn gap(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!((a.kind(), b.kind()), (Kind::Double, Kind::Double));
    ((a - b).abs().max() / b.abs().max()).double_value(&[])
}

/// Terms were seen to differ by 1e-14, gradients by 5e-14 at most: two hundred times less than
/// what is allowed here.
#[test]
fn every_term_and_gradient_is_that_of_the_definition() {
    for fidelity in [Fidelity::Corrected, Fidelity::Published] {
        let config =
            ModelConfig { image_size: 256, width_divisor: 16, fidelity, ..ModelConfig::default() };
        let extractor = extractor(&config);
        let (images, noise) = (images(&config, 4, 12), Noise::pairs([3, 4].into_iter()));
        // Weights that let each term be seen in the sum's gradient.
        let w = FseWeights {
            angle: 1.0,
            alignment: 2.0,
            hsic: 30.0,
            retention: 0.5,
            information: 0.1,
            shallow_information: 0.2,
            leakage: 3.0,
        };
        let probed = [8, 2, 5];
        let (names, parameters): (Vec<_>, Vec<_>) = extractor.trainable().into_iter().unzip();
        let gradients = |loss: &Tensor| Tensor::run_backward(&[loss], &parameters, false, false);

        let features = tch::no_grad(|| extractor.features(&images));
        let ours = Objective::new(&extractor, &features, &noise, &w, &probed).unwrap();
        let by_definition =
            plain::Plain::new(extractor.state(), &config).objective(&images, &noise, &w, &probed);
        assert_eq!(ours.terms.len(), by_definition.len());
        for (term, (name, expected)) in ours.terms.iter().zip(&by_definition) {
            assert_eq!(term.name, *name);
            let gap = gap(&term.value, expected);
            assert!(gap < 2e-12, "{fidelity}, {name}: {gap:e}");
        }
        let found = gradients(&ours.total());
        let expected = gradients(&plain::total(&by_definition, &w));
        for ((name, found), expected) in names.iter().zip(&found).zip(&expected) {
            let gap = gap(found, expected);
            assert!(gap < 1e-11, "{fidelity}, {name}: {gap:e}");
        }
    }
}

/// What is judged after training is what the objective asks for: the same terms of the same parts.
#[test]
fn an_inspection_gives_the_terms_of_the_objective() {
    let config = ModelConfig { image_size: 128, width_divisor: 16, ..ModelConfig::default() };
    let extractor = extractor(&config);
    let (images, noise) = (images(&config, 4, 12), Noise::pairs([3, 4].into_iter()));
    let weights = FseWeights { angle: 1.0, ..FseWeights::default() };
    let features = extractor.features(&images);
    let objective = Objective::new(&extractor, &features, &noise, &weights, &[]).unwrap();
    let Noise::Seeded(seeds) = noise else { panic!("pairs have seeds") };
    let inspection = Inspection::new(&extractor, &images, seeds).unwrap();
    let layers = inspection.layers(&extractor);
    let numbers: Vec<usize> = layers.iter().map(|layer| layer.layer).collect();
    assert_eq!(numbers, (1..10).collect::<Vec<_>>());
    let mean = |of: fn(&LayerIndependence) -> &Tensor| {
        let values: Vec<Tensor> = layers.iter().map(|layer| of(layer).shallow_clone()).collect();
        Tensor::stack(&values, 0).mean(None).double_value(&[])
    };
    let term = |name: &str| objective.term(name).unwrap().double_value(&[]);
    let both =
        |name: &str| 0.5 * (term(&format!("{name}_source")) + term(&format!("{name}_target")));
    assert!((mean(|l| &l.hsic) - both("hsic")).abs() < 1e-12);
    assert!((mean(|l| &l.alignment) - both("alignment")).abs() < 1e-12);
    assert!((mean(|l| &l.angle) + both("angle")).abs() < 1e-12);
    let kept = inspection.retention().mean(None).double_value(&[]);
    assert!((2.0 - 2.0 * kept - term("retention")).abs() < 1e-12);
    let lambda = mean(|l| &l.lambda);
    assert!((lambda - 1.0 / (1.0 + (-0.3f64).exp())).abs() < 0.05, "{lambda}");
}
