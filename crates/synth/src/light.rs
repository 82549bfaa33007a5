//! Light: a main lamp with a shadow, light from all around, gloss.

use crate::math::{V3, add, dot, scale, times, unit};
use crate::raster::{Buffer, Layer, SAMPLES};
use crate::scene::Scene;
use crate::skin::Surface;
use crate::view::View;

pub(crate) struct Light {
    /// Where the main light comes from.
    pub(crate) towards: V3,
    main: V3,
    sky: V3,
    ground: V3,
    half: V3,
    gloss: f32,
}

/// How far beyond the shadow's edge light seeps through skin: red furthest.
const SEEP: V3 = [0.30, 0.13, 0.09];

/// How far along the light the shadow looks for what stands in its way; units of 10 cm.
const REACH: [f32; 6] = [0.05, 0.1, 0.17, 0.26, 0.38, 0.54];

impl Light {
    pub(crate) fn new(scene: &Scene) -> Light {
        let towards = unit([scene.light_x, scene.light_y, 1.0]);
        let warm = |w: f32| [1.0 + 0.16 * w, 1.0, 1.0 - 0.22 * w];
        let sky = scale(warm(-scene.sky), scene.ambient);
        let ground = scale(times(sky, [1.05, 0.95, 0.88]), 0.6);
        let main = scale(warm(scene.warmth), 1.25 * (1.0 - scene.ambient));
        let half = unit(add(towards, [0.0, 0.0, 1.0]));
        Light { towards, main, sky, ground, half, gloss: 0.085 * scene.gloss }
    }

    /// The light that `surface` sends to the camera. `open` is the share of light from all around
    /// that gets there, `lit` that of the main light.
    pub(crate) fn on(&self, surface: &Surface, normal: V3, open: f32, lit: f32) -> V3 {
        let cosine = dot(normal, self.towards);
        let up = 0.5 + 0.5 * normal[1];
        let mut sum = [0.0; 3];
        for c in 0..3 {
            let wrap = SEEP[c] * surface.soft;
            let direct = ((cosine + wrap) / (1.0 + wrap)).max(0.0);
            let shadow = lit + (1.0 - lit) * 0.35 * wrap;
            let around = (self.ground[c] + (self.sky[c] - self.ground[c]) * up) * open;
            sum[c] = surface.colour[c] * (self.main[c] * direct * shadow + around);
        }
        if surface.gloss > 0.0 {
            let mirror = dot(normal, self.half).max(0.0);
            let (m2, m4) = (mirror * mirror, mirror * mirror * mirror * mirror);
            let (m8, m16) = (m4 * m4, m4 * m4 * m4 * m4);
            let sharp = m16 * (0.35 * m2 + 0.9 * m16 * m8);
            let rim = (1.0 - normal[2].clamp(0.0, 1.0)) * (1.0 - normal[2].clamp(0.0, 1.0));
            let shine = self.gloss * surface.gloss;
            sum = add(sum, scale(self.main, shine * sharp * lit * step_up(cosine)));
            sum = add(sum, scale(self.sky, 0.35 * shine * rim * open));
        }
        if surface.spark > 0.0 {
            sum = add(sum, scale(self.main, 0.75 * surface.spark * (0.3 + 0.7 * lit)));
        }
        sum
    }

    /// Whether the main light matters on a surface: not where it is turned away.
    pub(crate) fn falls_on(&self, surface: &Surface, normal: V3) -> bool {
        dot(normal, self.towards) > -SEEP[0] || surface.spark > 0.0
    }

    /// The share of the main light that reaches a place of the picture (pixels) of that nearness:
    /// looks along the light in the z-buffer.
    pub(crate) fn reaching(&self, buffer: &Buffer, view: &View, x: f32, y: f32, near: f32) -> f32 {
        let [dx, dy] = view.along(self.towards);
        let mut shade = 0.0f32;
        for reach in REACH {
            let sx = (x + dx * reach) * SAMPLES as f32;
            let sy = (y + dy * reach) * SAMPLES as f32;
            if sx < 0.0 || sy < 0.0 {
                break;
            }
            let (sx, sy) = (sx as usize, sy as usize);
            if sx >= buffer.side || sy >= buffer.side {
                break;
            }
            let sample = &buffer.samples[sy * buffer.side + sx];
            if sample.layer() == Layer::Backdrop {
                continue;
            }
            let over = sample.near - (near + self.towards[2] * reach);
            if over < 0.6 {
                let soft = 0.05 + 0.16 * reach;
                let t = ((over - 0.012) / soft).clamp(0.0, 1.0);
                shade = shade.max(t);
                if shade == 1.0 {
                    break;
                }
            }
        }
        1.0 - 0.9 * shade
    }
}

/// 0 for light from behind, 1 from a little above the horizon.
fn step_up(cosine: f32) -> f32 {
    (cosine * 4.0).clamp(0.0, 1.0)
}
