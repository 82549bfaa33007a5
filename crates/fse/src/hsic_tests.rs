//! HSIC against its definition.
use super::*;
use crate::sides::{BANDWIDTH_ROWS, SMALLEST_VARIANCE, median, subset};

/// The definition, with matrices, in float64.
fn plain(x: &Tensor, y: &Tensor, estimator: Estimator) -> Tensor {
    let n = x.size()[0];
    let distances = |t: &Tensor| {
        (t.unsqueeze(0) - t.unsqueeze(1)).square().sum_dim_intlist(&[2i64][..], false, None)
    };
    let eye = Tensor::eye(n, (Kind::Double, Device::Cpu));
    let kernel = |t: &Tensor| {
        let d = distances(t);
        let m = n.min(BANDWIDTH_ROWS);
        match estimator {
            Estimator::Published => {
                let variance = d.narrow(0, 0, m).narrow(1, 0, m).flatten(0, -1).median() / 2.0;
                (d / (variance.clamp_min(SMALLEST_VARIANCE) * -2.0)).exp()
            }
            Estimator::Unbiased => {
                let rows = subset(n, m, Device::Cpu);
                let some = d.index_select(0, &rows).index_select(1, &rows).detach();
                let off = Tensor::eye(m, (Kind::Double, Device::Cpu)).eq(0.0);
                let variance = some.masked_select(&off).median();
                (d / (variance.clamp_min(SMALLEST_VARIANCE) * -2.0)).exp() * (1.0 - &eye)
            }
        }
    };
    let (k, l) = (kernel(x), kernel(y));
    let nf = n as f64;
    match estimator {
        Estimator::Published => {
            let h = &eye - 1.0 / nf;
            let centred = |k: &Tensor| h.matmul(k).matmul(&h);
            (centred(&k) * centred(&l)).sum(Kind::Double) / (nf - 1.0).powi(2)
        }
        Estimator::Unbiased => {
            let sum = |t: Tensor| t.sum(Kind::Double);
            let ones = Tensor::ones([n, 1], (Kind::Double, Device::Cpu));
            let trace = k.matmul(&l).trace();
            let cross = ones.tr().matmul(&k).matmul(&l).matmul(&ones).squeeze();
            (trace + sum(k) * sum(l) / ((nf - 1.0) * (nf - 2.0)) - cross * (2.0 / (nf - 2.0)))
                / (nf * (nf - 3.0))
        }
    }
}

#[test]
fn value_and_gradients_equal_the_definition_in_float64() {
    tch::manual_seed(5);
    // Odd sizes, one channel, more rows than the bandwidth looks at, several tiles.
    for (n, c, d) in [(7, 3, 3), (30, 1, 4), (131, 5, 5), (1500, 2, 2)] {
        for estimator in [Estimator::Published, Estimator::Unbiased] {
            let x = Tensor::randn([n, c], (Kind::Double, Device::Cpu)) + 3.0;
            let mix = x.narrow(1, 0, 1) * 0.7;
            let y = Tensor::randn([n, d], (Kind::Double, Device::Cpu)) + mix;
            let grads = |f: fn(&Tensor, &Tensor, Estimator) -> Tensor| {
                let x = x.copy().set_requires_grad(true);
                let y = y.copy().set_requires_grad(true);
                let value = f(&x, &y, estimator);
                value.backward();
                (value.double_value(&[]), x.grad(), y.grad())
            };
            let (value, gx, gy) = grads(hsic);
            let (expected, ex, ey) = grads(plain);
            assert!((value - expected).abs() < 1e-12, "{n} {estimator:?}: {value} {expected}");
            for (got, want) in [(gx, ex), (gy, ey)] {
                let error = (&got - &want).abs().max() / want.abs().max();
                let error = error.double_value(&[]);
                assert!(error < 1e-9, "{n} {estimator:?}: {error}");
            }
        }
    }
}

/// As on a GPU, and one by one as on a CPU; the second image's median distance is zero.
#[test]
fn images_together_are_the_images_alone() {
    tch::manual_seed(9);
    for (n, estimator) in [
        (35, Estimator::Published),
        (150, Estimator::Published),
        (35, Estimator::Unbiased),
        (1100, Estimator::Unbiased),
    ] {
        let [x, y] = [4, 2].map(|c| Tensor::randn([3, n, c], (Kind::Double, Device::Cpu)));
        x.get(1).copy_(&x.get(1).get(0).copy());
        let pull = Tensor::from_slice(&[1.0, -2.0, 0.5]);
        let [together, alone] = [true, false].map(|together| {
            let [x, y] = [&x, &y].map(|t| t.copy().set_requires_grad(true));
            let values = if together {
                each(&x, &y, estimator)
            } else {
                let one = |i| hsic(&x.get(i), &y.get(i), estimator);
                Tensor::stack(&[one(0), one(1), one(2)], 0)
            };
            values.dot(&pull).backward();
            [values.detach(), x.grad(), y.grad()]
        });
        for (a, b) in together.iter().zip(&alone) {
            let gap = (a - b).abs().max() / b.abs().max();
            assert!(gap.double_value(&[]) < 1e-10, "{n} {estimator:?}: {gap}");
        }
    }
}

#[test]
fn the_median_is_libtorchs_also_where_it_is_sorted_for() {
    for k in [5, 6] {
        let numbers = Tensor::randn([3, k], (Kind::Float, Device::Cpu));
        let sorted = numbers.sort(1, false).0.select(1, (k - 1) / 2);
        assert!(median(&numbers).equal(&sorted));
    }
}

/// Positions with the same features: a few, so many that the median distance is zero, all.
/// Of pairs of rows with the median distance, autograd moves all alike and ours moves one:
/// gradients of rows that are the same are compared by their sum. A median of zero makes
/// kernels of 10⁵ times the rows, which costs as many digits.
#[test]
fn zero_distances_are_those_of_the_definition() {
    tch::manual_seed(12);
    for (n, alike) in [(41, 7), (41, 36), (41, 41)] {
        for estimator in [Estimator::Published, Estimator::Unbiased] {
            let x = Tensor::randn([n, 3], (Kind::Double, Device::Cpu));
            x.narrow(0, 0, alike).copy_(&x.get(0).copy());
            let y = Tensor::randn([n, 2], (Kind::Double, Device::Cpu));
            let all = |f: fn(&Tensor, &Tensor, Estimator) -> Tensor| {
                let [x, y] = [&x, &y].map(|t| t.copy().set_requires_grad(true));
                let value = f(&x, &y, estimator);
                value.backward();
                let same = x.grad().narrow(0, 0, alike).sum_dim_intlist(0, true, None);
                let others = x.grad().narrow(0, alike, n - alike);
                [value.detach(), Tensor::cat(&[same, others], 0), y.grad()]
            };
            for (found, expected) in all(hsic).iter().zip(all(plain)) {
                let gap = (found - &expected).abs().max().double_value(&[]);
                let bound = if alike == 36 { 1e-8 } else { 1e-14 };
                assert!(gap < bound, "{alike} alike, {estimator:?}: {gap:e}");
            }
        }
    }
}

#[test]
fn constant_features_are_independent_of_everything() {
    tch::manual_seed(6);
    for estimator in [Estimator::Published, Estimator::Unbiased] {
        let x = Tensor::ones([40, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let y = Tensor::randn([40, 3], (Kind::Float, Device::Cpu));
        let value = hsic(&x, &y, estimator);
        value.backward();
        assert!(value.double_value(&[]).abs() < 1e-6);
        assert!(bool::try_from(x.grad().isfinite().all()).unwrap());
    }
}

/// For independent rows the unbiased estimate has mean zero. Its mean over
/// 40 draws lies within 5 standard errors: false alarm below 1e-5 (and the
/// seed is fixed).
#[test]
fn unbiased_estimate_is_centred_on_zero() {
    tch::manual_seed(7);
    let draws: Vec<f64> = (0..40)
        .map(|_| {
            let x = Tensor::randn([60, 4], (Kind::Double, Device::Cpu));
            let y = Tensor::randn([60, 4], (Kind::Double, Device::Cpu));
            hsic(&x, &y, Estimator::Unbiased).double_value(&[])
        })
        .collect();
    let mean = draws.iter().sum::<f64>() / 40.0;
    let var = draws.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 39.0;
    assert!(mean.abs() < 5.0 * (var / 40.0).sqrt(), "{mean} {var}");
}
