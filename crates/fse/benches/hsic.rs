//! HSIC of one 64×64×64 pair, value and both gradients: ours against the plain formulation
//! (kernels centred by n×n matrices, gradients by autograd). Prints one JSON object.
#[path = "plain/independence.rs"]
#[allow(dead_code)] // The step's other losses.
mod independence;

use std::time::Instant;

use fse::{Estimator, hsic};
use tch::{Device, Kind, Tensor};

fn main() {
    c10d::torch::cache_cpu_memory();
    let normal = |seed| {
        c10d::torch::randn_seeded(&[4096, 64], seed, Kind::Float, Device::Cpu)
            .expect("normal numbers on the CPU")
    };
    let x = normal(1).set_requires_grad(true);
    let y = (normal(2) + &x.detach() * 0.5).set_requires_grad(true);
    let time = |repeats: usize, f: &dyn Fn() -> Tensor| {
        let once = |_| {
            let start = Instant::now();
            let loss = f();
            Tensor::run_backward(&[&loss], &[&x, &y], false, false);
            (start.elapsed().as_secs_f64(), loss.double_value(&[]))
        };
        let mut runs: Vec<(f64, f64)> = (0..repeats).map(once).collect();
        runs.sort_by(|a, b| a.0.total_cmp(&b.0));
        runs[repeats / 2]
    };
    let (published, value) = time(5, &|| hsic(&x, &y, Estimator::Published));
    let (unbiased, small) = time(5, &|| hsic(&x, &y, Estimator::Unbiased));
    let (plain, expected) = time(1, &|| independence::biased(&x, &y));
    assert!((value - expected).abs() < 1e-3 * expected.abs(), "{value} and {expected}");
    let (plain_unbiased, expected) = time(1, &|| independence::unbiased(&x, &y));
    assert!((small - expected).abs() < 1e-2 * expected.abs(), "{small} and {expected}");
    println!(
        "{{\"published_seconds\":{published:.4},\"unbiased_seconds\":{unbiased:.4},\"plain_seconds\":{plain:.3},\"plain_unbiased_seconds\":{plain_unbiased:.3}}}"
    );
}
