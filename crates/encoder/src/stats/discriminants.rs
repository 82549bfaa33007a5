use c10d::torch::Autocast;
use tch::{Kind, Tensor};

/// Most elements of the map that discriminants of a feature look at.
const ELEMENTS: i64 = 2048;

/// Linear discriminants of one feature: what of it differs between people and stays the same
/// between photos of a person.
///
/// With S_b and S_w the scatter between and within people, the filters V are the leading
/// solutions of S_b v = μ S_w v with Vᵀ S_w V = 1 (Fisher 1936; Rao 1948), and D = S_w V are
/// their patterns (Haufe et al. 2014): the least change of a feature, measured in S_w, that
/// changes what the filters read. So D Vᵀ is a projection, and what it leaves, x − D Vᵀ x, is
/// read as 0 by every filter and, within people, does not vary together with what they read.
///
/// A map of many elements is looked at through a grid of averages, C·g² ≤ 2048, and what is
/// read there is handed back to all elements of a cell alike.
#[derive(Debug)]
pub struct Discriminants {
    /// V: [k, C, g, g], the first discriminant first.
    filters: Tensor,
    /// D: as the filters.
    patterns: Tensor,
}

impl Discriminants {
    /// From filters and patterns, both [k, C, g, g].
    pub fn new(filters: Tensor, patterns: Tensor) -> Self {
        Discriminants { filters, patterns }
    }

    /// V: [k, C, g, g].
    pub fn filters(&self) -> &Tensor {
        &self.filters
    }

    /// D: [k, C, g, g].
    pub fn patterns(&self) -> &Tensor {
        &self.patterns
    }

    /// k, the number of discriminants.
    pub fn count(&self) -> i64 {
        self.filters.size()[0]
    }

    /// The part D Vᵀ x of deviations from the mean that tells people apart.
    ///
    /// # Shapes
    /// x [B, C, H, H] with H a multiple of g; the result as x.
    pub fn component(&self, x: &Tensor) -> Tensor {
        // In full: in bfloat16 a 250th of the identity would stay in what is to be without it.
        let _full = Autocast::new(x.device(), false);
        let side = x.size()[2];
        let pooled = pool(x, self.filters.size()[2]).to_kind(self.filters.kind());
        let read = pooled.flatten(1, -1).matmul(&self.filters.flatten(1, -1).tr());
        let part = read.matmul(&self.patterns.flatten(1, -1)).view_as(&pooled).to_kind(x.kind());
        match side == part.size()[2] {
            true => part,
            false => part.upsample_nearest2d([side, side], None, None),
        }
    }

    /// The first `count` of them.
    pub(super) fn first(&self, count: i64) -> Self {
        let first = |t: &Tensor| t.narrow(0, 0, count.min(self.count())).copy();
        Discriminants { filters: first(&self.filters), patterns: first(&self.patterns) }
    }

    /// A copy with each tensor changed.
    pub(super) fn map(&self, change: impl Fn(&Tensor) -> Tensor) -> Self {
        Discriminants { filters: change(&self.filters), patterns: change(&self.patterns) }
    }

    /// Why these are none for a feature of this shape.
    pub(super) fn misfit(&self, (channels, side): (i64, i64)) -> Option<String> {
        let (filters, patterns) = (self.filters.size(), self.patterns.size());
        let fits = filters == patterns
            && matches!(filters[..], [k, c, g, h] if k > 0 && c == channels && g == h && g > 0
                && side % g == 0);
        (!fits).then(|| {
            format!(
                "filters are {filters:?} and patterns {patterns:?}, but this model's feature has \
                 {channels} channels of {side}×{side}"
            )
        })
    }
}

/// Side g of the grid for a feature's shape: the greatest power of two with C·g² ≤ 2048 that
/// is no more than the side.
pub(super) fn grid(channels: i64, side: i64) -> i64 {
    let mut grid = 1;
    while 4 * grid * grid * channels <= ELEMENTS && 2 * grid <= side {
        grid *= 2;
    }
    grid
}

/// Means over the cells of a grid: [B, C, H, H] → [B, C, g, g].
pub(super) fn pool(x: &Tensor, grid: i64) -> Tensor {
    let cell = x.size()[2] / grid;
    match cell {
        1 => x.shallow_clone(),
        _ => x.avg_pool2d([cell, cell], [cell, cell], [0, 0], false, true, None),
    }
}

/// The leading solutions for one feature, in float64.
///
/// # Arguments
/// * `within` - S_w as measured; what makes it regular is added here.
/// * `between` - rows whose products sum to S_b: [p, d].
///
/// # Shapes
/// → filters and patterns [k, d].
///
/// # Errors
/// When S_w has numbers that are not finite.
pub(super) fn solve(
    within: &Tensor,
    between: &Tensor,
    count: i64,
) -> Result<[Tensor; 2], tch::TchError> {
    let size = within.size()[0];
    let shrinkage = within.trace() * (SHRINKAGE / size as f64);
    let within = within + Tensor::eye(size, (Kind::Double, within.device())) * shrinkage;
    // S_w = L Lᵀ turns the question into that of the leading directions of L⁻¹ S_b L⁻ᵀ.
    let factor = within.f_linalg_cholesky(false)?;
    let whitened = factor.f_linalg_solve_triangular(&between.tr(), false, true, false)?;
    let (directions, ..) = whitened.f_svd(true, true)?;
    let leading = directions.narrow(1, 0, count);
    let filters = factor.tr().f_linalg_solve_triangular(&leading, true, true, false)?;
    Ok([filters.tr().contiguous(), factor.matmul(&leading).tr().contiguous()])
}

/// What is added to S_w, as a share of its mean eigenvalue.
const SHRINKAGE: f64 = 0.01;
