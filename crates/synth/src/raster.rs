//! Which surface is seen where: a z-buffer with four samples a pixel.

use crate::math::{V3, ceiling, floor};
use crate::mesh::Mesh;

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

/// What one sample sees. Eight bytes: the buffer should stay in the cache.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Nearness: z in space.
    pub(crate) near: f32,
    /// Column and row on the surface in 64ths, 14 bits each, then the layer.
    packed: u32,
}

impl Sample {
    const NOTHING: Sample = Sample { near: -1e9, packed: 0 };

    /// Column `u` and row `v` in 65 536ths.
    fn new(near: f32, u: u32, v: u32, layer: Layer) -> Sample {
        let (u, v) = ((u >> 10) & 0x3fff, (v >> 10) & 0x3fff);
        Sample { near, packed: u | v << 14 | (layer as u32) << 28 }
    }

    /// Column and row on the surface, fractions included.
    pub(crate) fn place(&self) -> (f32, f32) {
        let part = |bits: u32| (bits & 0x3fff) as f32 / 64.0;
        (part(self.packed), part(self.packed >> 14))
    }

    pub(crate) fn layer(&self) -> Layer {
        match self.packed >> 28 {
            0 => Layer::Backdrop,
            1 => Layer::Skin,
            2 => Layer::Hair,
            3 => Layer::Neck,
            4 => Layer::Clothes,
            5 => Layer::EarLeft,
            _ => Layer::EarRight,
        }
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

    /// Draws a surface: from both sides if `inside`, and only where `keep` holds of
    /// column and row (in 65 536ths).
    pub(crate) fn draw(
        &mut self,
        mesh: &Mesh,
        layer: Layer,
        inside: bool,
        keep: impl Fn(u32, u32) -> bool,
    ) {
        let last = [mesh.columns, mesh.rows].map(|count| fixed((count - 1) as f32) - 1);
        for r in 0..mesh.rows - 1 {
            for c in 0..mesh.columns - 1 {
                let first = r * mesh.columns + c;
                let corner = |k: usize| mesh.pictures[first + k];
                let (a, b) = (corner(0), corner(1));
                let (d, e) = (corner(mesh.columns), corner(mesh.columns + 1));
                let (u, v) = (c as f32, r as f32);
                let at = |du: f32, dv: f32| [u + du, v + dv];
                let first = [(a, at(0.0, 0.0)), (b, at(1.0, 0.0)), (d, at(0.0, 1.0))];
                let second = [(e, at(1.0, 1.0)), (d, at(0.0, 1.0)), (b, at(1.0, 0.0))];
                self.triangle(first, layer, inside, last, &keep);
                self.triangle(second, layer, inside, last, &keep);
            }
        }
    }

    fn triangle(
        &mut self,
        corners: [(V3, [f32; 2]); 3],
        layer: Layer,
        inside: bool,
        last: [i32; 2],
        keep: &impl Fn(u32, u32) -> bool,
    ) {
        let n = SAMPLES as f32;
        let p = corners.map(|(point, _)| [point[0] * n, point[1] * n]);
        let ([ax, ay], [bx, by]) =
            ([p[1][0] - p[0][0], p[1][1] - p[0][1]], [p[2][0] - p[0][0], p[2][1] - p[0][1]]);
        let area = ax * by - ay * bx;
        if area.abs() < 1e-6 || (area < 0.0 && !inside) {
            return;
        }
        let Some((x0, x1)) = range([p[0][0], p[1][0], p[2][0]], self.side) else { return };
        let Some((y0, y1)) = range([p[0][1], p[1][1], p[2][1]], self.side) else { return };
        let near = corners.map(|(point, _)| point[2]);
        let [last_u, last_v] = last;
        let [(_, [u0, v0]), (_, [u1, v1]), (_, [u2, v2])] = corners;
        let inverse = 1.0 / area;
        // Shares of the second and third corner, linear over the picture.
        let (s_x, s_y, t_x, t_y) = (by * inverse, -bx * inverse, -ay * inverse, ax * inverse);
        let dx = x0 as f32 + 0.5 - p[0][0];
        let depth_x = s_x * (near[1] - near[0]) + t_x * (near[2] - near[0]);
        let u_x = fixed(s_x * (u1 - u0) + t_x * (u2 - u0));
        let v_x = fixed(s_x * (v1 - v0) + t_x * (v2 - v0));
        let edges = [s_x, t_x, -s_x - t_x].map(Edge::new);
        for y in y0..=y1 {
            let dy = y as f32 + 0.5 - p[0][1];
            let (s, t) = (dx * s_x + dy * s_y, dx * t_x + dy * t_y);
            // The row's samples that lie within all three edges, or a little outside: there must
            // be no cracks between neighbours.
            let (mut from, mut to) = (0.0f32, (x1 - x0) as f32);
            for (at, edge) in [s, t, 1.0 - s - t].into_iter().zip(&edges) {
                match *edge {
                    Edge::Left(width) => from = from.max((at + SLACK) * width),
                    Edge::Right(width) => to = to.min((at + SLACK) * width),
                    Edge::Level if at < -SLACK => to = -1.0,
                    Edge::Level => {}
                }
            }
            if from > to {
                continue;
            }
            let (from, to) = (ceiling(from), floor(to));
            if from > to {
                continue;
            }
            // At the first sample, and onwards in equal steps; column and row in 65 536ths.
            let (s, t) = (s + from as f32 * s_x, t + from as f32 * t_x);
            let mut depth = near[0] + s * (near[1] - near[0]) + t * (near[2] - near[0]);
            let mut u = fixed(u0 + s * (u1 - u0) + t * (u2 - u0));
            let mut v = fixed(v0 + s * (v1 - v0) + t * (v2 - v0));
            let row = y * self.side + x0;
            for sample in &mut self.samples[row + from as usize..=row + to as usize] {
                if depth > sample.near {
                    let (u, v) = (u.clamp(0, last_u) as u32, v.clamp(0, last_v) as u32);
                    if keep(u, v) {
                        *sample = Sample::new(depth, u, v, layer);
                    }
                }
                depth += depth_x;
                u = u.wrapping_add(u_x);
                v = v.wrapping_add(v_x);
            }
        }
    }
}

/// In 65 536ths.
fn fixed(x: f32) -> i32 {
    (x * 65536.0) as i32
}

/// How far outside of a triangle, as a share of it, samples still belong to it.
const SLACK: f32 = 1e-3;

/// Where along a row of samples one is inside of an edge: beyond (left edges) or up to (right
/// edges) its share of the opposite corner times a width.
#[derive(Clone, Copy)]
enum Edge {
    Left(f32),
    Right(f32),
    Level,
}

impl Edge {
    /// `slope` is how the share changes from sample to sample.
    fn new(slope: f32) -> Edge {
        if slope > 0.0 {
            Edge::Left(-1.0 / slope)
        } else if slope < 0.0 {
            Edge::Right(-1.0 / slope)
        } else {
            Edge::Level
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
