use encoder::ModelConfig;
use tch::{Tensor, nn};

use crate::Error;
use crate::layers::{BatchNorm, Geometry, HALVE, LeakyRelu, Mode, SAME, conv, double, enlarging};

/// A transposed convolution, its norm, and the activation after it.
#[derive(Debug)]
struct Up {
    deconv: nn::ConvTranspose2D,
    bn: BatchNorm,
}

/// U-Net decoder `decoder`: perceptual features → attribute maps, and λ → λ
/// maps through the same way down (method.md §6).
#[derive(Debug)]
pub struct Decoder {
    conv_0: nn::Conv2D,
    conv_1: nn::Conv2D,
    conv_2: nn::Conv2D,
    conv_3: nn::Conv2D,
    conv_4: nn::Conv2D,
    conv_5: nn::Conv2D,
    conv_6: nn::Conv2D,
    conv_7: (nn::Conv2D, BatchNorm),
    ups: Vec<Up>,
    leaky: LeakyRelu,
}

impl Decoder {
    /// Builds the modules under `p`.
    pub fn new(p: &nn::Path, config: &ModelConfig) -> Self {
        // Features come in at the encoder's widths, maps have the decoder's own.
        let (f, w) = (|published| config.width(published), |p| config.painting_width(p));
        let up = |k: usize, c_in: i64, c_out| {
            let p = p / format!("deconv{k}");
            // But for the coarsest, two maps together.
            let c_in = if k == 1 { w(c_in) } else { 2 * w(c_in / 2) };
            Up {
                deconv: enlarging(&p / "deconv", c_in, w(c_out)),
                bn: BatchNorm::new(&p / "bn", w(c_out)),
            }
        };
        let mut widths =
            vec![(1024, 1024), (2048, 512), (1024, 256), (512, 128), (256, 64), (128, 32)];
        if config.image_size == 1024 {
            widths.push((64, 32));
        }
        Decoder {
            conv_0: conv(p / "conv_0", 3, w(32), HALVE),
            conv_1: conv(p / "conv_1" / 1, f(64) / 4, w(32), SAME),
            conv_2: conv(p / "conv_2", f(64), w(64), SAME),
            conv_3: conv(p / "conv_3", f(128), w(128), SAME),
            conv_4: conv(p / "conv_4", f(256), w(256), SAME),
            conv_5: conv(p / "conv_5", f(256), w(512), HALVE),
            conv_6: conv(p / "conv_6", f(512), w(1024), HALVE),
            conv_7: (
                conv(p / "conv7" / 0, w(1024), w(1024), Geometry { ..HALVE }),
                BatchNorm::new(p / "conv7" / 1, w(1024)),
            ),
            ups: widths.iter().enumerate().map(|(k, &(i, o))| up(k + 1, i, o)).collect(),
            leaky: LeakyRelu::new(0.1, p.device()),
        }
    }

    /// The way down from parts 1…9: maps from the coarsest (conv7) to conv_2.
    fn down(&self, parts: &[Tensor], mode: &Mode) -> Result<Vec<Tensor>, Error> {
        let pair = |a: usize| Tensor::cat(&[&parts[a], &parts[a + 1]], 1);
        let mut maps = vec![
            double(&parts[1]).apply(&self.conv_2),
            pair(2).apply(&self.conv_3),
            pair(4).apply(&self.conv_4),
            pair(6).apply(&self.conv_5),
            pair(8).apply(&self.conv_6),
        ];
        let (conv, bn) = &self.conv_7;
        let bottom = self.leaky.forward(&bn.forward(&maps[4].apply(conv), mode)?);
        maps.push(bottom);
        maps.reverse();
        Ok(maps)
    }

    /// Attribute maps of the image, coarse to fine: one for each block of the
    /// generator but the last, which enlarges the finest.
    ///
    /// # Shapes
    /// `image` [B, 3, S, S], `parts` P_0…P_9 as the features (P_0 of feature 0
    /// enters at 1024 pixels only) → 1024@4, 2048@8, 1024@16, … 64@S/2.
    ///
    /// # Errors
    /// When another rank fails while statistics are synchronised.
    pub fn attributes(
        &self,
        image: &Tensor,
        parts: &[Tensor],
        mode: &Mode,
    ) -> Result<Vec<Tensor>, Error> {
        let mut skips = self.down(parts, mode)?;
        if self.ups.len() == 7 {
            skips.push(self.finest(&parts[0]));
        }
        skips.push(image.apply(&self.conv_0));
        let mut skips = skips.into_iter();
        let mut attributes: Vec<Tensor> = skips.next().into_iter().collect();
        for (up, skip) in self.ups.iter().zip(skips) {
            let below = &attributes[attributes.len() - 1];
            let x = self.leaky.forward(&up.bn.forward(&below.apply(&up.deconv), mode)?);
            attributes.push(Tensor::cat(&[x, skip], 1));
        }
        Ok(attributes)
    }

    /// λ maps, coarse to fine, as many as attribute maps.
    ///
    /// # Shapes
    /// `lambdas` λ_0…λ_9 as the features → 1024@4, 1024@8, 512@16, … 32@S/2.
    ///
    /// # Errors
    /// When another rank fails while statistics are synchronised.
    pub fn lambda_maps(&self, lambdas: &[Tensor], mode: &Mode) -> Result<Vec<Tensor>, Error> {
        let mut maps = self.down(lambdas, mode)?;
        maps.push(self.finest(&lambdas[0]));
        while maps.len() < self.ups.len() + 1 {
            maps.push(double(&maps[maps.len() - 1]));
        }
        Ok(maps)
    }

    fn finest(&self, part: &Tensor) -> Tensor {
        part.pixel_shuffle(2).apply(&self.conv_1)
    }
}
