//! What is behind the head.

use crate::math::{V3, floor, fraction, hsv, mix, scale, step};
use crate::noise::{cell, value};
use crate::random::{piece, scramble};
use crate::scene::Scene;

pub(crate) struct Backdrop {
    kind: u32,
    colours: [V3; 2],
    /// The pattern's direction.
    along: [f32; 2],
    repeats: f32,
    phase: f32,
    blur: f32,
    grain: u64,
}

impl Backdrop {
    pub(crate) fn new(s: &Scene) -> Backdrop {
        let angle = std::f32::consts::TAU * s.back_angle;
        Backdrop {
            kind: s.backdrop as u32,
            colours: [
                hsv(s.back_hue, s.back_saturation, s.back_value),
                hsv(s.back_hue2, s.back_saturation2, s.back_value2),
            ],
            along: [libm::cosf(angle), libm::sinf(angle)],
            repeats: s.back_scale,
            phase: s.back_phase,
            blur: s.back_blur,
            grain: scramble(
                u64::from(s.back_phase.to_bits()) << 32 | u64::from(s.back_angle.to_bits()),
            ),
        }
    }

    /// The light from place (`x`, `y`), both −½ to ½ within the picture.
    pub(crate) fn at(&self, x: f32, y: f32) -> V3 {
        let [c, s] = self.along;
        let (u, v) = ((x * c + y * s) * self.repeats, (y * c - x * s) * self.repeats);
        let soft = 0.04 + 0.4 * self.blur;
        let share = match self.kind {
            0 => 0.5 + u / self.repeats,
            1 => {
                let t = fraction(u + self.phase);
                step(0.5 - soft, 0.5 + soft, (2.0 * t - 1.0).abs())
            }
            2 => {
                let (cu, cv) = (u + self.phase, v);
                let bits = cell(floor(cu), floor(cv), self.grain);
                let radius = 0.15 + 0.25 * piece(bits, 2);
                let room = 0.5 - radius;
                let dx = fraction(cu) - 0.5 - room * (2.0 * piece(bits, 0) - 1.0);
                let dy = fraction(cv) - 0.5 - room * (2.0 * piece(bits, 1) - 1.0);
                let there =
                    step(radius, radius * (0.92 - 0.9 * soft.min(1.0)), (dx * dx + dy * dy).sqrt());
                there * (0.4 + 0.6 * piece(bits, 3))
            }
            _ => value(u * 1.6 + self.phase * 40.0, v * 1.6, self.grain),
        };
        let clouds = value(x * 4.0, y * 4.0, self.grain ^ 1);
        scale(mix(self.colours[0], self.colours[1], share.clamp(0.0, 1.0)), 0.65 + 0.7 * clouds)
    }
}
