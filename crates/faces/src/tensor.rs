//! 8-bit images as tensors: bytes in memory, f32 in [-1, 1] where they are computed with.

use image::RgbImage;
use tch::{Kind, Tensor};

use crate::Error;

/// A batch of equally large images as a tensor of numbers.
///
/// # Shapes
/// `[B, 3, H, W]`, f32, x/127.5 − 1 (method.md §1), contiguous, on the CPU; channels in
/// the order R, G, B, or B, G, R when `bgr` (what the published weights expect).
///
/// # Errors
/// [`Error::Torch`] when the sizes differ or there is no image.
pub fn to_tensor(images: &[RgbImage], bgr: bool) -> Result<Tensor, Error> {
    let tensor = normalise(&stack(images)?)?;
    Ok(if bgr { tensor.f_flip([1])? } else { tensor })
}

/// A batch of equally large images as they lie in memory: u8, `[B, H, W, 3]`, on the CPU.
///
/// # Errors
/// [`Error::Torch`] when the sizes differ or there is no image.
pub(crate) fn stack(images: &[RgbImage]) -> Result<Tensor, Error> {
    let Some((width, height)) = images.first().map(RgbImage::dimensions) else {
        return Err(Error::Torch("a batch of no images".into()));
    };
    if let Some(other) = images.iter().find(|image| image.dimensions() != (width, height)) {
        let (w, h) = other.dimensions();
        return Err(Error::Torch(format!("images of {width}×{height} and {w}×{h} in a batch")));
    }
    let rows: Vec<&[u8]> = images.iter().map(|image| image.as_raw().as_slice()).collect();
    let shape = [images.len() as i64, i64::from(height), i64::from(width), 3];
    Ok(c10d::torch::from_bytes(&rows, &shape)?)
}

/// u8 `[B, H, W, 3]` → f32 `[B, 3, H, W]`, contiguous, x/127.5 − 1, on the same device.
///
/// # Errors
/// [`Error::Torch`] when the shape is another one or memory is full.
pub(crate) fn normalise(images: &Tensor) -> Result<Tensor, Error> {
    let &[b, h, w, 3] = &images.size()[..] else {
        return Err(Error::Torch(format!("images of shape {:?}", images.size())));
    };
    let float = (Kind::Float, images.device());
    // One pass turns bytes to floats and interleaved channels to planes.
    let mut tensor = Tensor::f_empty([b, 3, h, w], float)?;
    tensor.f_copy_(&images.f_permute([0, 3, 1, 2])?)?;
    // On the device: CUDA multiplies by the reciprocal of a number that lies on the CPU, and
    // the last bit would differ between devices.
    let scale = Tensor::f_full([1], 127.5, float)?;
    Ok(tensor.f_divide_(&scale)?.f_subtract_scalar_(1.0)?)
}

/// Swaps the first and the last channel of every pixel.
pub(crate) fn swap_channels(image: &mut RgbImage) {
    for pixel in image.pixels_mut() {
        pixel.0.swap(0, 2);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use image::Rgb;

    #[test]
    fn tensor_has_planes_in_minus_one_to_one() {
        let a = RgbImage::from_fn(2, 2, |x, y| Rgb([(x * 255) as u8, (y * 255) as u8, 51]));
        let b = RgbImage::from_pixel(2, 2, Rgb([0, 127, 255]));
        let rgb = to_tensor(&[a.clone(), b.clone()], false).unwrap();
        assert_eq!(rgb.size(), [2, 3, 2, 2]);
        assert!(rgb.is_contiguous());
        let values: Vec<f32> = Vec::try_from(rgb.get(0).reshape([-1])).unwrap();
        let blue = 51.0 / 127.5 - 1.0;
        assert_eq!(values, [-1., 1., -1., 1., -1., -1., 1., 1., blue, blue, blue, blue]);
        assert_eq!(rgb.double_value(&[1, 1, 0, 0]) as f32, 127.0 / 127.5 - 1.0);
        let bgr = to_tensor(&[a.clone(), b.clone()], true).unwrap();
        assert_eq!(bgr.flip([1]), rgb);
        let mut swapped = [a.clone(), b];
        swapped.iter_mut().for_each(swap_channels);
        assert_eq!(to_tensor(&swapped, false).unwrap(), bgr);
        assert!(to_tensor(&[a, RgbImage::new(3, 2)], false).is_err());
        assert!(to_tensor(&[], false).is_err());
    }

    /// All bytes, at once and in a large tensor, which libtorch computes with vectors and
    /// threads: exactly the formula in single precision.
    #[test]
    fn every_byte_is_the_formula_to_the_bit() {
        let image = RgbImage::from_fn(256, 256, |x, y| Rgb([x as u8, y as u8, (x + y) as u8]));
        let tensor = to_tensor(&vec![image; 4], false).unwrap();
        let values: Vec<f32> = Vec::try_from(tensor.reshape([-1])).unwrap();
        let at = |b: usize, c: usize, x: usize, y: usize| values[((b * 3 + c) * 256 + y) * 256 + x];
        let formula = |byte: usize| ((byte % 256) as f32 / 127.5 - 1.0).to_bits();
        for (b, x, y) in (0..4).flat_map(|b| (0..65536).map(move |p| (b, p % 256, p / 256))) {
            for (c, byte) in [x, y, x + y].into_iter().enumerate() {
                assert_eq!(at(b, c, x, y).to_bits(), formula(byte), "{b} {c} {x} {y}");
            }
        }
    }
}
