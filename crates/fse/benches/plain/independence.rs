//! The independence losses by their formulas (method.md §4, §8), with whole n×n matrices.
use std::f64::consts::PI;

use encoder::Fidelity;
use tch::{Kind, Tensor};

/// Side of the block of distances that the bandwidth comes from.
const BANDWIDTH_ROWS: i64 = 128;

/// −θ of each image: [B, C, H, W] twice → `[B]`.
pub(crate) fn angle(z: &Tensor, p: &Tensor, fidelity: Fidelity) -> Tensor {
    let (first, limit) = match fidelity {
        Fidelity::Published => (1, 1.0),
        Fidelity::Corrected => (0, 1.0 - 1e-6),
    };
    let channels = z.size()[1] - first;
    let maps = |t: &Tensor| t.narrow(1, first, channels).flatten(2, -1);
    let (z, p) = (maps(z), maps(p));
    let length = |t: &Tensor| t.square().sum_dim_intlist(&[2i64][..], false, None).sqrt();
    let cos = (&z * &p).sum_dim_intlist(&[2i64][..], false, None)
        / (length(&z) * length(&p)).clamp_min(1e-8);
    let theta = cos.mean_dim(&[1i64][..], false, None).clamp(-limit, limit).acos();
    -theta.minimum(&(PI - &theta))
}

/// Mean |cos| of the channels' maps of each image: [B, C, H, W] twice → `[B]`.
pub(crate) fn alignment(z: &Tensor, p: &Tensor) -> Tensor {
    let (z, p) = (z.flatten(2, -1), p.flatten(2, -1));
    let sum = |t: Tensor| t.sum_dim_intlist(&[2i64][..], false, None);
    let cos = sum(&z * &p) / (sum(z.square()).sqrt() * sum(p.square()).sqrt());
    cos.abs().mean_dim(&[1i64][..], false, None)
}

/// HSIC · ln C of each image: [B, C, H, W] twice → `[B]`.
pub(crate) fn hsic_of_maps(z: &Tensor, p: &Tensor, fidelity: Fidelity) -> Tensor {
    let rows = |t: &Tensor, i: i64| t.get(i).flatten(1, -1).tr();
    let of_image = |i: i64| match fidelity {
        Fidelity::Published => biased(&rows(z, i), &rows(p, i)),
        Fidelity::Corrected => unbiased(&rows(z, i), &rows(p, i)),
    };
    let values: Vec<Tensor> = (0..z.size()[0]).map(of_image).collect();
    Tensor::stack(&values, 0) * (z.size()[1] as f64).ln()
}

/// Σ HKH∘HLH / (n−1)², σ² = median(d²)/2 of the first 128×128 block, with its gradient.
pub(crate) fn biased(x: &Tensor, y: &Tensor) -> Tensor {
    let n = x.size()[0];
    let centring = Tensor::eye(n, (x.kind(), x.device())) - 1.0 / n as f64;
    let centred = |rows: &Tensor| {
        let (d, m) = (distances(rows), n.min(BANDWIDTH_ROWS));
        let variance = d.narrow(0, 0, m).narrow(1, 0, m).flatten(0, -1).median() / 2.0;
        let kernel = (d / (variance.clamp_min(1e-10) * -2.0)).exp();
        centring.matmul(&kernel).matmul(&centring)
    };
    (centred(x) * centred(y)).sum(None) / ((n - 1) as f64).powi(2)
}

/// Song et al. 2012, σ² = median of the off-diagonal d² of a fixed subset of rows.
pub(crate) fn unbiased(x: &Tensor, y: &Tensor) -> Tensor {
    let (n, options) = (x.size()[0], (x.kind(), x.device()));
    let off_diagonal = 1.0 - Tensor::eye(n, options);
    let chosen = subset(n, n.min(BANDWIDTH_ROWS));
    let kernel = |rows: &Tensor| {
        let d = distances(rows);
        let some = |t: &Tensor| t.index_select(0, &chosen).index_select(1, &chosen);
        let variance = some(&d.detach()).masked_select(&some(&off_diagonal).gt(0.0)).median();
        (d / (variance.clamp_min(1e-10) * -2.0)).exp() * &off_diagonal
    };
    let (k, l) = (kernel(x), kernel(y));
    let (product, n) = (k.matmul(&l), n as f64);
    (product.trace() + k.sum(None) * l.sum(None) / ((n - 1.0) * (n - 2.0))
        - product.sum(None) * (2.0 / (n - 2.0)))
        / (n * (n - 3.0))
}

/// d² of all rows.
fn distances(rows: &Tensor) -> Tensor {
    let squares = rows.square().sum_dim_intlist(&[1i64][..], true, None);
    (&squares + squares.tr() - rows.matmul(&rows.tr()) * 2.0).clamp_min(0.0)
}

/// The rows that set the bandwidth: those of the smallest hashes.
fn subset(n: i64, m: i64) -> Tensor {
    let mut order: Vec<i64> = (0..n).collect();
    order.sort_by_key(|&i| train::mix(0x4853_4943, i as u64));
    Tensor::from_slice(&order[..m as usize]).to_kind(Kind::Int64)
}
