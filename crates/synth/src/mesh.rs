//! Surfaces as grids of points.

use crate::math::{V3, cross, minus, unit};
use crate::view::View;

/// What a surface's colour depends on at one place.
#[derive(Clone, Copy, Default)]
pub(crate) struct Look {
    /// Outwards, length 1.
    pub(crate) normal: V3,
    /// Coordinates on the surface.
    pub(crate) chart: [f32; 2],
    /// Share of the light from all around that gets there.
    pub(crate) open: f32,
    /// Whatever else the surface's colour depends on.
    pub(crate) extra: f32,
}

/// A grid of vertices; neighbours in rows and columns are joined.
#[derive(Default)]
pub(crate) struct Mesh {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Each vertex in space, turned as the scene asks; units of 10 cm.
    places: Vec<V3>,
    /// Each vertex in the picture: pixels, and nearness.
    pub(crate) pictures: Vec<V3>,
    looks: Vec<Look>,
}

impl Mesh {
    /// Empties the grid, to be filled row by row.
    pub(crate) fn clear(&mut self, rows: usize, columns: usize) {
        (self.rows, self.columns) = (rows, columns);
        self.places.clear();
        self.looks.clear();
    }

    /// Adds the next vertex; its normal is computed by [`Mesh::finish`].
    pub(crate) fn push(&mut self, place: V3, chart: [f32; 2], open: f32, extra: f32) {
        self.places.push(place);
        self.looks.push(Look { chart, open, extra, ..Look::default() });
    }

    /// Mirrors each row.
    pub(crate) fn reverse_rows(&mut self) {
        self.places.chunks_mut(self.columns).for_each(<[V3]>::reverse);
        self.looks.chunks_mut(self.columns).for_each(<[Look]>::reverse);
    }

    /// Computes pictures and normals from the places. Rows run downwards and columns to the
    /// right on a surface that is looked at from outside; `round` when the last column is the
    /// first again.
    pub(crate) fn finish(&mut self, view: &View, round: bool) {
        let (rows, columns) = (self.rows, self.columns);
        self.pictures.clear();
        self.pictures.extend(self.places.iter().map(|&place| view.picture(place)));
        for r in 0..rows {
            let (above, below) = (r.saturating_sub(1), (r + 1).min(rows - 1));
            for c in 0..columns {
                let left = match c {
                    0 if round => columns - 2,
                    _ => c.saturating_sub(1),
                };
                let right = match c + 1 {
                    next if next < columns => next,
                    _ if round => 1,
                    _ => c,
                };
                let at = |r: usize, c: usize| self.places[r * columns + c];
                let down = minus(at(below, c), at(above, c));
                let across = minus(at(r, right), at(r, left));
                self.looks[r * columns + c].normal = unit(cross(down, across));
            }
        }
    }

    /// The surface between vertices, at column `u` and row `v`, fractions included.
    pub(crate) fn at(&self, u: f32, v: f32) -> Look {
        let c = (u as usize).min(self.columns - 2);
        let r = (v as usize).min(self.rows - 2);
        let (fu, fv) = (u - c as f32, v - r as f32);
        let first = r * self.columns + c;
        let corners = [first, first + 1, first + self.columns, first + self.columns + 1];
        let weights = [(1.0 - fu) * (1.0 - fv), fu * (1.0 - fv), (1.0 - fu) * fv, fu * fv];
        let mut sum = Look::default();
        for (corner, weight) in corners.into_iter().zip(weights) {
            let look = &self.looks[corner];
            for axis in 0..3 {
                sum.normal[axis] += weight * look.normal[axis];
            }
            sum.chart[0] += weight * look.chart[0];
            sum.chart[1] += weight * look.chart[1];
            sum.open += weight * look.open;
            sum.extra += weight * look.extra;
        }
        sum.normal = unit(sum.normal);
        sum
    }
}
