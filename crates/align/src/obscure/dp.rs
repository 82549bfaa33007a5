//! Mosaics with differential privacy.
//!
//! **Guarantee.** Let two photos differ in at most `m` pixels of the area, in any way, and not
//! outside it: the probability of every result changes by a factor of at most e^ε, exactly, on
//! a computer as on paper, given uniform random bits (pure ε-differential privacy).
//!
//! Mechanism: in each square and channel, the *sum* of the bytes plus discrete Laplace noise of
//! scale Δ/ε; then division by the number of pixels, rounding and cutting to 0…255. A pixel
//! changes three sums by 255 at most, so m pixels change all sums together by Δ = 3 · 255 · m.
//! What follows the noise (a blur, too) sees nothing else of the pixels and cannot weaken it.
//!
//! Sources: Fan 2018, "Image pixelization with differential privacy" (`dp-pix`: noise of scale
//! 255·m/(b²ε) on each mean of a grey image); Fan 2019, "Differential privacy for image
//! publication" (`dp-blur`: the same, then a Gaussian blur). Different here: colour images count
//! three times; noise is on sums and whole, not on means and continuous; squares cut by the
//! area's edge need no case of their own.
//!
//! Not covered: which area was chosen, what lies outside it, metadata. Several areas without
//! common pixels keep the ε if the m pixels are counted over all of them and none has fewer than
//! m; m pixels in each, the same pixels again, or several photos of a person, add up. And `m`
//! decides everything: with m below the face's number of pixels, the guarantee is about details
//! of a face, not about whose face it is.

use image::RgbImage;
use rand::Rng;

use super::laplace::discrete_laplace;
use super::{Error, cells};

/// ε is a multiple of this: rounding it down strengthens the guarantee.
const STEP: f64 = 1.0 / (1 << 20) as f64;
/// Largest ε, at which there is no noise to speak of.
const LARGEST: f64 = 1e6;

/// Squares with private means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Private {
    /// Side of a square in pixels.
    pub cell: u32,
    /// Number of pixels that two photos may differ in and yet look alike.
    pub m: u32,
    /// Privacy budget ε, from 2⁻²⁰ to 10⁶.
    pub epsilon: f64,
}

impl Private {
    pub(super) fn claim(&self) -> String {
        format!(
            "pure ε-differential privacy of the area's pixels at ε = {}, for changes of at most \
             m = {} pixels; it does not bound re-identification from the rest of the image",
            self.epsilon, self.m
        )
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        cells::check(self.cell)?;
        if self.m == 0 {
            let (value, expected) = ("0".into(), "1 pixel or more");
            return Err(Error::Parameter { key: "m", value, expected });
        }
        if !(STEP..=LARGEST).contains(&self.epsilon) {
            let (value, expected) = (self.epsilon.to_string(), "a number from 2⁻²⁰ to 10⁶");
            return Err(Error::Parameter { key: "epsilon", value, expected });
        }
        Ok(())
    }

    /// Obscures all of `area`. Parameters are [checked](Private::check).
    pub(super) fn apply(&self, area: &mut RgbImage, rng: &mut dyn Rng) {
        let pixels = u64::from(area.width()) * u64::from(area.height());
        // More pixels than there are cannot differ.
        let sensitivity = 3 * 255 * u64::from(self.m).min(pixels);
        // Scale sensitivity/ε = num/den; at most 2⁶² as an image has less than 2³² pixels.
        let num = sensitivity << 20;
        let den = (self.epsilon / STEP).floor() as u64;
        cells::recolour(area, self.cell, |sum, pixels| {
            cells::mean(i128::from(sum) + discrete_laplace(num, den, rng), pixels)
        });
    }
}
