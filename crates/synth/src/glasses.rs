//! Glasses: frames on a plane before the eyes, arms to the ears.

use crate::layout::Layout;
use crate::math::{V3, hsv, lerp, mix, scale, step, to_segment};
use crate::scene::Scene;
use crate::view::View;

pub(crate) struct Glasses {
    /// How far in front of the head's middle.
    plane: f32,
    centre: [f32; 2],
    radius: [f32; 2],
    round: f32,
    thick: f32,
    colour: V3,
    /// Each arm on the picture: ends with their nearness.
    arms: [[V3; 2]; 2],
    /// Rows of the picture that may show glasses.
    rows: (f32, f32),
    pixel: f32,
}

impl Glasses {
    /// `bridge` is the skin's place at the root of the nose, `wide` half the head's width.
    pub(crate) fn new(
        scene: &Scene,
        layout: &Layout,
        bridge: V3,
        wide: f32,
        view: &View,
    ) -> Glasses {
        let plane = bridge[2] + 0.06;
        let centre = [layout.eye[0] + 0.01, layout.eye[1] - 0.025];
        let radius = [0.235, lerp(0.165, 0.215, scene.glasses_round)];
        let hinge = centre[0] + radius[0];
        let arm = |side: f32| {
            let front = [side * hinge, centre[1] + 0.06, plane - 0.02];
            let back = [side * (wide + 0.03), centre[1] + 0.05, -0.02];
            [front, back].map(|p| view.picture(view.head.place(p)))
        };
        let arms = [arm(-1.0), arm(1.0)];
        let corner = |y: f32| {
            [-1.0f32, 1.0].map(|side| view.picture(view.head.place([side * 0.6, y, plane]))[1])
        };
        let (top, bottom) = (corner(centre[1] + 0.3), corner(centre[1] - 0.3));
        let rows = (top[0].min(top[1]), bottom[0].max(bottom[1]));
        let thick = lerp(0.012, 0.03, scene.glasses_thick);
        let colour =
            hsv(0.07, 0.5 * (1.0 - scene.glasses_light), lerp(0.08, 0.6, scene.glasses_light));
        let pixel = 1.0 / view.pixels();
        Glasses {
            plane,
            centre,
            radius,
            round: scene.glasses_round,
            thick,
            colour,
            arms,
            rows,
            pixel,
        }
    }

    /// Puts glasses over `behind`, what the pixel at (`x`, `y`) shows at nearness `near`; `skin` if
    /// it is the head's own.
    pub(crate) fn over(
        &self,
        behind: V3,
        x: f32,
        y: f32,
        near: f32,
        skin: bool,
        view: &View,
    ) -> V3 {
        if y < self.rows.0 - 40.0 * self.pixel || y > self.rows.1 {
            return behind;
        }
        let mut colour = behind;
        if skin {
            for [from, to] in self.arms {
                let (square, t) = to_segment(x, y, [from[0], from[1]], [to[0], to[1]]);
                let width = self.thick / self.pixel * 0.9;
                let there = step(width + 0.5, (width - 0.5).max(0.0), square.sqrt());
                if there > 0.0 && lerp(from[2], to[2], t) > near - 0.06 {
                    colour = mix(colour, scale(self.colour, 0.6), there);
                }
            }
        }
        let (eye, sight) = view.sight(x, y);
        let (from, along) = (view.head.unplace(eye), view.head.back(sight));
        let t = (self.plane - from[2]) / along[2];
        let (gx, gy) = (from[0] + t * along[0], from[1] + t * along[1]);
        if eye[2] + t * sight[2] < near || gx.abs() > 0.75 {
            return colour;
        }
        let (dx, dy) =
            ((gx.abs() - self.centre[0]) / self.radius[0], (gy - self.centre[1]) / self.radius[1]);
        // Between an ellipse and a rounded rectangle.
        let (sx, sy) = (dx * dx, dy * dy);
        let ellipse = (sx + sy).sqrt();
        let square = (sx * sx * sx + sy * sy * sy).max(1e-9);
        let square = libm::cbrtf(square).sqrt();
        let outline = (lerp(square, ellipse, self.round) - 1.0) * self.radius[1];
        let soft = self.pixel * 0.7;
        let rim = step(self.thick + soft, self.thick - soft, outline.abs());
        let over = (gy - self.centre[1] - 0.05).abs();
        let bridge = if gx.abs() < self.centre[0] - 0.8 * self.radius[0] {
            step(self.thick + soft, self.thick - soft, over)
        } else {
            0.0
        };
        let lens = step(soft, -soft, outline);
        // Glass takes a little light and mirrors some from above.
        let sheen = 0.05 * step(-0.2, 1.0, dy + 0.5 * dx);
        colour = mix(colour, [0.5, 0.55, 0.6], lens * sheen);
        colour = scale(colour, 1.0 - 0.06 * lens);
        mix(colour, self.colour, rim.max(bridge) * 0.96)
    }
}
