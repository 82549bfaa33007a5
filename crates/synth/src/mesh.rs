//! Surfaces as grids of points.

use crate::math::{V3, cross, minus, unit};
use crate::view::View;

/// A point of a surface, turned as the scene asks, and what colours depend on.
#[derive(Clone, Copy, Default)]
pub(crate) struct Vertex {
    /// In space; units of 10 cm.
    pub(crate) place: V3,
    /// Pixels, and nearness.
    pub(crate) picture: V3,
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
    pub(crate) vertices: Vec<Vertex>,
}

impl Mesh {
    /// Empties the grid, to be filled row by row.
    pub(crate) fn clear(&mut self, rows: usize, columns: usize) {
        (self.rows, self.columns) = (rows, columns);
        self.vertices.clear();
    }

    /// Computes pictures and normals from the places. Rows run downwards and columns to the
    /// right on a surface that is looked at from outside; `round` when the last column is the
    /// first again.
    pub(crate) fn finish(&mut self, view: &View, round: bool) {
        let (rows, columns) = (self.rows, self.columns);
        for r in 0..rows {
            let (above, below) = (r.saturating_sub(1), (r + 1).min(rows - 1));
            for c in 0..columns {
                let left = if c > 0 {
                    c - 1
                } else if round {
                    columns - 2
                } else {
                    0
                };
                let right = if c + 1 < columns {
                    c + 1
                } else if round {
                    1
                } else {
                    c
                };
                let at = |r: usize, c: usize| self.vertices[r * columns + c].place;
                let down = minus(at(below, c), at(above, c));
                let across = minus(at(r, right), at(r, left));
                let normal = unit(cross(down, across));
                let vertex = &mut self.vertices[r * columns + c];
                vertex.normal = normal;
                vertex.picture = view.picture(vertex.place);
            }
        }
    }

    /// The surface between vertices, at row `v` and column `u`, fractions included; its places
    /// are left out.
    pub(crate) fn at(&self, u: f32, v: f32) -> Vertex {
        let c = (u as usize).min(self.columns - 2);
        let r = (v as usize).min(self.rows - 2);
        let (fu, fv) = (u - c as f32, v - r as f32);
        let first = r * self.columns + c;
        let corners = [first, first + 1, first + self.columns, first + self.columns + 1];
        let weights = [(1.0 - fu) * (1.0 - fv), fu * (1.0 - fv), (1.0 - fu) * fv, fu * fv];
        let mut sum = Vertex::default();
        for (corner, weight) in corners.into_iter().zip(weights) {
            let vertex = &self.vertices[corner];
            for axis in 0..3 {
                sum.normal[axis] += weight * vertex.normal[axis];
            }
            sum.chart[0] += weight * vertex.chart[0];
            sum.chart[1] += weight * vertex.chart[1];
            sum.open += weight * vertex.open;
            sum.extra += weight * vertex.extra;
        }
        sum.normal = unit(sum.normal);
        sum
    }
}
