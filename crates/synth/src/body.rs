//! Ears, neck and clothes.

use crate::identity::Identity;
use crate::math::{hill, lerp, step};
use crate::mesh::Mesh;
use crate::scene::Scene;
use crate::skull::{Bearing, Skull};
use crate::view::View;

/// Builds an ear: the right one as seen, or its mirror image.
pub(crate) fn ear(
    mesh: &mut Mesh,
    skull: &Skull,
    person: &Identity,
    right: bool,
    view: &View,
    detail: f32,
) {
    let (rows, columns) = ((26.0 * detail) as usize, (22.0 * detail) as usize);
    mesh.clear(rows, columns);
    let side = if right { 1.0 } else { -1.0 };
    let size = 1.0 + 0.16 * person.ear_size;
    let out = 0.42 + 0.22 * person.ear_angle;
    let root = skull.ring(7.0).at(Bearing::new(1.66));
    for r in 0..rows {
        let t = r as f32 / (rows - 1) as f32;
        let y = 1.0 - 2.0 * t;
        // Wider above, a lobe below.
        let reach = (1.0 - y * y).max(0.0).sqrt() * (1.0 + 0.22 * y);
        for c in 0..columns {
            let s = c as f32 / (columns - 1) as f32;
            // From the front edge over the outer face and round to the back.
            let angle = s * std::f32::consts::PI;
            let (along, swell) = (-libm::cosf(angle), libm::sinf(angle));
            let depth = along * reach;
            // A hollow within a rim.
            let hollow = hill((along + 0.25) * (along + 0.25) * 2.2) * hill(y * y * 1.4);
            let away = swell * 0.05 * reach.min(1.0) * (1.0 - 0.75 * hollow);
            // Turned out about the front edge.
            let back = (depth + 1.0) * 0.155 * size;
            let x = root[0] - 0.04 + away + back * out;
            let place = [side * x, root[1] + 0.1 + y * 0.29 * size, root[2] + 0.07 - back];
            mesh.push(view.head.place(place), [along, y], 1.0 - 0.5 * hollow, 0.0);
        }
    }
    if !right {
        // Columns run to the right on a surface seen from outside.
        mesh.reverse_rows();
    }
    mesh.finish(view, false);
}

/// Builds the neck.
pub(crate) fn neck(mesh: &mut Mesh, person: &Identity, view: &View, detail: f32) {
    let (rows, half) = ((16.0 * detail) as usize, (20.0 * detail) as i32);
    mesh.clear(rows, 2 * half as usize + 1);
    let width = 0.39 * (1.0 + 0.12 * person.jaw_width + 0.07 * person.face_width);
    for r in 0..rows {
        let t = r as f32 / (rows - 1) as f32;
        let y = lerp(-0.55, -2.2, t);
        let radius = width * (1.0 + 0.9 * step(0.45, 1.0, t));
        for c in -half..=half {
            let angle = c as f32 / half as f32 * 2.2;
            let (sine, cosine) = (libm::sinf(angle), libm::cosf(angle));
            let place = [radius * sine, y, -0.30 - 0.1 * t + radius * 0.9 * cosine];
            // The head's shadow.
            let open = 0.42 + 0.4 * step(-0.9, -1.7, y);
            mesh.push(view.body.place(place), [angle, y], open, 0.0);
        }
    }
    mesh.finish(view, false);
}

/// Builds clothes, from the collar outwards.
pub(crate) fn clothes(mesh: &mut Mesh, scene: &Scene, view: &View, detail: f32) {
    let (rows, half) = ((14.0 * detail) as usize, (26.0 * detail) as i32);
    mesh.clear(rows, 2 * half as usize + 1);
    let collar = lerp(-1.62, -1.08, scene.collar);
    for r in 0..rows {
        let t = r as f32 / (rows - 1) as f32;
        for c in -half..=half {
            let angle = c as f32 / half as f32 * 2.3;
            let (sine, cosine) = (libm::sinf(angle), libm::cosf(angle));
            // A collar round the neck, open in front, then shoulders.
            let open_front = (1.0 - scene.collar) * 0.35 * hill(angle * angle);
            let radius = 0.55 + 0.1 * step(0.0, 0.3, t) + 1.5 * step(0.25, 1.0, t);
            let y = collar - open_front - 0.25 * step(0.0, 0.3, t) - 0.75 * t;
            let place = [radius * sine, y, -0.3 + radius * 0.72 * cosine];
            let open = 0.55 + 0.45 * step(0.0, 0.5, t);
            mesh.push(view.body.place(place), [angle * radius, t * 3.0], open, 0.0);
        }
    }
    mesh.finish(view, false);
}
