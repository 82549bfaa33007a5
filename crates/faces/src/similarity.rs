//! Similarity transforms of the plane, and the alignment of a face by five landmarks
//! (method.md §7).
//!
//! Points are `[x, y]` in pixels, x to the right, y down, whole numbers at pixel centres.

use image::{Rgb, RgbImage};

/// `p ↦ a·p + b` over the complex numbers: turn and scale by `a`, then shift by `b`.
/// A reflection cannot be written this way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// Scale times cosine, and scale times sine, of the turn.
    a: [f64; 2],
    /// Shift in pixels.
    b: [f64; 2],
}

impl Similarity {
    /// The transform that takes `from` to `to` with the least sum of squared distances,
    /// reflections excluded (Umeyama 1991; in the plane and without reflection its solution
    /// is the complex regression used here).
    ///
    /// `None` when the lengths differ, or no turn and scale follow from the points: fewer
    /// than two, all in one place, not finite, or best shrunk to a point.
    pub fn estimate(from: &[[f64; 2]], to: &[[f64; 2]]) -> Option<Similarity> {
        if from.len() != to.len() || from.len() < 2 {
            return None;
        }
        let (centre_from, centre_to) = (mean(from), mean(to));
        let (mut a, mut spread) = ([0.0; 2], 0.0);
        for (p, q) in from.iter().zip(to) {
            let (p, q) = (minus(*p, centre_from), minus(*q, centre_to));
            let product = times([p[0], -p[1]], q);
            a = [a[0] + product[0], a[1] + product[1]];
            spread += p[0] * p[0] + p[1] * p[1];
        }
        let a = [a[0] / spread, a[1] / spread];
        let transform = Similarity { a, b: minus(centre_to, times(a, centre_from)) };
        let scale = transform.scale();
        (scale.is_finite() && scale > 1e-9).then_some(transform)
    }

    /// Where `point` goes.
    pub fn apply(&self, point: [f64; 2]) -> [f64; 2] {
        let turned = times(self.a, point);
        [turned[0] + self.b[0], turned[1] + self.b[1]]
    }

    /// The transform back.
    pub fn inverse(&self) -> Similarity {
        let square = self.scale().powi(2);
        let a = [self.a[0] / square, -self.a[1] / square];
        let b = times(a, self.b);
        Similarity { a, b: [-b[0], -b[1]] }
    }

    /// Length of the image of a unit length.
    pub fn scale(&self) -> f64 {
        self.a[0].hypot(self.a[1])
    }
}

/// Where the five landmarks (left and right eye as seen, nose, left and right corner of
/// the mouth) belong in a crop of `size` × `size` pixels.
///
/// Method.md §7: the reference points for 112 × 112, shrunk about the centre to 85 %, then
/// enlarged to `size`.
pub fn reference_points(size: u32) -> [[f64; 2]; 5] {
    const REFERENCE: [[f64; 2]; 5] = [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ];
    let place = |x: f64| ((x - 56.0) * 0.85 + 56.0) * f64::from(size) / 112.0;
    REFERENCE.map(|[x, y]| [place(x), place(y)])
}

/// Draws `photo` through `transform` (photo pixels → crop pixels) into a crop of
/// `size` × `size` pixels. Bilinear; where the photo is shrunk, each crop pixel averages as
/// many samples as photo pixels fall on it. Black beyond the photo's edge.
pub fn warp(photo: &RgbImage, transform: &Similarity, size: u32) -> RgbImage {
    let back = transform.inverse();
    // Samples per side of a crop pixel; 1 when enlarging.
    let n = back.scale().ceil().clamp(1.0, 16.0) as u32;
    let offset = |i: u32| (f64::from(i) + 0.5) / f64::from(n) - 0.5;
    RgbImage::from_fn(size, size, |x, y| {
        let mut sum = [0.0; 3];
        for j in 0..n {
            for i in 0..n {
                let crop = [f64::from(x) + offset(i), f64::from(y) + offset(j)];
                add_bilinear(photo, back.apply(crop), &mut sum);
            }
        }
        Rgb(sum.map(|value| (value / f64::from(n * n)).round() as u8))
    })
}

fn add_bilinear(photo: &RgbImage, [x, y]: [f64; 2], sum: &mut [f64; 3]) {
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - top);
    let corners = [
        (0, 0, (1.0 - fx) * (1.0 - fy)),
        (1, 0, fx * (1.0 - fy)),
        (0, 1, (1.0 - fx) * fy),
        (1, 1, fx * fy),
    ];
    for (dx, dy, weight) in corners {
        let (x, y) = (left as i64 + dx, top as i64 + dy);
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { continue };
        if let Some(pixel) = photo.get_pixel_checked(x, y) {
            for (total, &value) in sum.iter_mut().zip(&pixel.0) {
                *total += weight * f64::from(value);
            }
        }
    }
}

fn mean(points: &[[f64; 2]]) -> [f64; 2] {
    let sum = points.iter().fold([0.0; 2], |sum, p| [sum[0] + p[0], sum[1] + p[1]]);
    sum.map(|total| total / points.len() as f64)
}

fn minus(p: [f64; 2], q: [f64; 2]) -> [f64; 2] {
    [p[0] - q[0], p[1] - q[1]]
}

/// Product of complex numbers.
fn times(p: [f64; 2], q: [f64; 2]) -> [f64; 2] {
    [p[0] * q[0] - p[1] * q[1], p[0] * q[1] + p[1] * q[0]]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn close(p: [f64; 2], q: [f64; 2], tolerance: f64) -> bool {
        (p[0] - q[0]).hypot(p[1] - q[1]) <= tolerance
    }

    // The seed is fixed: these cannot fail by chance.
    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: proptest::test_runner::RngSeed::Fixed(2),
            ..ProptestConfig::with_cases(200)
        })]

        #[test]
        fn recovers_a_known_transform(
            scale in 0.05..20.0f64, angle in -3.1..3.1f64,
            x in -900.0..900.0f64, y in -900.0..900.0f64
        ) {
            let truth = Similarity { a: [scale * angle.cos(), scale * angle.sin()], b: [x, y] };
            let from = reference_points(512);
            let found = Similarity::estimate(&from, &from.map(|p| truth.apply(p))).unwrap();
            for p in [[0.0, 0.0], [511.0, 3.0], [-40.0, 800.0]] {
                prop_assert!(close(found.apply(p), truth.apply(p), 1e-6));
                prop_assert!(close(found.inverse().apply(found.apply(p)), p, 1e-6));
            }
            prop_assert!((found.scale() - scale).abs() < 1e-9 * scale);
        }

        /// Least squares: no small change of the answer fits noisy points better.
        #[test]
        fn nothing_near_fits_better(noise in prop::array::uniform10(-30.0..30.0f64)) {
            let from = reference_points(112);
            let mut to = reference_points(512);
            for (point, n) in to.iter_mut().zip(noise.chunks(2)) {
                *point = [point[0] + n[0], point[1] + n[1]];
            }
            let error = |s: &Similarity| -> f64 {
                let miss = |(p, q): (&[f64; 2], &[f64; 2])| {
                    let [x, y] = minus(s.apply(*p), *q);
                    x * x + y * y
                };
                from.iter().zip(&to).map(miss).sum()
            };
            let best = Similarity::estimate(&from, &to).unwrap();
            for k in 0..4 {
                for step in [-1e-3, 1e-3] {
                    let mut other = best;
                    if k < 2 { other.a[k] += step } else { other.b[k - 2] += step }
                    prop_assert!(error(&other) >= error(&best));
                }
            }
        }
    }

    /// A side view can put the landmarks in mirrored order. The answer must keep the
    /// photo's handedness: three points turning left go on turning left.
    #[test]
    fn mirrored_landmarks_do_not_mirror_the_photo() {
        let to = reference_points(512);
        let from = to.map(|[x, y]| [512.0 - x, y]);
        let found = Similarity::estimate(&from, &to).unwrap();
        let [o, x, y] = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]].map(|p| found.apply(p));
        let (x, y) = (minus(x, o), minus(y, o));
        assert!(x[0] * y[1] - x[1] * y[0] > 0.0, "determinant must be positive");
    }

    #[test]
    fn degenerate_points_have_no_transform() {
        let to = reference_points(512);
        assert_eq!(Similarity::estimate(&[[3.0, 4.0]; 5], &to), None);
        assert_eq!(Similarity::estimate(&[[f64::NAN, 4.0]; 5], &to), None);
        assert_eq!(Similarity::estimate(&to[..2], &to), None);
        assert_eq!(Similarity::estimate(&[], &[]), None);
    }

    #[test]
    fn warp_puts_things_where_the_transform_says() {
        let mut photo = RgbImage::new(200, 150);
        for (x, y) in [(60, 40), (61, 40), (60, 41), (61, 41)] {
            photo.put_pixel(x, y, Rgb([255, 255, 255]));
        }
        // Quarter turn, twice as large.
        let transform = Similarity { a: [0.0, 2.0], b: [200.0, -60.0] };
        let crop = warp(&photo, &transform, 128);
        let [x, y] = transform.apply([60.5, 40.5]);
        assert_eq!(crop.get_pixel(x.round() as u32, y.round() as u32).0, [255; 3]);
        assert_eq!(crop.get_pixel(0, 0).0, [0; 3], "black beyond the edge");
        let bright: u32 = crop.pixels().map(|p| u32::from(p.0[0])).sum();
        let expected = 4 * 4 * 255;
        assert!(bright.abs_diff(expected) < expected / 50, "area grows fourfold: {bright}");
    }

    /// Shrinking a fine checkerboard gives grey, not a pattern.
    #[test]
    fn shrinking_averages() {
        let photo = RgbImage::from_fn(400, 400, |x, y| Rgb([255 * ((x + y) % 2) as u8; 3]));
        let crop = warp(&photo, &Similarity { a: [0.2, 0.0], b: [0.0, 0.0] }, 64);
        assert!(
            crop.enumerate_pixels()
                .all(|(x, y, p)| x == 0 || y == 0 || (110..=145).contains(&p.0[0]))
        );
    }
}
