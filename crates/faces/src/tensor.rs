//! Images as tensors: bytes in memory, f32 in [-1, 1] where they are computed with.

use tch::{Device, Kind, Tensor};

use crate::{Error, Planes};

/// A batch of equally large images as a tensor of numbers.
///
/// # Shapes
/// `[B, 3, S, S]`, f32, x/127.5 − 1 (method.md §1), contiguous, on the CPU; channels in
/// the order R, G, B, or B, G, R when `bgr` (what the published weights expect).
///
/// # Errors
/// [`Error::Torch`] when the sizes differ or there is no image.
pub fn to_tensor(images: &[Planes], bgr: bool) -> Result<Tensor, Error> {
    let tensor = normalise(&stack(images)?)?;
    Ok(if bgr { tensor.f_flip([1])? } else { tensor })
}

/// A batch of equally large images as they lie in memory: u8, `[B, 3, S, S]`, on the CPU.
///
/// # Errors
/// [`Error::Torch`] when the sizes differ or there is no image.
pub(crate) fn stack(images: &[Planes]) -> Result<Tensor, Error> {
    let Some(size) = images.first().map(Planes::size) else {
        return Err(Error::Torch("a batch of no images".into()));
    };
    if let Some(other) = images.iter().find(|image| image.size() != size) {
        let other = other.size();
        return Err(Error::Torch(format!("images of {size} and {other} pixels in a batch")));
    }
    let rows: Vec<&[u8]> = images.iter().map(Planes::bytes).collect();
    let shape = [images.len() as i64, 3, i64::from(size), i64::from(size)];
    Ok(c10d::torch::from_bytes(&rows, &shape)?)
}

/// Bytes → f32, x/127.5 − 1, of the same shape on the same device; the same bits on each.
///
/// # Errors
/// [`Error::Torch`] when memory is full.
pub(crate) fn normalise(images: &Tensor) -> Result<Tensor, Error> {
    match images.device() {
        Device::Cpu => Ok(c10d::torch::map_bytes(images, |byte| f32::from(byte) / 127.5 - 1.0)?),
        _ => normalise_by_operations(images),
    }
}

fn normalise_by_operations(images: &Tensor) -> Result<Tensor, Error> {
    let mut tensor = images.f_to_kind(Kind::Float)?;
    // On the device: CUDA multiplies by the reciprocal of a number that lies on the CPU, and
    // the last bit would differ between devices.
    let scale = Tensor::f_full([1], 127.5, (Kind::Float, images.device()))?;
    Ok(tensor.f_divide_(&scale)?.f_subtract_scalar_(1.0)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use image::{Rgb, RgbImage};

    #[test]
    fn tensor_has_planes_in_minus_one_to_one() {
        let a = RgbImage::from_fn(2, 2, |x, y| Rgb([(x * 255) as u8, (y * 255) as u8, 51]));
        let b = RgbImage::from_pixel(2, 2, Rgb([0, 127, 255]));
        let [a, b] = [a, b].map(|image| Planes::from_image(&image));
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
        swapped.iter_mut().for_each(Planes::swap_channels);
        assert_eq!(to_tensor(&swapped, false).unwrap(), bgr);
        assert!(to_tensor(&[a, Planes::black(3)], false).is_err());
        assert!(to_tensor(&[], false).is_err());
    }

    /// All bytes, in a tensor that libtorch works on with vectors and threads: whichever way a
    /// device takes, exactly the formula in single precision.
    #[test]
    fn every_byte_is_the_formula_to_the_bit() {
        let image = RgbImage::from_fn(256, 256, |x, y| Rgb([x as u8, y as u8, (x + y) as u8]));
        let bytes = stack(&vec![Planes::from_image(&image); 4]).unwrap();
        for tensor in [normalise(&bytes), normalise_by_operations(&bytes)] {
            let values: Vec<f32> = Vec::try_from(tensor.unwrap().reshape([-1])).unwrap();
            let bytes: Vec<u8> = Vec::try_from(bytes.reshape([-1])).unwrap();
            assert_eq!(values.len(), bytes.len());
            for (value, byte) in values.iter().zip(bytes) {
                let formula = f32::from(byte) / 127.5 - 1.0;
                assert_eq!(value.to_bits(), formula.to_bits(), "{byte}: {value}");
            }
        }
    }
}
