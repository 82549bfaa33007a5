//! Blur, mosaic and their like over a face: baselines that need no model.
//!
//! Plain blur, mosaic and solid colour are what people use; the first two promise nothing, and
//! recognisers read through them. `dp-pix` and `dp-blur` come with a proof: see [`dp`].

mod blur;
mod cells;
pub mod dp;
mod laplace;

use image::{Rgb, RgbImage, imageops};
use rand::Rng;

use crate::blend::Mask;
use faces::similarity::Similarity;

use dp::Private;

/// What to do with a face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Obscure {
    /// Gaussian blur of standard deviation `sigma`, in pixels.
    Blur {
        /// Above 0.
        sigma: f32,
    },
    /// Squares of one colour each, the mean of what they cover.
    Mosaic {
        /// Side of a square in pixels.
        cell: u32,
    },
    /// One colour.
    Solid {
        /// Red, green, blue.
        colour: [u8; 3],
    },
    /// A mosaic of noisy means.
    DpPix(Private),
    /// [`Obscure::DpPix`], then a blur that smooths the squares and the noise away.
    DpBlur {
        /// Squares and noise.
        private: Private,
        /// Standard deviation of the blur in pixels, above 0.
        sigma: f32,
    },
}

/// A rectangle of a photo in pixels. It may reach beyond the photo's edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// First column.
    pub left: i64,
    /// First row.
    pub top: i64,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// Why nothing was obscured.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A parameter is out of its range.
    #[error("{key} = {value}: must be {expected}")]
    Parameter {
        /// The parameter.
        key: &'static str,
        /// Its value.
        value: String,
        /// The values allowed.
        expected: &'static str,
    },
    /// The area and the photo share no pixel.
    #[error(
        "the area of {} × {} pixels at ({}, {}) covers nothing of the photo of {width} × {height} \
         pixels: check the face's position", area.width, area.height, area.left, area.top
    )]
    Area {
        /// The area.
        area: Area,
        /// The photo's width.
        width: u32,
        /// The photo's height.
        height: u32,
    },
}

impl Area {
    /// The box around `mask`, for a crop of `size` pixels that `to_photo` puts into the photo:
    /// what blending would change, and the corners.
    pub fn around(mask: &Mask, to_photo: &Similarity, size: u32) -> Area {
        let [left, top, right, bottom] = mask.bounds(to_photo, size);
        // Conversions saturate; nothing of a photo is so far away.
        let length = |from: f64, to: f64| (to.ceil() - from.floor() + 1.0) as u32;
        Area {
            left: left.floor() as i64,
            top: top.floor() as i64,
            width: length(left, right),
            height: length(top, bottom),
        }
    }

    /// Left, top, width and height of what the photo has of it.
    fn within(&self, photo: &RgbImage) -> Result<(u32, u32, u32, u32), Error> {
        let clip = |start: i64, length: u32, limit: u32| {
            let end = start.saturating_add(i64::from(length)).clamp(0, i64::from(limit));
            let start = start.clamp(0, i64::from(limit));
            (start as u32, (end - start) as u32)
        };
        let (left, width) = clip(self.left, self.width, photo.width());
        let (top, height) = clip(self.top, self.height, photo.height());
        if width == 0 || height == 0 {
            let (width, height) = photo.dimensions();
            return Err(Error::Area { area: *self, width, height });
        }
        Ok((left, top, width, height))
    }
}

impl Obscure {
    /// The name by which commands and reports call it.
    pub fn name(&self) -> &'static str {
        match self {
            Obscure::Blur { .. } => "blur",
            Obscure::Mosaic { .. } => "mosaic",
            Obscure::Solid { .. } => "solid",
            Obscure::DpPix(_) => "dp-pix",
            Obscure::DpBlur { .. } => "dp-blur",
        }
    }

    /// Whether it draws random numbers, and is worth as much as these are secret.
    pub fn is_random(&self) -> bool {
        matches!(self, Obscure::DpPix(_) | Obscure::DpBlur { .. })
    }

    /// What everything that reports its use must say of its protection, in one sentence.
    pub fn claim(&self) -> String {
        match self {
            Obscure::Blur { .. } | Obscure::Mosaic { .. } => {
                "no guarantee: recognisers trained on such images read through them".into()
            }
            Obscure::Solid { .. } => "nothing of the area's pixels is left".into(),
            Obscure::DpPix(private) | Obscure::DpBlur { private, .. } => private.claim(),
        }
    }

    /// Obscures `area` of `photo`; all other pixels stay as they are.
    ///
    /// `rng` is drawn from by the `dp-` variants alone. Their guarantee needs a generator that
    /// nobody can predict (the operating system's); a seeded one makes tests repeatable and
    /// protects nothing.
    ///
    /// # Errors
    /// [`Error`]; `photo` is then as it was.
    pub fn apply(&self, photo: &mut RgbImage, area: Area, rng: &mut dyn Rng) -> Result<(), Error> {
        self.check()?;
        let (left, top, width, height) = area.within(photo)?;
        let mut face = imageops::crop_imm(photo, left, top, width, height).to_image();
        match *self {
            Obscure::Blur { sigma } => blur::blur(&mut face, sigma),
            Obscure::Mosaic { cell } => cells::mosaic(&mut face, cell),
            Obscure::Solid { colour } => face.pixels_mut().for_each(|p| *p = Rgb(colour)),
            Obscure::DpPix(private) => private.apply(&mut face, rng),
            Obscure::DpBlur { private, sigma } => {
                private.apply(&mut face, rng);
                blur::blur(&mut face, sigma);
            }
        }
        imageops::replace(photo, &face, i64::from(left), i64::from(top));
        Ok(())
    }

    /// Whether its parameters are in their ranges.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub fn check(&self) -> Result<(), Error> {
        let sigma = |sigma: f32| {
            let value = sigma.to_string();
            let wrong = Error::Parameter { key: "sigma", value, expected: "a number above 0" };
            if sigma.is_finite() && sigma > 0.0 { Ok(()) } else { Err(wrong) }
        };
        match self {
            Obscure::Blur { sigma: value } => sigma(*value),
            Obscure::Mosaic { cell } => cells::check(*cell),
            Obscure::Solid { .. } => Ok(()),
            Obscure::DpPix(private) => private.check(),
            Obscure::DpBlur { private, sigma: value } => sigma(*value).and(private.check()),
        }
    }
}

#[cfg(test)]
mod tests;
