//! The relief of a face: what eyes, nose, cheeks and mouth add to the skull.

use crate::identity::Identity;
use crate::layout::Layout;
use crate::math::{V3, fraction, hill, hill2, lerp, step, to_segment};

/// A point of the skin.
pub(crate) struct SkinPoint {
    pub(crate) place: V3,
    /// Place in the face seen from the front, before relief: what colours are looked up by.
    pub(crate) chart: [f32; 2],
    /// Share of the light from all around that gets there, 0 to 1.
    pub(crate) open: f32,
}

/// Raises the face on the skull's point `base`.
pub(crate) fn skin(base: V3, layout: &Layout, person: &Identity) -> SkinPoint {
    let [x, y, z] = base;
    let front = step(0.0, 0.42, z);
    if front == 0.0 {
        return SkinPoint { place: base, chart: [x, y], open: 1.0 };
    }
    let y = y - front * layout.jaw_drop(x, y);
    let side = if x < 0.0 { -1.0 } else { 1.0 };
    let ax = x.abs();
    let (mut out, mut wide, mut open) = (0.0, 0.0, 1.0);

    // Eye sockets, brow ridge, eyeballs under their lids.
    let (ex, ey) = (ax - layout.eye[0], y - layout.eye[1]);
    out -= layout.eye_depth * hill2(ex + 0.02, ey - 0.015, 0.32, 0.21);
    out += 0.055 * hill2(ax - 0.29, y - layout.brow[1] - 0.0, 0.36, 0.13);
    out += 0.075 * hill2(ex, ey, 0.19, 0.15);
    out += 0.018 * hill2(ex, ey - layout.lid[0] - 0.02, 0.17, 0.06);
    open -= 0.38 * hill2(ex + 0.13, ey - 0.03, 0.2, 0.16);
    open -= 0.16 * hill2(ex, ey - 0.07, 0.24, 0.12);
    // Cheekbones, the fat of the cheeks, temples.
    let rise = 0.06 * layout.smile;
    let bone = hill2(ax - 0.5, y + 0.26 - rise, 0.3, 0.26);
    out += (0.055 + 0.04 * person.cheekbones) * bone;
    wide += (0.012 + 0.03 * person.cheekbones) * bone;
    let apple = hill2(ax - 0.4, y + 0.36 - rise, 0.24, 0.22);
    out += (0.02 + 0.025 * person.cheek_fullness + 0.06 * layout.smile) * apple;
    let hollow = hill2(ax - 0.5, y + 0.68, 0.2, 0.26);
    out -= (0.03 - 0.045 * person.cheek_fullness) * hollow;

    let (nose, shade) = nose(ax, y, layout);
    out += nose;
    open -= shade;

    // The folds beside the nose, down to beyond the corners of the mouth.
    let from = [layout.nose_width[1] + 0.04, layout.nose[1] + 0.02];
    let to = [layout.mouth_width + 0.075, layout.mouth_y + layout.corners + 0.01];
    let (square, along) = to_segment(ax, y, from, to);
    let fold = layout.fold * hill(square / 0.0049) * step(0.0, 0.3, along);
    out -= 0.016 * fold;
    open -= 0.07 * fold;
    // Lines on the forehead.
    let lines = (0.5 * (person.age - 0.2).max(0.0)
        + 0.35 * layout.frown * (0.4 + 0.6 * person.age.max(0.0)))
        * hill2(ax, y - 0.5, 0.5, 0.2);
    open -= 0.12 * lines * hill((fraction(y * 9.0) - 0.5) * 3.0);

    let (mouth, shade) = mouth(x, y, layout);
    out += mouth;
    open -= shade;

    // Chin: a ball, a crease over it.
    let down = 0.78 * layout.gap;
    let chin = y + 1.0 + down + 0.07 * person.chin_length;
    out += 0.06 * hill2(ax, chin, 0.24 + 0.05 * person.chin_width, 0.17);
    let crease = hill2(ax, chin - 0.135, 0.22, 0.07);
    out -= 0.028 * crease;
    open -= 0.14 * crease;

    let place = [x + front * wide * side, y, z + front * out];
    SkinPoint { place, chart: [x, y], open: 1.0 - front * (1.0 - open.max(0.2)) }
}

/// How far the nose stands out at (`ax`, `y`), and how much it shades.
fn nose(ax: f32, y: f32, layout: &Layout) -> (f32, f32) {
    let [root, tip] = layout.nose;
    let along = (root - y) / (root - tip);
    if !(-0.4..1.6).contains(&along) || ax > 0.5 {
        return (0.0, 0.0);
    }
    let down = along.clamp(0.0, 1.0);
    let ridge = lerp(layout.nose_out[0], layout.nose_out[1], down * (0.45 + 0.55 * down))
        + layout.nose_hump * 4.0 * down * (1.0 - down) * hill((down - 0.42) * (down - 0.42) * 6.0);
    let rise = step(-0.4, 0.12, along);
    // Below the tip it falls back to the lip.
    let under = step(tip - 0.135, tip - 0.005, y);
    let [bridge, wing] = layout.nose_width;
    let width = bridge * (0.85 + 0.15 * down) + 0.09 * down * down;
    let flank = hill((ax / width) * (ax / width));
    let mut out = ridge * rise * under * flank;
    out += layout.nose_tip * hill2(ax, y - tip - 0.005, 0.105, 0.1);
    out += 0.115 * hill2(ax - wing, y - tip + 0.03, 0.088, 0.085);
    // The groove behind the wing.
    let groove = hill2(ax - wing - 0.085, y - tip + 0.02, 0.05, 0.1);
    out -= 0.012 * groove;
    let below = hill2(ax, y - tip + 0.12, wing + 0.1, 0.075);
    (out, 0.18 * groove + 0.42 * below)
}

/// How far lips and what surrounds them stand out at (`x`, `y`), and how much they shade.
fn mouth(x: f32, y: f32, layout: &Layout) -> (f32, f32) {
    let lips = layout.outline(x);
    let around = hill2(x, y - layout.mouth_y, 0.46, 0.36);
    let mut out = 0.055 * around;
    let mut shade = 0.0;
    // The groove from nose to lip.
    out -= 0.014 * hill2(x, y - layout.mouth_y - 0.17, 0.05, 0.13);
    let inside = 1.0 - (x / layout.mouth_width) * (x / layout.mouth_width);
    if inside > -0.35 {
        let fade = step(-0.35, 0.5, inside);
        let ridge = |top: f32, bottom: f32| {
            let t = (y - (top + bottom) * 0.5) / ((top - bottom) * 0.5 + 0.02);
            hill(t * t * 0.8)
        };
        out +=
            fade * (0.055 * ridge(lips.top, lips.upper) + 0.065 * ridge(lips.lower, lips.bottom));
        let gap = (lips.upper - lips.lower).max(0.0);
        let hole = step(0.02, -0.02, (y - (lips.upper + lips.lower) * 0.5).abs() - gap * 0.5);
        out -= fade * hole * (0.03 + 0.9 * gap);
        shade += 0.22 * fade * hole;
        shade += 0.2 * fade * hill2(x, y - lips.bottom + 0.02, 0.2, 0.05);
    }
    // Dimples at the corners.
    let corner = layout.mouth_y + layout.corners;
    let dimple = hill2(x.abs() - layout.mouth_width - 0.015, y - corner, 0.06, 0.06);
    (out - 0.025 * dimple, shade + (0.16 + 0.1 * layout.smile) * dimple)
}
