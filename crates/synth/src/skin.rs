//! The colour of the skin, place by place: lips, brows, beard, freckles.

use crate::eye;
use crate::identity::Identity;
use crate::layout::Layout;
use crate::math::{V3, floor, fraction, hill, hill2, mix, scale, step, times};
use crate::noise::{cell, value};
use crate::palette::Palette;
use crate::random::piece;

/// What light falls on.
pub(crate) struct Surface {
    /// Linear reflectance.
    pub(crate) colour: V3,
    /// How much it mirrors, against dry skin.
    pub(crate) gloss: f32,
    /// Share of the light that seeps through the skin.
    pub(crate) soft: f32,
    /// For eyeballs: the normal in the head's frame, and how much of it counts.
    pub(crate) ball: Option<(V3, f32)>,
    /// Light mirrored by the cornea, whatever its shade.
    pub(crate) spark: f32,
}

impl Surface {
    pub(crate) fn matt(colour: V3) -> Surface {
        Surface { colour, gloss: 0.0, soft: 0.0, ball: None, spark: 0.0 }
    }
}

/// A face's colours.
pub(crate) struct Skin<'a> {
    pub(crate) person: &'a Identity,
    pub(crate) layout: &'a Layout,
    pub(crate) palette: &'a Palette,
    pub(crate) grain: u64,
    /// A pixel's size in units of 10 cm: edges are as soft as that.
    pub(crate) pixel: f32,
    /// Where the main light comes from, x and y.
    pub(crate) light: [f32; 2],
}

impl Skin<'_> {
    /// The surface at `chart`; `hair` is how many rings the hairline lies below.
    pub(crate) fn at(&self, chart: [f32; 2], hair: f32) -> Surface {
        let [x, y] = chart;
        let ax = x.abs();
        let person = self.person;
        let blotches = value(x * 5.0, y * 5.0, self.grain) - 0.5;
        let pores = value(x * 37.0, y * 37.0, self.grain ^ 1) - 0.5;
        let mut colour = scale(self.palette.skin, 1.0 + 0.1 * blotches + 0.1 * pores);
        let mut gloss =
            1.0 + 0.5 * hill2(x, y - 0.45, 0.5, 0.3) + 0.5 * hill2(x, y + 0.3, 0.1, 0.3);

        let blush = (0.42 + 0.38 * person.cheek_colour) * hill2(ax - 0.43, y + 0.36, 0.3, 0.26)
            + 0.35 * hill2(x, y - self.layout.nose[1], 0.17, 0.14);
        colour = times(colour, [1.0, 1.0 - 0.34 * blush, 1.0 - 0.3 * blush]);
        let ring = hill2(ax - self.layout.eye[0] + 0.03, y - self.layout.eye[1] + 0.11, 0.19, 0.09);
        colour = times(colour, [1.0 - 0.17 * ring, 1.0 - 0.23 * ring, 1.0 - 0.16 * ring]);

        if person.freckles > 0.3 && ax < 0.65 && (-0.65..0.1).contains(&y) {
            colour = self.freckles(colour, x, y);
        }
        if person.mole_size > -0.2 {
            let (mx, my) = (0.5 * person.mole_x, -0.25 + 0.75 * person.mole_y);
            let radius = 0.017 + 0.016 * person.mole_size;
            let distance = ((x - mx) * (x - mx) + (y - my) * (y - my)).sqrt();
            let there = step(radius + self.pixel, radius - self.pixel, distance);
            colour = mix(colour, scale(self.palette.skin, 0.22), 0.85 * there);
        }
        let tip = self.layout.nose[1];
        let nostril = hill2(ax - self.layout.nose_width[1] * 0.55, y - tip + 0.085, 0.045, 0.038);
        colour = scale(colour, 1.0 - 0.8 * step(0.05, 0.7, nostril));

        let lips = self.lips(&mut colour, &mut gloss, x, y);
        self.hairs(&mut colour, &mut gloss, x, y, lips);
        self.brows(&mut colour, ax, x, y);
        let mut surface = Surface { colour, gloss, soft: 1.0, ball: None, spark: 0.0 };
        eye::paint(self, &mut surface, x, y);

        if hair > -0.35 {
            let ragged = value(x * 30.0, y * 9.0, self.grain ^ 2) - 0.5;
            let there = step(-0.16, 0.1, hair + 0.3 * ragged);
            surface.colour = mix(surface.colour, scale(self.palette.hair, 0.75), 0.94 * there);
            surface.gloss *= 1.0 - there;
            surface.soft *= 1.0 - there;
        }
        surface
    }

    fn freckles(&self, colour: V3, x: f32, y: f32) -> V3 {
        const CELLS: f32 = 21.0;
        let strength = (self.person.freckles - 0.3) / 0.7;
        let around = hill2(x, y + 0.27, 0.7, 0.4);
        let (cx, cy) = (x * CELLS, y * CELLS);
        let bits = cell(floor(cx), floor(cy), self.grain);
        if piece(bits, 0) > (0.15 + 0.5 * strength) * around {
            return colour;
        }
        let (dx, dy) =
            (fraction(cx) - 0.2 - 0.6 * piece(bits, 1), fraction(cy) - 0.2 - 0.6 * piece(bits, 2));
        let spot = step(0.08 + 0.22 * piece(bits, 3), 0.03, (dx * dx + dy * dy).sqrt());
        mix(colour, times(colour, [0.62, 0.46, 0.36]), spot * (0.45 + 0.45 * piece(bits, 3)))
    }

    /// Paints lips, teeth and the inside of the mouth; returns how much of them is there.
    fn lips(&self, colour: &mut V3, gloss: &mut f32, x: f32, y: f32) -> f32 {
        let layout = self.layout;
        let t = x / layout.mouth_width;
        if t.abs() > 1.1 || (y - layout.mouth_y).abs() > 0.42 {
            return 0.0;
        }
        let line = layout.outline(x);
        let soft = self.pixel.max(0.008);
        let edge = step(1.04, 0.97, t.abs());
        let within = |top: f32, bottom: f32, soft: f32| {
            step(-soft, soft, top - y) * step(-soft, soft, y - bottom)
        };
        let lips = within(line.top, line.bottom, soft * 1.3) * edge;
        let lined = 1.0 - 0.12 * (value(x * 55.0, y * 6.0, self.grain ^ 3) - 0.2);
        *colour = mix(*colour, scale(self.palette.lips, lined), 0.9 * lips);
        *gloss += 1.1 * lips * step(line.lower + 0.01, line.bottom, y);
        // A closed mouth is a dark line.
        let seam = within(line.upper + 0.006, line.lower - 0.006, soft) * edge;
        let mut inside = scale(self.palette.lips, 0.10);
        let gap = line.upper - line.lower;
        if gap > 0.015 {
            let down = line.upper - y;
            let tooth = fraction(x / 0.052) - 0.5;
            let between = 1.0 - 0.35 * step(0.38, 0.5, tooth.abs());
            let reach = 0.075 - 0.05 * t * t;
            let teeth = step(reach + soft, reach - soft, down) * step(0.9, 0.6, t.abs());
            let tongue = hill2(x, y - layout.mouth_y + 0.8 * layout.gap, 0.17, 0.09);
            inside = mix(inside, [0.26, 0.07, 0.06], tongue);
            inside = mix(
                inside,
                scale([0.60, 0.56, 0.49], between * (0.6 + 0.4 * (1.0 - t * t))),
                teeth,
            );
        }
        *colour = mix(*colour, inside, seam * 0.96);
        *gloss *= 1.0 - 0.6 * seam;
        lips
    }

    /// Paints beard and moustache.
    fn hairs(&self, colour: &mut V3, gloss: &mut f32, x: f32, y: f32, lips: f32) {
        let person = self.person;
        let (beard, moustache) =
            ((person.beard - 0.3).max(0.0) / 0.7, (person.moustache - 0.4).max(0.0) / 0.6);
        if beard + moustache == 0.0 || y > 0.25 {
            return;
        }
        let ax = x.abs();
        let beyond = (ax - 0.28).max(0.0);
        let border = self.layout.mouth_y - 0.02 + 1.55 * beyond * beyond.sqrt();
        let ragged = value(x * 16.0, y * 16.0, self.grain ^ 4) - 0.5;
        let mut there = 0.0f32;
        if beard > 0.0 {
            there = (0.45 + 0.5 * beard) * step(border + 0.09, border - 0.1, y + 0.1 * ragged);
        }
        if moustache > 0.0 {
            let over = self.layout.outline(x.clamp(-0.2, 0.2)).top + 0.05;
            let shape = hill2(x, y - over + 0.3 * x * x, 0.34, 0.105);
            there = there.max((0.5 + 0.45 * moustache) * step(0.05, 0.4, shape + 0.2 * ragged));
        }
        let hairs = value(x * 60.0, y * 22.0, self.grain ^ 5);
        let there = there * (1.0 - lips) * (0.72 + 0.4 * hairs).min(1.0);
        *colour = mix(*colour, self.palette.brow, there);
        *gloss *= 1.0 - there;
    }

    fn brows(&self, colour: &mut V3, ax: f32, x: f32, y: f32) {
        let layout = self.layout;
        let along = (ax - layout.brow[0]) / layout.brow_length;
        if along.abs() > 1.1 || (y - layout.brow[1]).abs() > 0.3 {
            return;
        }
        let bend = along - 0.25;
        let line = layout.brow[1]
            + layout.brow_tilt * (ax - layout.brow[0])
            + layout.brow_arch * (0.6 - bend * bend);
        let thick = layout.brow_thickness * (1.0 - 0.62 * step(0.0, 1.0, along));
        let away = (y - line) / thick;
        // Hairs lean outwards.
        let hairs = value((x - 0.6 * y * x.signum()) * 75.0, y * 16.0, self.grain ^ 6);
        let soft = (self.pixel / thick).max(0.3);
        let there = step(1.0 + soft, 1.0 - soft, away.abs() + 0.35 * (hairs - 0.5))
            * step(1.0, 0.82, along)
            * step(-1.05, -0.8, along);
        *colour = mix(*colour, self.palette.brow, there * (0.70 + 0.25 * hill(away * away * 0.6)));
    }
}
