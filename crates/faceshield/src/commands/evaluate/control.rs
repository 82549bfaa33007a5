//! Who knows people without looking at their faces: colours alone. Where these succeed, so can a
//! recogniser for the wrong reason.

use faces::RgbImage;

use super::attacker::Attacker;

/// Colours of a part of the picture.
pub(super) struct Colours {
    name: &'static str,
    /// Of a place as shares of the picture's sides, whether it counts.
    counts: fn(f32, f32) -> bool,
}

/// The mean of all, and what lies beside the head.
pub(super) const CONTROLS: [Colours; 2] = [
    Colours { name: "mean colour", counts: |_, _| true },
    Colours { name: "background", counts: |x, y| y < 0.6 && !(0.05..0.95).contains(&x) },
];

impl Attacker for Colours {
    fn name(&self) -> &str {
        self.name
    }

    /// The mean of each channel as a direction, so that cosines fall as colours part:
    /// cos ∠((sx, 1), (sy, 1)) ≈ 1 − s²|x − y|²/2 for a small s.
    fn embed(&self, pictures: &[&RgbImage]) -> anyhow::Result<Vec<Vec<f32>>> {
        const SCALE: f64 = 0.1;
        let one = |picture: &&RgbImage| {
            let (width, height) = (picture.width() as f32, picture.height() as f32);
            let (mut count, mut sums) = (0.0, [0.0; 3]);
            for (x, y, pixel) in picture.enumerate_pixels() {
                if (self.counts)((x as f32 + 0.5) / width, (y as f32 + 0.5) / height) {
                    count += 1.0;
                    sums.iter_mut().zip(pixel.0).for_each(|(sum, c)| *sum += f64::from(c) / 255.0);
                }
            }
            let centred = sums.map(|sum| (SCALE * (sum / f64::max(count, 1.0) - 0.5)) as f32);
            centred.into_iter().chain([1.0]).collect()
        };
        Ok(pictures.iter().map(one).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::commands::protect::model::cosine;
    use image::Rgb;

    #[test]
    fn the_closer_the_colours_the_larger_the_cosine() {
        let grey = |value: u8| RgbImage::from_pixel(40, 40, Rgb([value; 3]));
        let mut framed = grey(200);
        framed.enumerate_pixels_mut().for_each(|(x, _, p)| {
            if (2..38).contains(&x) {
                *p = Rgb([0; 3]);
            }
        });
        let pictures = [grey(200), grey(190), grey(100), framed];
        let pictures: Vec<&RgbImage> = pictures.iter().collect();
        let [mean, background] = CONTROLS.map(|control| control.embed(&pictures).unwrap());
        assert!(cosine(&mean[0], &mean[1]) > cosine(&mean[0], &mean[2]));
        assert!(cosine(&mean[0], &mean[1]) > cosine(&mean[0], &mean[3]));
        assert!(cosine(&background[0], &background[3]) > cosine(&background[0], &background[1]));
    }
}
