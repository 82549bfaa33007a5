//! A person's colours, as linear reflectances.

use crate::identity::Identity;
use crate::math::{V3, lerp, mix, scale, step, times};

pub(crate) struct Palette {
    pub(crate) skin: V3,
    pub(crate) lips: V3,
    pub(crate) hair: V3,
    pub(crate) brow: V3,
    pub(crate) iris: V3,
}

const BLACK: V3 = [0.012, 0.010, 0.009];
const BROWN: V3 = [0.062, 0.030, 0.015];
const BLOND: V3 = [0.42, 0.26, 0.11];
const RED: V3 = [0.21, 0.055, 0.018];
const GREY: V3 = [0.42, 0.41, 0.40];

impl Palette {
    pub(crate) fn new(p: &Identity) -> Palette {
        // Melanin works on the logarithm of reflectance; more of it shows less red.
        let (dark, light) = ([0.19f32, 0.100, 0.060], [0.66f32, 0.44, 0.335]);
        let t = (p.skin_tone + 1.0) / 2.0;
        let blend = |c: usize| libm::expf(lerp(libm::logf(dark[c]), libm::logf(light[c]), t));
        let yellow = p.undertone;
        let skin = times(
            [blend(0), blend(1), blend(2)],
            [1.0 - 0.02 * yellow, 1.0 + 0.04 * yellow, 1.0 - 0.13 * yellow],
        );
        let red = 0.5 + 0.5 * p.lip_colour;
        let lips = times(skin, [0.98, 0.66 - 0.22 * red, 0.70 - 0.2 * red]);

        let light = (p.hair_light + 1.0) * 1.5;
        let mut hair = if light < 1.5 {
            mix(BLACK, BROWN, light / 1.5)
        } else {
            mix(BROWN, BLOND, (light - 1.5) / 1.5)
        };
        hair = mix(hair, RED, 0.75 * (p.hair_red - 0.3).max(0.0));
        hair = mix(hair, GREY, 0.9 * step(0.5, 0.95, p.age));
        // Brows and beards are darker than the hair, and than the skin under them.
        let mut brow = scale(mix(hair, BLACK, 0.45), 0.8);
        let most = 0.28 * skin[1];
        if brow[1] > most {
            brow = scale(brow, most / brow[1]);
        }

        let hue = p.iris_hue;
        let (brown, green, blue) = ([0.10, 0.042, 0.014], [0.13, 0.125, 0.045], [0.10, 0.20, 0.34]);
        let iris = if hue < 0.0 { mix(brown, green, hue + 1.0) } else { mix(green, blue, hue) };
        let iris = scale(iris, 1.0 + 0.55 * p.iris_light);
        Palette { skin, lips, hair, brow, iris }
    }
}
