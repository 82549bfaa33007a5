//! The camera: metering, white balance, blur, curve, noise.

use image::RgbImage;

use crate::math::{V3, encode};
use crate::random::{piece, scramble};
use crate::scene::Scene;

/// How far the meters correct what they see, in the logarithm: real ones do not go all the way.
const EXPOSURE_CORRECTED: f32 = 0.8;
const BALANCE_CORRECTED: f32 = 0.25;

/// The curve's table has 256 entries for each doubling of light between these: a number's bits
/// are its index.
const DARKEST: f32 = 1.0 / 4096.0;
const BRIGHTEST: f32 = 1.75;
const SHIFT: u32 = 15;

/// Turns light into a picture. `light` is blurred in place; `spare` is of any size.
pub(crate) fn develop(light: &mut [V3], spare: &mut Vec<V3>, size: u32, scene: &Scene) -> RgbImage {
    let side = size as usize;
    blur(light, spare, side, scene.blur * size as f32 / 256.0);
    let gains = gains(light, side, scene);
    let curve = curve(scene);
    let mut pixels = Vec::with_capacity(light.len() * 3);
    let mut state =
        u64::from(scene.noise_pattern.to_bits()) << 32 | u64::from(scene.exposure.to_bits());
    // Three sums of two uniform numbers have this standard deviation each.
    let noise = scene.noise / libm::sqrtf(2.0 / 12.0);
    for (row, line) in light.chunks(side).enumerate() {
        let dy = (row as f32 + 0.5) / side as f32 - 0.5;
        for (column, pixel) in line.iter().enumerate() {
            let dx = (column as f32 + 0.5) / side as f32 - 0.5;
            let fall = 1.0 - scene.vignette * 2.0 * (dx * dx + dy * dy);
            state = state.wrapping_add(1);
            let bits = scramble(state);
            let shared = piece(bits, 3) - 0.5;
            for c in 0..3 {
                let value = (pixel[c] * gains[c] * fall).clamp(DARKEST, BRIGHTEST);
                let level = curve[((value.to_bits() - DARKEST.to_bits()) >> SHIFT) as usize];
                let grain = noise * (piece(bits, c as u32) - 0.5 + shared);
                pixels.push((level + grain + 0.5).clamp(0.0, 255.0) as u8);
            }
        }
    }
    RgbImage::from_raw(size, size, pixels).unwrap_or_default()
}

/// Gains of the channels: towards the exposure and the grey that the camera's meters aim at.
fn gains(light: &[V3], side: usize, scene: &Scene) -> V3 {
    let mut sums = [0.0f64; 3];
    // Every fourth pixel is enough.
    let metered = || light.chunks(side).step_by(2).flat_map(|row| row.iter().step_by(2));
    for pixel in metered() {
        for c in 0..3 {
            // Much as levels will be: brightness as it is seen.
            sums[c] += f64::from(pixel[c].clamp(0.0, 2.0).sqrt());
        }
    }
    let count = metered().count() as f64;
    let means = sums.map(|sum| (sum / count) as f32 + 1e-4);
    let grey = (means[0] + means[1] + means[2]) / 3.0;
    let exposure = libm::powf(scene.exposure / grey, 2.0 * EXPOSURE_CORRECTED);
    let tints = [scene.tint_red, -0.25 * (scene.tint_red + scene.tint_blue), scene.tint_blue];
    [0, 1, 2].map(|c| {
        exposure * libm::powf(grey / means[c], 2.0 * BALANCE_CORRECTED) * libm::expf(tints[c])
    })
}

/// Levels (0 to 255) by the bits of light: sRGB, contrast, soft highlights and shadows.
fn curve(scene: &Scene) -> Vec<f32> {
    let first = DARKEST.to_bits() >> SHIFT;
    let level = |i: u32| {
        // The middle of what shares the index.
        let level = encode(f32::from_bits(i << SHIFT | 1 << (SHIFT - 1)));
        let level = 0.45 + (level - 0.45) * scene.contrast;
        let (knee, room) = (0.8, 0.2);
        let level = if level > knee {
            knee + room * (1.0 - libm::expf((knee - level) / room))
        } else if level < 0.1 {
            0.1 * libm::expf((level - 0.1) / 0.1)
        } else {
            level
        };
        255.0 * level
    };
    (first..=BRIGHTEST.to_bits() >> SHIFT).map(level).collect()
}

/// Gaussian blur of five taps; `sigma` in pixels.
fn blur(light: &mut [V3], spare: &mut Vec<V3>, side: usize, sigma: f32) {
    if sigma < 0.2 || side < 5 {
        return;
    }
    let weight = |d: f32| libm::expf(-d * d / (2.0 * sigma * sigma));
    let (w1, w2) = (weight(1.0), weight(2.0));
    let sum = 1.0 + 2.0 * (w1 + w2);
    let (near, far, own) = (w1 / sum, w2 / sum, 1.0 / sum);
    // Rows with two pixels more at either end, as a flat list of numbers.
    const EDGE: usize = 6;
    let mut row = vec![0.0f32; 3 * side + 2 * EDGE];
    spare.clear();
    for line in light.chunks(side) {
        row[EDGE..3 * side + EDGE].copy_from_slice(line.as_flattened());
        for c in 0..3 {
            for k in 0..2 {
                row[3 * k + c] = line[0][c];
                row[EDGE + 3 * (side + k) + c] = line[side - 1][c];
            }
        }
        let at = |i: usize| {
            near * (row[i + 3] + row[i + 9]) + far * (row[i] + row[i + 12]) + own * row[i + 6]
        };
        spare.extend((0..side).map(|x| [at(3 * x), at(3 * x + 1), at(3 * x + 2)]));
    }
    let line = |y: usize| spare[y * side..(y + 1) * side].as_flattened();
    for y in 0..side {
        let [a, b, c, d, e] =
            [0, 1, 2, 3, 4].map(|k| line((y + k).saturating_sub(2).min(side - 1)));
        let out = light[y * side..(y + 1) * side].as_flattened_mut();
        for (i, out) in out.iter_mut().enumerate() {
            *out = near * (b[i] + d[i]) + far * (a[i] + e[i]) + own * c[i];
        }
    }
}
