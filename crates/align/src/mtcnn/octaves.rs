//! A photo at its full, half, quarter … size, and square pieces of it at any size.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeError, ResizeOptions, Resizer};
use image::RgbImage;

use crate::Bounds;

/// What lies beyond the photo's edge: grey, zero for the networks.
pub(super) const BEYOND: u8 = 128;

/// A photo and its halves: a third more memory than the photo alone.
///
/// Whatever is taken out of it is averaged over a few pixels of the octave that fits, however
/// large it is in the photo.
pub(super) struct Octaves<'a> {
    photo: &'a RgbImage,
    halves: Vec<RgbImage>,
}

/// A square in the photo, seen as it is or in a mirror.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// Photo pixels, pixel edges at whole numbers.
    pub(super) centre: [f64; 2],
    /// Photo pixels.
    pub(super) side: f64,
    pub(super) mirrored: bool,
}

impl Frame {
    /// Where a point, in units of the side from the left upper corner, lies in the photo.
    ///
    /// The networks were taught landmarks as distances of pixel centres from a window's first
    /// pixel, so these are pixel centres at whole numbers.
    pub(super) fn to_photo(self, [u, v]: [f64; 2]) -> [f64; 2] {
        [self.centre[0] + (u - 0.5) * self.side, self.centre[1] + (v - 0.5) * self.side]
    }

    pub(super) fn bounds(&self) -> Bounds {
        let [[left, top], [right, bottom]] =
            [[0.0; 2], [1.0; 2]].map(|corner| self.to_photo(corner));
        Bounds { left, top, right, bottom }
    }
}

impl<'a> Octaves<'a> {
    /// # Errors
    /// When halving fails, for lack of memory.
    pub(super) fn new(photo: &'a RgbImage) -> Result<Octaves<'a>, ResizeError> {
        let mut halves: Vec<RgbImage> = Vec::new();
        loop {
            let last = halves.last().unwrap_or(photo);
            let (width, height) = (last.width() / 2, last.height() / 2);
            if width.min(height) < 24 {
                return Ok(Octaves { photo, halves });
            }
            let rows = [0.0, f64::from(last.height())];
            let half = resized(last, rows, [width, height], FilterType::Box)?;
            halves.push(half);
        }
    }

    pub(super) fn width(&self) -> u32 {
        self.photo.width()
    }

    pub(super) fn height(&self) -> u32 {
        self.photo.height()
    }

    /// The octave to look at for something whose pixels are `step` photo pixels wide, and how
    /// many of its pixels these are: 1 to 2 where there is such an octave.
    fn octave(&self, step: f64) -> &RgbImage {
        let k = (step.log2().floor().max(0.0) as usize).min(self.halves.len());
        if k == 0 { self.photo } else { &self.halves[k - 1] }
    }

    /// The rows `rows` (from, to; in units of the photo's height) in `size` = width, height
    /// pixels.
    ///
    /// # Errors
    /// For lack of memory.
    pub(super) fn rows(&self, rows: [f64; 2], size: [u32; 2]) -> Result<RgbImage, ResizeError> {
        let octave = self.octave(f64::from(self.width()) / f64::from(size[0]));
        let height = f64::from(octave.height());
        resized(octave, rows.map(|row| row * height), size, FilterType::Bilinear)
    }

    /// Writes the frame as `n` × `n` pixels of 3 bytes into `out`, row by row. Bilinear; where
    /// the photo is shrunk, each pixel averages what falls on it.
    pub(super) fn crop(&self, frame: &Frame, n: usize, out: &mut [u8]) {
        let octave = self.octave(frame.side / n as f64);
        let scale = [
            f64::from(octave.width()) / f64::from(self.width()),
            f64::from(octave.height()) / f64::from(self.height()),
        ];
        let corner = frame.to_photo([0.0, 0.0]);
        let step = frame.side / n as f64;
        // Samples per side of a pixel.
        let samples = if step * scale[0] <= 1.0 { 1 } else { 4 };
        // Octave pixels, centres at whole numbers, of each sample along one side.
        let along = |k: usize| -> Vec<f32> {
            let one = |i: usize| (i as f64 + 0.5) / samples as f64 * step;
            (0..n * samples).map(|i| ((corner[k] + one(i)) * scale[k] - 0.5) as f32).collect()
        };
        let (mut xs, ys) = (along(0), along(1));
        if frame.mirrored {
            xs.reverse();
        }
        let share = 1.0 / (samples * samples) as f32;
        for (k, pixel) in out.chunks_exact_mut(3).enumerate() {
            let (row, column) = (k / n * samples, k % n * samples);
            let mut sum = [0.0; 3];
            for &y in &ys[row..row + samples] {
                for &x in &xs[column..column + samples] {
                    add_bilinear(octave, [x, y], &mut sum);
                }
            }
            for (out, sum) in pixel.iter_mut().zip(sum) {
                *out = (sum * share + 0.5) as u8;
            }
        }
    }
}

fn add_bilinear(image: &RgbImage, [x, y]: [f32; 2], sum: &mut [f32; 3]) {
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - top);
    let (left, top) = (left as i32, top as i32);
    let (width, height) = (image.width() as i32, image.height() as i32);
    let bytes = image.as_raw();
    for (dy, wy) in [(0, 1.0 - fy), (1, fy)] {
        for (dx, wx) in [(0, 1.0 - fx), (1, fx)] {
            let (x, y, weight) = (left + dx, top + dy, wx * wy);
            let pixel = if x >= 0 && y >= 0 && x < width && y < height {
                let at = (y as usize * width as usize + x as usize) * 3;
                [bytes[at], bytes[at + 1], bytes[at + 2]]
            } else {
                [BEYOND; 3]
            };
            for (sum, value) in sum.iter_mut().zip(pixel) {
                *sum += weight * f32::from(value);
            }
        }
    }
}

/// The rows from, to of `image`, averaged into `size` = width, height pixels.
fn resized(
    image: &RgbImage,
    rows: [f64; 2],
    size: [u32; 2],
    filter: FilterType,
) -> Result<RgbImage, ResizeError> {
    let (width, height) = image.dimensions();
    let source = ImageRef::new(width, height, image.as_raw(), PixelType::U8x3);
    // The view is exactly the image's bytes.
    let source = source.map_err(|_| ResizeError::PixelTypesAreDifferent)?;
    let mut out = Image::new(size[0], size[1], PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).crop(
        0.0,
        rows[0],
        f64::from(width),
        rows[1] - rows[0],
    );
    Resizer::new().resize(&source, &mut out, &options)?;
    Ok(RgbImage::from_raw(size[0], size[1], out.into_vec()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use image::Rgb;

    fn mean(pixels: &[u8]) -> f64 {
        pixels.iter().map(|&x| f64::from(x)).sum::<f64>() / pixels.len() as f64
    }

    /// Left black, right white, upper half red channel off: seen the same at any size.
    #[test]
    fn a_crop_shows_its_square_at_any_size() {
        for scale in [1, 3, 20] {
            let photo = RgbImage::from_fn(60 * scale, 40 * scale, |x, y| {
                let v = if x < 30 * scale { 0 } else { 240 };
                Rgb([if y < 20 * scale { 0 } else { v }, v, v])
            });
            let octaves = Octaves::new(&photo).unwrap();
            let side = f64::from(20 * scale);
            let centre = [f64::from(30 * scale), f64::from(20 * scale)];
            for mirrored in [false, true] {
                let mut out = vec![0; 24 * 24 * 3];
                octaves.crop(&Frame { centre, side, mirrored }, 24, &mut out);
                let at = |x: usize, y: usize| [0, 1, 2].map(|c| out[(y * 24 + x) * 3 + c]);
                let (dark, light) = if mirrored { (20, 3) } else { (3, 20) };
                assert_eq!(at(dark, 3), [0; 3]);
                assert_eq!(at(light, 3), [0, 240, 240]);
                assert_eq!(at(light, 20), [240; 3]);
                assert!((mean(&out) - 100.0).abs() < 3.0, "{}", mean(&out));
            }
        }
    }

    #[test]
    fn beyond_the_edge_is_grey() {
        let photo = RgbImage::new(50, 50);
        let octaves = Octaves::new(&photo).unwrap();
        let mut out = vec![0; 12 * 12 * 3];
        let frame = Frame { centre: [0.0, 25.0], side: 24.0, mirrored: false };
        octaves.crop(&frame, 12, &mut out);
        assert_eq!((out[0], out[11 * 3]), (BEYOND, 0));
    }

    #[test]
    fn rows_are_those_asked_for() {
        let photo = RgbImage::from_fn(300, 200, |_, y| Rgb([y as u8; 3]));
        let octaves = Octaves::new(&photo).unwrap();
        let rows = octaves.rows([0.5, 0.75], [60, 10]).unwrap();
        for (_, y, pixel) in rows.enumerate_pixels() {
            let expected = 100.0 + 5.0 * f64::from(y) + 2.0;
            assert!((f64::from(pixel.0[0]) - expected).abs() <= 1.5, "{y} {pixel:?}");
        }
    }
}
