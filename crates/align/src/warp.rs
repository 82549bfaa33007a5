//! From the photo to an upright crop, and back.

use faces::similarity::{Similarity, warp};
use image::{GrayImage, Luma, Rgb, RgbImage};

use crate::{Error, Face};

/// A face cut out of a photo.
#[derive(Clone, Debug)]
pub struct Cut {
    /// The face, upright; black beyond the photo's edge.
    pub crop: RgbImage,
    /// From the photo's pixels to the crop's, pixel centres at whole numbers.
    pub transform: Similarity,
}

/// Cuts `face` out of `photo` as `size` × `size` pixels.
///
/// # Errors
/// [`Error::Landmarks`] when they determine no transform; [`Error::Option`] for size 0.
pub fn cut(photo: &RgbImage, face: &Face, size: u32) -> Result<Cut, Error> {
    if size == 0 {
        return Err(Error::Option { key: "size", value: 0.0, expected: "at least 1 pixel" });
    }
    let transform = face.transform(size).ok_or(Error::Landmarks)?;
    Ok(Cut { crop: warp(photo, &transform, size), transform })
}

/// The part of a photo that a crop covers.
#[derive(Clone, Debug)]
pub struct Patch {
    /// First column in the photo.
    pub left: u32,
    /// First row in the photo.
    pub top: u32,
    /// The crop, drawn as it lies in the photo.
    pub pixels: RgbImage,
    /// How much of each pixel the crop covers: 255 all of it, 0 nothing. Of the size of
    /// `pixels`, whose colours mean nothing where this is 0.
    pub covered: GrayImage,
}

/// Draws a square `crop`, made by `transform` (photo pixels → crop pixels), where it lies in
/// a photo of `size` = (width, height) pixels. Bilinear; where the crop is shrunk, each pixel
/// averages as many samples as crop pixels fall on it. `None` when the crop lies beyond the
/// photo altogether. Takes memory for the patch alone, not for the photo.
pub fn put_back(crop: &RgbImage, transform: &Similarity, size: (u32, u32)) -> Option<Patch> {
    let side = [f64::from(crop.width()), f64::from(crop.height())];
    let back = transform.inverse();
    let corners = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
        .map(|[u, v]| back.apply([u * side[0] - 0.5, v * side[1] - 0.5]));
    // First pixel and the one after the last, whose centres are within reach of the crop.
    let range = |k: usize, end: u32| {
        let at = corners.map(|corner| corner[k]);
        let first = at.iter().copied().fold(f64::INFINITY, f64::min).floor().max(0.0);
        let last = at.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil() + 1.0;
        (first as u32, last.clamp(0.0, f64::from(end)) as u32)
    };
    let ((left, right), (top, bottom)) = (range(0, size.0), range(1, size.1));
    if left >= right || top >= bottom {
        return None;
    }
    // Samples per side of a photo's pixel; 2 for smooth edges when enlarging.
    let n = transform.scale().ceil().clamp(2.0, 16.0) as u32;
    let offset = |i: u32| (f64::from(i) + 0.5) / f64::from(n) - 0.5;
    let mut pixels = RgbImage::new(right - left, bottom - top);
    let mut covered = GrayImage::new(right - left, bottom - top);
    for (x, y, pixel) in pixels.enumerate_pixels_mut() {
        let (mut sum, mut inside) = ([0.0; 3], 0u32);
        for k in 0..n * n {
            let (dx, dy) = (offset(k % n), offset(k / n));
            let point = transform.apply([f64::from(left + x) + dx, f64::from(top + y) + dy]);
            if (0..2).all(|k| point[k] >= -0.5 && point[k] <= side[k] - 0.5) {
                add_bilinear(crop, point, &mut sum);
                inside += 1;
            }
        }
        if inside > 0 {
            *pixel = Rgb(sum.map(|total: f64| (total / f64::from(inside)).round() as u8));
            covered.put_pixel(x, y, Luma([(inside * 255 / (n * n)) as u8]));
        }
    }
    Some(Patch { left, top, pixels, covered })
}

/// The crop's colour at `point`, which lies on it; its edge pixels reach half a pixel further.
fn add_bilinear(crop: &RgbImage, [x, y]: [f64; 2], sum: &mut [f64; 3]) {
    let split = |t: f64, side: u32| {
        let t = t.clamp(0.0, f64::from(side - 1));
        (t as u32, (t as u32 + 1).min(side - 1), t.fract())
    };
    let ((x0, x1, fx), (y0, y1, fy)) = (split(x, crop.width()), split(y, crop.height()));
    for (y, wy) in [(y0, 1.0 - fy), (y1, fy)] {
        for (x, wx) in [(x0, 1.0 - fx), (x1, fx)] {
            for (total, &value) in sum.iter_mut().zip(&crop.get_pixel(x, y).0) {
                *total += wx * wy * f64::from(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A smooth photo and a face in it, turned by 20° and of `scale` times the crop's size.
    fn scene(scale: f64) -> (RgbImage, Face) {
        let photo = RgbImage::from_fn(400, 300, |x, y| {
            let wave = |t: f64| (120.0 + 100.0 * (t / 25.0).sin()) as u8;
            Rgb([wave(f64::from(x)), wave(f64::from(y)), wave(f64::from(x + y))])
        });
        let turn = 20f64.to_radians();
        let landmarks = faces::similarity::reference_points(64).map(|[x, y]| {
            let (x, y) = ((x - 32.0) * scale, (y - 32.0) * scale);
            [200.0 + x * turn.cos() - y * turn.sin(), 150.0 + x * turn.sin() + y * turn.cos()]
        });
        (photo, Face { bounds: [0.0; 4].into(), landmarks, score: 1.0 })
    }

    #[test]
    fn what_was_cut_out_goes_back_where_it_was() {
        for scale in [0.4, 1.0, 2.5] {
            let (photo, face) = scene(scale);
            let Cut { crop, transform } = cut(&photo, &face, 64).unwrap();
            let patch = put_back(&crop, &transform, photo.dimensions()).unwrap();
            assert_eq!(patch.pixels.dimensions(), patch.covered.dimensions());
            let mut area = 0.0;
            for (x, y, &Luma([covered])) in patch.covered.enumerate_pixels() {
                area += f64::from(covered) / 255.0;
                if covered == 255 {
                    let (a, b) = (patch.pixels.get_pixel(x, y), {
                        photo.get_pixel(patch.left + x, patch.top + y)
                    });
                    for (a, b) in a.0.iter().zip(b.0) {
                        assert!(a.abs_diff(b) <= 12, "{scale}: {x},{y}: {a} {b}");
                    }
                }
            }
            let expected = (64.0 * scale).powi(2);
            assert!((area / expected - 1.0).abs() < 0.02, "{scale}: {area} {expected}");
        }
    }

    #[test]
    fn a_crop_at_the_edge_is_cut_and_one_beyond_it_is_none() {
        let (photo, face) = scene(1.0);
        let Cut { crop, transform } = cut(&photo, &face, 64).unwrap();
        let patch = put_back(&crop, &transform, (200, 150)).unwrap();
        assert_eq!(patch.left + patch.pixels.width(), 200);
        assert_eq!(patch.top + patch.pixels.height(), 150);
        assert!(put_back(&crop, &transform, (100, 80)).is_none());
        assert!(matches!(cut(&photo, &face, 0), Err(Error::Option { .. })));
        let point = Face { landmarks: [[5.0, 5.0]; 5], ..face };
        assert!(matches!(cut(&photo, &point, 64), Err(Error::Landmarks)));
    }
}
