//! Which surface is seen where: a z-buffer with four samples a pixel.

use crate::math::floor;
use crate::mesh::{Mesh, Vertex};

/// Samples along each side of a pixel.
pub(crate) const SAMPLES: usize = 2;

/// The surfaces of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Layer {
    #[default]
    Backdrop,
    Skin,
    Hair,
    Neck,
    Clothes,
    EarLeft,
    EarRight,
}

/// What one sample sees.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Nearness: z in space.
    pub(crate) near: f32,
    /// Place on the surface, in 256ths of its columns and rows.
    u: u16,
    v: u16,
    pub(crate) layer: Layer,
}

impl Sample {
    const NOTHING: Sample = Sample { near: -1e9, u: 0, v: 0, layer: Layer::Backdrop };

    /// Column and row on the surface, fractions included.
    pub(crate) fn place(&self) -> (f32, f32) {
        (f32::from(self.u) / 256.0, f32::from(self.v) / 256.0)
    }
}

/// The samples of a picture.
#[derive(Default)]
pub(crate) struct Buffer {
    /// Samples along the picture's side.
    pub(crate) side: usize,
    pub(crate) samples: Vec<Sample>,
}

impl Buffer {
    /// Nothing seen yet, in a picture of `size` pixels.
    pub(crate) fn clear(&mut self, size: usize) {
        self.side = size * SAMPLES;
        self.samples.clear();
        self.samples.resize(self.side * self.side, Sample::NOTHING);
    }

    /// Draws a surface: from both sides if `inside`, and only where `keep` holds of column and row.
    pub(crate) fn draw(
        &mut self,
        mesh: &Mesh,
        layer: Layer,
        inside: bool,
        keep: impl Fn(f32, f32) -> bool,
    ) {
        for r in 0..mesh.rows - 1 {
            for c in 0..mesh.columns - 1 {
                let first = r * mesh.columns + c;
                let corner = |k: usize| &mesh.vertices[first + k];
                let (a, b) = (corner(0), corner(1));
                let (d, e) = (corner(mesh.columns), corner(mesh.columns + 1));
                let (u, v) = (c as f32, r as f32);
                let at = |du: f32, dv: f32| [u + du, v + dv];
                let first = [(a, at(0.0, 0.0)), (b, at(1.0, 0.0)), (d, at(0.0, 1.0))];
                let second = [(e, at(1.0, 1.0)), (d, at(0.0, 1.0)), (b, at(1.0, 0.0))];
                self.triangle(first, layer, inside, &keep);
                self.triangle(second, layer, inside, &keep);
            }
        }
    }

    fn triangle(
        &mut self,
        corners: [(&Vertex, [f32; 2]); 3],
        layer: Layer,
        inside: bool,
        keep: &impl Fn(f32, f32) -> bool,
    ) {
        let n = SAMPLES as f32;
        let p = corners.map(|(vertex, _)| [vertex.picture[0] * n, vertex.picture[1] * n]);
        let ([ax, ay], [bx, by]) =
            ([p[1][0] - p[0][0], p[1][1] - p[0][1]], [p[2][0] - p[0][0], p[2][1] - p[0][1]]);
        let area = ax * by - ay * bx;
        if area.abs() < 1e-6 || (area < 0.0 && !inside) {
            return;
        }
        let Some((x0, x1)) = range([p[0][0], p[1][0], p[2][0]], self.side) else { return };
        let Some((y0, y1)) = range([p[0][1], p[1][1], p[2][1]], self.side) else { return };
        let near = corners.map(|(vertex, _)| vertex.picture[2]);
        let [(_, [u0, v0]), (_, [u1, v1]), (_, [u2, v2])] = corners;
        let inverse = 1.0 / area;
        // Shares of the second and third corner, linear over the picture.
        let (s_x, s_y, t_x, t_y) = (by * inverse, -bx * inverse, -ay * inverse, ax * inverse);
        let dx = x0 as f32 + 0.5 - p[0][0];
        for y in y0..=y1 {
            let dy = y as f32 + 0.5 - p[0][1];
            let (mut s, mut t) = (dx * s_x + dy * s_y, dx * t_x + dy * t_y);
            let row = &mut self.samples[y * self.side + x0..=y * self.side + x1];
            for sample in row {
                // A little over the edge: no cracks between neighbours.
                if s.min(t).min(1.0 - s - t) >= -1e-3 {
                    let depth = near[0] + s * (near[1] - near[0]) + t * (near[2] - near[0]);
                    if depth > sample.near {
                        let u = (u0 + s * (u1 - u0) + t * (u2 - u0)).max(0.0);
                        let v = (v0 + s * (v1 - v0) + t * (v2 - v0)).max(0.0);
                        if keep(u, v) {
                            let (u, v) = ((u * 256.0) as u16, (v * 256.0) as u16);
                            *sample = Sample { near: depth, u, v, layer };
                        }
                    }
                }
                s += s_x;
                t += t_x;
            }
        }
    }
}

/// The samples (first and last) whose centres lie between the least and the largest of `places`.
fn range(places: [f32; 3], side: usize) -> Option<(usize, usize)> {
    let least = places[0].min(places[1]).min(places[2]);
    let most = places[0].max(places[1]).max(places[2]);
    // Sample centres lie at whole numbers and a half.
    let (first, last) = (floor(least + 0.5).max(0), floor(most - 0.5).min(side as i32 - 1));
    (first <= last).then_some((first as usize, last as usize))
}
