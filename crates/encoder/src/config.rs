use serde::{Deserialize, Serialize};

use crate::Error;

/// Which formulas a run follows where the published code errs.
///
/// A checkpoint records the one it was trained with; weights trained under one
/// are not interchangeable with the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fidelity {
    /// The mathematics as intended: the default.
    #[default]
    Corrected,
    /// What the authors' code computes, number for number.
    Published,
}

impl std::fmt::Display for Fidelity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Fidelity::Corrected => "corrected",
            Fidelity::Published => "published",
        })
    }
}

/// The sizes every module of the model derives from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelConfig {
    /// Side of the face crops in pixels: 128, 256, 512 or 1024.
    pub image_size: i64,
    /// Every width of the published model is divided by this: 1, 2, 4, 8 or 16.
    pub width_divisor: i64,
    /// The least width of what paints, decoder and generator: divided like the others, its finest
    /// maps would be too narrow to carry a picture. 0: none.
    pub least_painting_width: i64,
    /// Whether the generator's last block paints four pixels at each place of half the size
    /// (sub-pixel convolution, [Shi et al. 2016](https://arxiv.org/abs/1609.05158)) instead of
    /// another block painting at full size from enlarged maps: half the work, and no blur.
    pub subpixel: bool,
    /// Published or corrected formulas.
    pub fidelity: Fidelity,
}

impl Default for ModelConfig {
    fn default() -> Self {
        ModelConfig {
            image_size: 512,
            width_divisor: 1,
            least_painting_width: 0,
            subpixel: false,
            fidelity: Fidelity::Corrected,
        }
    }
}

/// Units per group of the body and the published width of each group.
pub(crate) const GROUPS: [(usize, i64); 4] = [(3, 64), (4, 128), (14, 256), (3, 512)];

/// Separation layers sit on the features 0…9.
pub const SEPARATION_LAYERS: usize = 10;

/// Readout features are 0…10: one more than is separated.
pub const READOUT_LAYERS: usize = 11;

impl ModelConfig {
    /// # Errors
    /// When a size is not one of those the model exists for.
    pub fn validate(&self) -> Result<(), Error> {
        if ![128, 256, 512, 1024].contains(&self.image_size) {
            return Err(Error::Config(format!(
                "image_size = {}: the model exists for 128, 256, 512 and 1024 pixels",
                self.image_size
            )));
        }
        if ![1, 2, 4, 8, 16].contains(&self.width_divisor) {
            return Err(Error::Config(format!(
                "width_divisor = {}: use 1, 2, 4, 8 or 16",
                self.width_divisor
            )));
        }
        if !(0..=1024).contains(&self.least_painting_width) {
            return Err(Error::Config(format!(
                "least_painting_width = {}: 0, or a number of channels up to 1024",
                self.least_painting_width
            )));
        }
        Ok(())
    }

    /// A width of the published decoder or generator in this one.
    pub fn painting_width(&self, published: i64) -> i64 {
        self.width(published).max(self.least_painting_width)
    }

    /// A width of the published model in this one.
    pub fn width(&self, published: i64) -> i64 {
        published / self.width_divisor
    }

    /// Side of the encoder's input: a quarter of the image's, 128 at most.
    pub fn encoder_input(&self) -> i64 {
        self.image_size.min(512) / 4
    }

    /// Side of the coarsest map between decoder and generator: 4 at 512 pixels and above.
    pub fn coarsest(&self) -> i64 {
        self.encoder_input() / 32
    }

    /// Length of the identity embedding: 512 at full width.
    pub fn embedding(&self) -> i64 {
        self.width(512)
    }

    /// Shape (channels, side) of the features `f_0 … f_24`.
    pub fn feature_shapes(&self) -> Vec<(i64, i64)> {
        let mut side = self.encoder_input();
        let mut shapes = vec![(self.width(64), side)];
        for (units, width) in GROUPS {
            side /= 2;
            shapes.extend(std::iter::repeat_n((self.width(width), side), units));
        }
        shapes
    }

    /// First and one-past-last row (and column) of the crop that the encoder
    /// sees: 37 and 475 of 512, in proportion at other sizes.
    pub fn crop(&self) -> (i64, i64) {
        let scale = |x: i64| (x * self.image_size + 256) / 512;
        (scale(37), scale(475))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_those_of_the_published_table() {
        let shapes = ModelConfig::default().feature_shapes();
        assert_eq!(shapes.len(), 25);
        assert_eq!(shapes[0], (64, 128));
        assert_eq!((shapes[1], shapes[3]), ((64, 64), (64, 64)));
        assert_eq!((shapes[4], shapes[7]), ((128, 32), (128, 32)));
        assert_eq!((shapes[8], shapes[21]), ((256, 16), (256, 16)));
        assert_eq!((shapes[22], shapes[24]), ((512, 8), (512, 8)));
        let readout: i64 = shapes[..READOUT_LAYERS].iter().map(|s| s.0).sum();
        assert_eq!(readout, 1536);
        assert_eq!(ModelConfig::default().crop(), (37, 475));
    }

    #[test]
    fn sizes_without_a_model_are_refused() {
        assert!(ModelConfig { image_size: 300, ..Default::default() }.validate().is_err());
        assert!(ModelConfig { width_divisor: 3, ..Default::default() }.validate().is_err());
    }
}
