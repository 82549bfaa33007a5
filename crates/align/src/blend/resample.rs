//! A crop's colours at places of the photo.

use faces::similarity::Similarity;
use image::RgbImage;

use super::Colour;

/// Samples per side of a photo pixel, at most; enough for faces of 4 pixels.
const MOST_SAMPLES: f64 = 128.0;

/// A crop laid over a photo.
pub(super) struct Painted<'a> {
    crop: &'a RgbImage,
    back: Similarity,
    /// Samples per side of a photo pixel.
    samples: u32,
}

impl<'a> Painted<'a> {
    pub(super) fn new(crop: &'a RgbImage, to_photo: &Similarity) -> Self {
        let back = to_photo.inverse();
        let samples = back.scale().ceil().clamp(1.0, MOST_SAMPLES) as u32;
        Painted { crop, back, samples }
    }

    /// The crop's colour at a pixel of the photo: where the crop is enlarged, by cubic
    /// convolution (Keys 1981, a = −1/2); where it is shrunk, the mean of as many bilinear
    /// samples as crop pixels fall on the photo's pixel. Beyond its edge the crop goes on as it
    /// ends.
    pub(super) fn at(&self, [x, y]: [f64; 2]) -> Colour {
        let n = self.samples;
        if n == 1 {
            return self.cubic(self.back.apply([x, y]));
        }
        let offset = |i: u32| (f64::from(i) + 0.5) / f64::from(n) - 0.5;
        let mut sum = [0.0; 4];
        for j in 0..n {
            for i in 0..n {
                let colour = self.linear(self.back.apply([x + offset(i), y + offset(j)]));
                sum = std::array::from_fn(|c| sum[c] + colour[c]);
            }
        }
        sum.map(|total| total / (n * n) as f32)
    }

    fn linear(&self, [x, y]: [f64; 2]) -> Colour {
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = ((x - left) as f32, (y - top) as f32);
        self.weighted(left, top, [1.0 - fx, fx], [1.0 - fy, fy])
    }

    fn cubic(&self, [x, y]: [f64; 2]) -> Colour {
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = ((x - left) as f32, (y - top) as f32);
        self.weighted(left - 1.0, top - 1.0, keys(fx), keys(fy))
    }

    /// The sum of N × N pixels from column `left`, row `top` on, weighted.
    fn weighted<const N: usize>(
        &self,
        left: f64,
        top: f64,
        columns: [f32; N],
        rows: [f32; N],
    ) -> Colour {
        let last = i64::from(self.crop.width()) - 1;
        let place =
            |start: f64, k: usize| (start as i64).saturating_add(k as i64).clamp(0, last) as usize;
        let pixels = self.crop.as_raw();
        let side = self.crop.width() as usize;
        let mut sum = [0.0; 4];
        for (j, row) in rows.into_iter().enumerate() {
            let line = place(top, j) * side;
            let mut across = [0.0; 4];
            for (i, column) in columns.into_iter().enumerate() {
                let at = 3 * (line + place(left, i));
                if let [red, green, blue] = pixels[at..at + 3] {
                    across[0] += column * f32::from(red);
                    across[1] += column * f32::from(green);
                    across[2] += column * f32::from(blue);
                }
            }
            sum = std::array::from_fn(|c| sum[c] + row * across[c]);
        }
        sum
    }
}

/// Weights of four neighbours for a place `t` of the way from the second to the third.
fn keys(t: f32) -> [f32; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [
        -0.5 * t3 + t2 - 0.5 * t,
        1.5 * t3 - 2.5 * t2 + 1.0,
        -1.5 * t3 + 2.0 * t2 + 0.5 * t,
        0.5 * t3 - 0.5 * t2,
    ]
}
