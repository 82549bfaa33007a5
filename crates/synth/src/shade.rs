//! What light a pixel gets: its surfaces' colours, lit.

use crate::backdrop::Backdrop;
use crate::light::Light;
use crate::math::{V3, add, mix, scale, step, unit};
use crate::noise::value;
use crate::raster::{Buffer, Layer, Sample};
use crate::skin::{Skin, Surface};
use crate::surfaces::Surfaces;
use crate::view::View;

/// What shading a picture needs.
pub(crate) struct Shading<'a> {
    pub(crate) surfaces: &'a Surfaces,
    pub(crate) buffer: &'a Buffer,
    pub(crate) skin: Skin<'a>,
    pub(crate) light: Light,
    pub(crate) view: View,
    pub(crate) backdrop: Backdrop,
    /// The clothes' colour.
    pub(crate) clothes: V3,
    /// The picture's side in pixels.
    pub(crate) size: f32,
}

/// A place of a surface (column `u`, row `v`), and of the picture (pixels).
struct Seen {
    layer: Layer,
    u: f32,
    v: f32,
    near: f32,
    x: f32,
    y: f32,
}

impl Shading<'_> {
    /// The light of the pixel around (`x`, `y`): shaded once where its samples see the same
    /// surface, else each.
    pub(crate) fn pixel(&self, samples: &[Sample; 4], x: f32, y: f32) -> V3 {
        let (layer, near) = (samples[0].layer(), samples[0].near);
        if samples.iter().all(|s| s.layer() == layer && (s.near - near).abs() < 0.12) {
            let mut mean = Seen { layer, u: 0.0, v: 0.0, near: 0.0, x, y };
            for sample in samples {
                let (u, v) = sample.place();
                mean.u += u * 0.25;
                mean.v += v * 0.25;
                mean.near += sample.near * 0.25;
            }
            return self.shade(&mean);
        }
        let mut sum = [0.0; 3];
        for (i, sample) in samples.iter().enumerate() {
            let (x, y) = (x - 0.25 + 0.5 * (i % 2) as f32, y - 0.25 + 0.5 * (i / 2) as f32);
            let (u, v) = sample.place();
            let seen = Seen { layer: sample.layer(), u, v, near: sample.near, x, y };
            sum = add(sum, self.shade(&seen));
        }
        scale(sum, 0.25)
    }

    fn shade(&self, seen: &Seen) -> V3 {
        let Some(mesh) = self.surfaces.of(seen.layer) else {
            return self.backdrop.at(seen.x / self.size - 0.5, seen.y / self.size - 0.5);
        };
        let point = mesh.at(seen.u, seen.v);
        let mut normal = point.normal;
        let surface = match seen.layer {
            Layer::Skin => {
                let surface = self.skin.at(point.chart, point.extra);
                if let Some((ball, share)) = surface.ball {
                    normal = unit(mix(normal, self.view.head.apply(ball), share));
                }
                surface
            }
            Layer::Hair => {
                if normal[2] < 0.0 {
                    normal = scale(normal, -1.0);
                }
                let (surface, tilted) = hair_surface(self, point.chart, normal);
                normal = tilted;
                surface
            }
            Layer::Clothes => {
                if normal[2] < 0.0 {
                    normal = scale(normal, -1.0);
                }
                let weave = value(point.chart[0] * 40.0, point.chart[1] * 40.0, 11) - 0.5;
                Surface::matt(scale(self.clothes, 1.0 + 0.15 * weave))
            }
            _ => {
                let [cx, cy] = point.chart;
                let pores = value(cx * 9.0, cy * 9.0, self.skin.grain) - 0.5;
                let colour = scale(self.skin.palette.skin, 1.0 + 0.1 * pores);
                let ear = !matches!(seen.layer, Layer::Neck);
                let colour =
                    if ear { [colour[0], colour[1] * 0.86, colour[2] * 0.86] } else { colour };
                Surface { colour, gloss: 0.7, soft: 1.0, ball: None, spark: 0.0 }
            }
        };
        let mut lit = 1.0;
        // Strands shade each other already.
        if seen.layer != Layer::Hair && self.light.falls_on(&surface, normal) {
            lit = self.light.reaching(self.buffer, &self.view, seen.x, seen.y, seen.near);
        }
        self.light.on(&surface, normal, point.open, lit)
    }
}

/// Hair's surface: strands of their own shade and gloss.
fn hair_surface(s: &Shading<'_>, chart: [f32; 2], normal: V3) -> (Surface, V3) {
    let [around, down] = chart;
    let grain = s.skin.grain;
    let curl = 1.0 + 3.0 * s.skin.person.hair_curl.max(0.0);
    let bend = 0.25 * curl * (value(around * 6.0, down * 3.0 * curl, grain ^ 8) - 0.5);
    let fine = value(around * 95.0 + 14.0 * bend, down * 3.0 * curl, grain ^ 9);
    let coarse = value(around * 26.0 + 6.0 * bend, down * 2.0 * curl, grain ^ 10);
    let shade = 0.45 + 0.6 * fine + 0.5 * coarse;
    let ends = 1.0 - 0.2 * step(0.3, 0.0, down);
    let colour = scale(s.skin.palette.hair, shade * ends);
    let tilt = 0.55 * (coarse - 0.5) + 0.45 * (fine - 0.5);
    let normal = unit([normal[0] + tilt, normal[1] + 0.3 * bend, normal[2]]);
    (
        Surface { colour, gloss: 0.35 + 0.9 * fine * coarse, soft: 0.35, ball: None, spark: 0.0 },
        normal,
    )
}
