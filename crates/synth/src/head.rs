//! The skin of the head as a mesh, and the landmarks on it.

use crate::hair::Hairline;
use crate::identity::Identity;
use crate::layout::Layout;
use crate::math::{V3, lerp, step};
use crate::mesh::Mesh;
use crate::relief::{SkinPoint, skin};
use crate::skull::{BOTTOM, Bearing, Skull};
use crate::view::View;

/// The rings between which the face lies: more rows there.
const FACE: (f32, f32) = (4.6, 11.4);

/// How far around the head the mesh goes, in radians to either side.
const REACH: f32 = 2.25;

/// Where the five landmarks lie on the head, in its frame: left and right eye as seen, tip of
/// the nose, left and right corner of the mouth.
pub(crate) fn landmarks(skull: &Skull, layout: &Layout, person: &Identity) -> [V3; 5] {
    let corner = layout.mouth_y + layout.corners;
    let at = |x: f32, y: f32| find(skull, layout, person, x, y).place;
    [
        at(-layout.eye[0], layout.eye[1]),
        at(layout.eye[0], layout.eye[1]),
        at(0.0, layout.nose[1]),
        at(-layout.mouth_width, corner),
        at(layout.mouth_width, corner),
    ]
}

/// The point of the skin whose place in the face is (`x`, `y`), by bisection.
fn find(skull: &Skull, layout: &Layout, person: &Identity, x: f32, y: f32) -> SkinPoint {
    let (mut k, mut angle) = (6.0, 0.0);
    let chart = |k: f32, angle: f32| skin(skull.ring(k).at(Bearing::new(angle)), layout, person);
    for _ in 0..3 {
        let (mut low, mut high) = (2.0, 12.0);
        for _ in 0..14 {
            k = (low + high) / 2.0;
            if chart(k, angle).chart[1] > y { low = k } else { high = k }
        }
        let (mut low, mut high) = (-1.3, 1.3);
        for _ in 0..14 {
            angle = (low + high) / 2.0;
            if chart(k, angle).chart[0] < x { low = angle } else { high = angle }
        }
    }
    chart(k, angle)
}

/// Positions of rows (as rings) or columns (as angles) with more of them in the middle.
pub(crate) fn rows(detail: f32) -> Vec<f32> {
    let count = |rings: f32, dense: f32| (rings * dense * detail).ceil().max(2.0) as usize;
    let mut rows = Vec::new();
    for (from, to, dense) in [(0.0, FACE.0, 4.0), (FACE.0, FACE.1, 10.0), (FACE.1, BOTTOM, 5.0)] {
        let n = count(to - from, dense);
        rows.extend((0..n).map(|i| lerp(from, to, i as f32 / n as f32)));
    }
    rows.push(BOTTOM);
    rows
}

fn columns(detail: f32) -> Vec<Bearing> {
    let half = (42.0 * detail).ceil() as i32;
    (-half..=half)
        .map(|i| {
            let t = i as f32 / half as f32;
            // Denser in front.
            Bearing::new(REACH * (0.52 * t + 0.48 * t * t * t))
        })
        .collect()
}

/// Builds the skin of the head.
pub(crate) fn build(
    mesh: &mut Mesh,
    skull: &Skull,
    layout: &Layout,
    person: &Identity,
    line: &Hairline,
    view: &View,
    detail: f32,
) {
    let (rows, columns) = (rows(detail), columns(detail));
    mesh.clear(rows.len(), columns.len());
    let ends: Vec<f32> = columns.iter().map(|b| line.end(b.angle)).collect();
    for &k in &rows {
        let ring = skull.ring(k);
        for (&bearing, &end) in columns.iter().zip(&ends) {
            let point = skin(ring.at(bearing), layout, person);
            // Hair shades the skin beside it.
            let shaded = 0.3 * line.thickness * step(end + 0.9, end, k);
            mesh.push(
                view.head.place(point.place),
                point.chart,
                point.open * (1.0 - shaded),
                end - k,
            );
        }
    }
    mesh.finish(view, false);
}
