//! What is changed about an image before the recogniser sees it: light, colour and sharpness,
//! which tell nothing of who somebody is. (Mirroring is the loader's.)

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::draws::{Use, around, column, unit};

/// Sizes of the changes; all 0: none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Augmentation {
    /// Each colour channel is multiplied by up to 1 ± this.
    pub gain: f64,
    /// All channels are brightened or darkened by up to this; white is 1, black is −1.
    pub offset: f64,
    /// Distances to the image's mean are multiplied by up to 1 ± this.
    pub contrast: f64,
    /// Share of the images that are made coarse: scaled down and up again.
    pub low_resolution: f64,
    /// The smallest side they are scaled down to, as a share of the encoder's input.
    pub smallest: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Augmentation {
            gain: 0.15,
            offset: 0.08,
            contrast: 0.1,
            low_resolution: 0.2,
            smallest: 0.25,
        }
    }
}

impl Augmentation {
    /// # Errors
    /// Names the key that is out of range.
    pub(super) fn check(&self) -> Result<(), String> {
        let shares = [
            ("gain", self.gain),
            ("offset", self.offset),
            ("contrast", self.contrast),
            ("low_resolution", self.low_resolution),
        ];
        for (key, value) in shares {
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("augment.{key} = {value}: it lies between 0 and 1"));
            }
        }
        match self.smallest > 0.0 && self.smallest <= 1.0 {
            true => Ok(()),
            false => {
                Err(format!("augment.smallest = {}: a share above 0, at most 1", self.smallest))
            }
        }
    }

    /// The images as the recogniser is to see them; each change is drawn from the image's seed.
    ///
    /// # Shapes
    /// `images` [B, 3, S, S] in [-1, 1], one seed each → the same.
    ///
    /// # Panics
    /// When there are not as many seeds as images.
    pub fn apply(&self, images: &Tensor, seeds: &[u64]) -> Tensor {
        let _guard = tch::no_grad_guard();
        assert_eq!(images.size()[0], seeds.len() as i64, "one seed an image");
        let images = self.recolour(images, seeds);
        self.coarsen(&images, seeds);
        images
    }

    /// ((x − m)·k + m)·g + o with m the image's mean, as one product and one sum.
    fn recolour(&self, images: &Tensor, seeds: &[u64]) -> Tensor {
        let (mut contrasts, mut gains, mut offsets) = (Vec::new(), Vec::new(), Vec::new());
        for &seed in seeds {
            contrasts.push(1.0 + around(seed, Use::Contrast, 0, self.contrast) as f32);
            gains.extend((0..3).map(|c| 1.0 + around(seed, Use::Gain, c, self.gain) as f32));
            offsets.push(around(seed, Use::Offset, 0, self.offset) as f32);
        }
        let device = images.device();
        let (k, g) = (column(&contrasts, 1, device), column(&gains, 3, device));
        let mean = images.mean_dim(&[1i64, 2, 3][..], true, Kind::Float);
        let shift = &mean * (1.0 - &k) * &g + column(&offsets, 1, device);
        (images * (k * g)).g_add_(&shift).clamp_(-1.0, 1.0)
    }

    /// Makes some of the images coarse, in place: areas are averaged, then blended again.
    fn coarsen(&self, images: &Tensor, seeds: &[u64]) {
        let side = images.size()[2];
        let smallest = (self.smallest * side as f64).ceil().max(1.0);
        for (place, &seed) in seeds.iter().enumerate() {
            if unit(seed, Use::Coarse, 0) >= self.low_resolution {
                continue;
            }
            let draw = unit(seed, Use::Side, 0);
            let coarse = (smallest + draw * (side as f64 - smallest)).floor() as i64;
            let mut image = images.narrow(0, place as i64, 1);
            let none = None::<f64>;
            let small = image.internal_upsample_bilinear2d_aa([coarse, coarse], false, none, none);
            image.copy_(&small.upsample_bilinear2d([side, side], false, none, none));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn images() -> Tensor {
        c10d::torch::randn_seeded(&[6, 3, 16, 16], 1, Kind::Float, Device::Cpu).unwrap().tanh()
    }

    #[test]
    fn changes_follow_the_image_alone() {
        let (images, seeds) = (images(), [1, 2, 3, 4, 5, 6]);
        let all = Augmentation { low_resolution: 0.5, ..Augmentation::default() };
        let together = all.apply(&images, &seeds);
        for k in 0..6 {
            let alone = all.apply(&images.narrow(0, k, 1), &seeds[k as usize..=k as usize]);
            assert!(alone.get(0).allclose(&together.get(k), 1e-6, 1e-6, false), "{k}");
        }
        assert!(!all.apply(&images, &[7, 2, 3, 4, 5, 6]).get(0).equal(&together.get(0)));
        assert!(together.abs().max().double_value(&[]) <= 1.0);
    }

    #[test]
    fn each_key_changes_what_it_names() {
        let none = Augmentation {
            gain: 0.0,
            offset: 0.0,
            contrast: 0.0,
            low_resolution: 0.0,
            smallest: 0.5,
        };
        let (images, seeds) = (images(), [1, 2, 3, 4, 5, 6]);
        assert!(none.apply(&images, &seeds).allclose(&images, 1e-6, 1e-6, false));
        let spread = |x: &Tensor| x.std_dim(&[1i64, 2, 3][..], true, false);
        let mean = |x: &Tensor| x.mean_dim(&[1i64, 2, 3][..], false, Kind::Float);
        let near = |a: Tensor, b: Tensor| a.allclose(&b, 1e-4, 1e-3, false);

        let contrast = Augmentation { contrast: 0.5, ..none.clone() };
        let changed = contrast.apply(&(&images * 0.5), &seeds);
        assert!(near(mean(&changed), mean(&(&images * 0.5))));
        assert!(!near(spread(&changed), spread(&(&images * 0.5))));
        let offset = Augmentation { offset: 0.2, ..none.clone() };
        let changed = offset.apply(&(&images * 0.5), &seeds);
        assert!(near(spread(&changed), spread(&(&images * 0.5))));
        assert!(!near(mean(&changed), mean(&(&images * 0.5))));
        let coarse = Augmentation { low_resolution: 1.0, ..none };
        let changed = coarse.apply(&images, &seeds);
        let rough = |x: &Tensor| (x.slice(3, 1, 16, 1) - x.slice(3, 0, 15, 1)).square().mean(None);
        assert!(rough(&changed).double_value(&[]) < 0.7 * rough(&images).double_value(&[]));
    }
}
