//! Tiles of the n×n matrices of several images, and matrix products image by image.
use tch::{Kind, Tensor};

/// a·b of each image.
///
/// # Shapes
/// `a` [B, n, k], `b` [B, k, m] → [B, n, m].
pub(crate) fn product(a: &Tensor, b: &Tensor) -> Tensor {
    match a.size()[0] {
        // One image needs no product of batches, which is another routine on CPUs.
        1 => a.get(0).mm(&b.get(0)).unsqueeze(0),
        _ => a.bmm(b),
    }
}

/// Adds a·b of each image to `into`.
fn add_product(into: &Tensor, a: &Tensor, b: &Tensor) {
    let _ = match a.size()[0] {
        1 => into.get(0).addmm_(&a.get(0), &b.get(0)),
        _ => into.shallow_clone().baddbmm_(a, b),
    };
}

/// Rows and columns of a matrix change places.
pub(crate) fn turned(t: &Tensor) -> Tensor {
    t.transpose(1, 2)
}

/// Sum over the rows' numbers, or over the rows.
pub(crate) fn sum(t: &Tensor, dim: i64, kind: impl Into<Option<Kind>>) -> Tensor {
    t.sum_dim_intlist(&[dim][..], false, kind)
}

/// A tile of the n×n matrices, on or above the diagonal: (start, length) of its rows and
/// of its columns.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    i: (i64, i64),
    j: (i64, i64),
}

impl Tile {
    /// Those that cover n×n, at most `side` wide.
    pub(crate) fn all(n: i64, side: i64) -> Vec<Tile> {
        let parts: Vec<_> =
            (0..n).step_by(side as usize).map(|start| (start, side.min(n - start))).collect();
        let from = |(k, &i): (usize, &(i64, i64))| {
            parts[k..].iter().map(move |&j| Tile { i, j }).collect::<Vec<_>>()
        };
        parts.iter().enumerate().flat_map(from).collect()
    }

    /// What belongs to its rows, of [B, n, …].
    pub(crate) fn rows(&self, of: &Tensor) -> Tensor {
        of.narrow(1, self.i.0, self.i.1)
    }

    /// What belongs to its columns, of [B, n, …].
    pub(crate) fn columns(&self, of: &Tensor) -> Tensor {
        of.narrow(1, self.j.0, self.j.1)
    }

    pub(crate) fn on_diagonal(&self) -> bool {
        self.i == self.j
    }

    /// Adds the row sums of the whole matrix that this tile `t` (and its mirror image below
    /// the diagonal) has part in.
    pub(crate) fn add_row_sums(&self, t: &Tensor, into: &Tensor) {
        let _ = self.rows(into).g_add_(&sum(t, 2, Kind::Double));
        if !self.on_diagonal() {
            let _ = self.columns(into).g_add_(&sum(t, 1, Kind::Double));
        }
    }

    /// Adds the products of the whole matrix with rows that this tile `w` (and its mirror image)
    /// has part in.
    pub(crate) fn add_products(&self, w: &Tensor, rows: &Tensor, into: &Tensor) {
        add_product(&self.rows(into), w, &self.columns(rows));
        if !self.on_diagonal() {
            add_product(&self.columns(into), &turned(w), &self.rows(rows));
        }
    }

    /// Its share of the sum of a∘b over the whole matrix, float64 [B].
    pub(crate) fn inner(&self, a: &Tensor, b: &Tensor) -> Tensor {
        // Row by row in float32, which is exact enough, then in float64.
        let share = sum(&sum(&(a * b), 2, None), 1, Kind::Double);
        share * if self.on_diagonal() { 1.0 } else { 2.0 }
    }
}
