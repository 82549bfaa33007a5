//! HSIC of one 64×64×64 pair, value and both gradients: ours against the plain formulation
//! (kernels centred by n×n matrices, gradients by autograd). Prints one JSON object.
use std::time::Instant;

use fse::{Estimator, hsic};
use tch::{Device, Kind, Tensor};

/// Σ HKH∘HLH / (n−1)² with σ² = median(d²)/2 of the first 128×128 block.
fn plain(x: &Tensor, y: &Tensor) -> Tensor {
    let n = x.size()[0];
    let centring = Tensor::eye(n, (Kind::Float, Device::Cpu)) - 1.0 / n as f64;
    let centred = |t: &Tensor| {
        let squares = t.square().sum_dim_intlist(&[1i64][..], true, None);
        let d = (&squares + squares.tr() - t.matmul(&t.tr()) * 2.0).clamp_min(0.0);
        let variance = d.narrow(0, 0, 128).narrow(1, 0, 128).flatten(0, -1).median() / 2.0;
        centring.matmul(&(d / (variance * -2.0)).exp()).matmul(&centring)
    };
    (centred(x) * centred(y)).sum(Kind::Float) / ((n - 1) as f64).powi(2)
}

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
    let (unbiased, _) = time(5, &|| hsic(&x, &y, Estimator::Unbiased));
    let (plain, expected) = time(1, &|| plain(&x, &y));
    assert!((value - expected).abs() < 1e-3 * expected.abs(), "{value} and {expected}");
    println!(
        "{{\"published_seconds\":{published:.4},\"unbiased_seconds\":{unbiased:.4},\"plain_seconds\":{plain:.3}}}"
    );
}
