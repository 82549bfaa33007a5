//! What HSIC's kernels are made of: scaled rows, and the bandwidth that scales them.
use c10d::torch::upload;
use tch::{Device, Kind, Tensor};

use crate::Estimator;
use crate::tiles::{Tile, product, turned};

/// Rows (of the distance matrix, for the bandwidth) that are looked at.
pub(crate) const BANDWIDTH_ROWS: i64 = 128;
/// σ where the median distance is zero.
pub(crate) const SMALLEST_VARIANCE: f64 = 1e-10;

/// One side of each pair: its rows, scaled so that the kernel is exp(−d²) of scaled rows, and laid out so
/// that one matrix product gives −d² = 2 x_i·x_j − |x_i|² − |x_j|².
pub(crate) struct Side {
    /// x | −|x|² | 1
    left: Tensor,
    /// 2x | 1 | −|x|²
    right: Tensor,
    /// x | 1
    pub(crate) rows: Tensor,
    /// √(1/2σ²), [B, 1, 1].
    pub(crate) scale: Tensor,
    /// The two rows whose distance gave the median, [B, 2], where its gradient counts.
    pub(crate) median_pair: Option<Tensor>,
}

impl Side {
    pub(crate) fn new(x: &Tensor, estimator: Estimator) -> Self {
        // Distances do not see a shift; without it less is lost to rounding.
        let centred = x - x.mean_dim(&[1i64][..], true, None);
        let n = x.size()[1];
        let m = n.min(BANDWIDTH_ROWS);
        let (variance, median_pair) = match estimator {
            Estimator::Published => {
                let block = distances(&centred.narrow(1, 0, m)).flatten(1, -1);
                let (median, index) = block.median_dim(1, false);
                let row = index.divide_scalar_mode(m, "floor");
                let pair = Tensor::stack(&[row, index.remainder(m)], 1);
                (median / 2.0, Some(pair))
            }
            Estimator::Unbiased => {
                let chosen = subset(n, m, x.device());
                let block = distances(&centred.index_select(1, &chosen)).flatten(1, -1);
                let pairs = Tensor::triu_indices(m, m, 1, (Kind::Int64, x.device()));
                let above = block.index_select(1, &(pairs.get(0) * m + pairs.get(1)));
                (median(&above), None)
            }
        };
        let scale = (variance.clamp_min(SMALLEST_VARIANCE) * 2.0).rsqrt().view([-1, 1, 1]);
        let rows = centred * &scale;
        let squares = rows.square().sum_dim_intlist(&[2i64][..], true, None).neg();
        let ones = squares.ones_like();
        Side {
            left: Tensor::cat(&[&rows, &squares, &ones], 2),
            right: Tensor::cat(&[&(&rows * 2.0), &ones, &squares], 2),
            rows: Tensor::cat(&[&rows, &ones], 2),
            scale,
            median_pair,
        }
    }

    /// −d² of a tile.
    pub(crate) fn exponents(&self, tile: &Tile) -> Tensor {
        let (left, right) = (tile.rows(&self.left), tile.columns(&self.right));
        product(&left, &turned(&right)).clamp_max_(0.0)
    }
}

/// Squared distances between all rows of a few; exactly 0 on the diagonal.
fn distances(rows: &Tensor) -> Tensor {
    let squares = rows.square().sum_dim_intlist(&[2i64][..], true, None);
    let products = product(rows, &turned(rows));
    let d = (&squares + turned(&squares) - products * 2.0).clamp_min_(0.0);
    let _ = d.diagonal(0, 1, 2).zero_();
    d
}

/// The median of each row, the lower of the middle two: [B, k] → `[B]`.
pub(crate) fn median(numbers: &Tensor) -> Tensor {
    if numbers.device() == Device::Cpu {
        return numbers.median_dim(1, false).0;
    }
    // On CUDA libtorch sorts for one median, too, and knows no repeatable one for several.
    numbers.sort(1, false).0.select(1, (numbers.size()[1] - 1) / 2)
}

/// The same `m` of `n` rows every time, in random order.
pub(crate) fn subset(n: i64, m: i64, device: Device) -> Tensor {
    if m == n {
        return Tensor::arange(n, (Kind::Int64, device));
    }
    // Their hashes order the rows: a bijection of i, so that no two are equal.
    let mut order: Vec<i64> = (0..n).collect();
    order.sort_by_key(|&i| train::mix(0x4853_4943, i as u64));
    // Not `to_device`, which would wait for the device.
    upload(&Tensor::from_slice(&order[..m as usize]), device)
        .unwrap_or_else(|error| panic!("{error}"))
}
