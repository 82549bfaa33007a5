//! Eyes: lids, lashes, eyeball, iris, pupil.

use crate::math::{V3, mix, scale, step, unit};
use crate::noise::value;
use crate::skin::{Skin, Surface};

const LASH: V3 = [0.016, 0.012, 0.010];

/// Paints the eyes over the skin at (`x`, `y`).
pub(crate) fn paint(skin: &Skin<'_>, surface: &mut Surface, x: f32, y: f32) {
    let layout = skin.layout;
    let side = if x < 0.0 { -1.0 } else { 1.0 };
    // From the eye's centre; outwards and up, along the eye's tilt.
    let out = x.abs() - layout.eye[0];
    let up = y - layout.eye[1] - layout.eye_tilt * out;
    let t = out / layout.eye_width;
    if t.abs() > 1.3 || up.abs() > 0.22 {
        return;
    }
    let soft = skin.pixel.max(0.006);
    let arch = (1.0 - t * t).max(0.0);
    let high = layout.lid[0] * (0.3 * arch.sqrt() + 0.7 * arch) * (1.0 - 0.14 * t);
    let low = -layout.lid[1] * (0.2 * arch.sqrt() + 0.8 * arch) * (1.0 + 0.2 * t);
    let ends = step(1.12, 0.98, t.abs());

    // The fold over the upper lid, and the lid between, a little darker.
    let fold = high + layout.lid_fold * (0.45 + 0.55 * arch);
    let crease = step(0.011 + soft, 0.002, (up - fold).abs()) * ends;
    surface.colour = mix(surface.colour, scale(skin.palette.skin, 0.36), 0.5 * crease);
    let lid = step(-soft, soft, up - high) * step(-soft, soft, fold - up) * ends;
    surface.colour = scale(surface.colour, 1.0 - 0.14 * lid);
    surface.gloss += 0.4 * lid;

    let inside =
        step(-soft, soft, high - up) * step(-soft, soft, up - low) * step(1.02, 0.98, t.abs());
    if inside > 0.0 {
        let (gx, gy) = (x - side * layout.eye[0] - layout.gaze[0], up - layout.gaze[1]);
        let (ball, spark) = eyeball(skin, gx, gy, t, high - up, soft);
        surface.colour = mix(surface.colour, ball, inside);
        surface.gloss *= 1.0 - inside;
        surface.soft *= 1.0 - inside;
        let around = unit([side * out / 0.16, up / 0.2, 1.0]);
        surface.ball = Some((around, inside));
        surface.spark = spark * inside;
    }
    let lash = step(0.013 + soft, 0.003, (up - high - 0.006).abs()) * step(1.1, 0.95, t.abs());
    surface.colour = mix(surface.colour, LASH, lash * (0.72 + 0.2 * step(-0.4, 0.8, t)));
    let lower = step(0.008 + soft, 0.001, (up - low).abs()) * step(1.05, 0.8, t.abs());
    surface.colour = mix(surface.colour, scale(skin.palette.skin, 0.3), 0.4 * lower);
    if lash > 0.5 {
        surface.spark = 0.0;
    }
}

/// The eyeball's colour at (`gx`, `gy`) from the iris's centre, and what it mirrors.
fn eyeball(skin: &Skin<'_>, gx: f32, gy: f32, t: f32, below_lid: f32, soft: f32) -> (V3, f32) {
    let radius = skin.layout.iris;
    let corner = step(0.6, 1.0, t.abs());
    let mut colour = mix([0.62, 0.59, 0.57], [0.42, 0.24, 0.21], 0.75 * corner);
    let distance = (gx * gx + gy * gy).sqrt();
    let iris = step(radius + soft, radius - soft, distance);
    if iris > 0.0 {
        let rays =
            value(gx / (distance + 1e-3) * 7.0, gy / (distance + 1e-3) * 7.0, skin.grain ^ 7);
        let limbus = step(0.7 * radius, radius, distance);
        let lit = (0.75 + 0.6 * rays) * (1.0 - 0.65 * limbus);
        let pupil = step(0.42 * radius + soft, 0.42 * radius - soft, distance);
        let stroma = mix(scale(skin.palette.iris, lit), [0.004, 0.004, 0.004], pupil);
        colour = mix(colour, stroma, iris);
    }
    // The upper lid's shadow.
    colour = scale(colour, 0.45 + 0.55 * step(-0.01, 0.055, below_lid));
    let (sx, sy) = (gx - 0.022 * skin.light[0], gy - 0.012 - 0.016 * skin.light[1]);
    let size = 0.0145f32;
    let spark = step(size + soft, (size - soft).max(0.0), (sx * sx + sy * sy).sqrt());
    (colour, spark)
}
