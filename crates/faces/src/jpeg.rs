//! JPEG files decoded by libjpeg-turbo, at a fraction of their size where that suffices.
//!
//! A JPEG file holds 8 × 8 frequencies per block. From the lowest 4 × 4 of them an image of
//! half the sides follows directly: less arithmetic than decoding all and shrinking, and close
//! to it (the frequencies left out are those that shrinking would blur away).

use image::RgbImage;
use turbojpeg::{Colorspace, Decompressor, Image, PixelFormat, ScalingFactor};

/// Passes over the image that a progressive file may have: a few bytes ask for each. As many
/// as the other decoder allows.
const MAX_SCANS: u32 = 100;

/// Decodes the JPEG file `bytes` of `dimensions` (width, height) at the smallest of 1/8, 1/4,
/// 1/2 and 1 of its size whose sides are both at least `size` pixels. Not turned yet as its
/// EXIF says. `None` for files that libjpeg-turbo cannot give as RGB, by their header: CMYK,
/// YCCK and lossless ones.
///
/// # Errors
/// The decoder's reason, also where it only warns: a file cut short is one.
pub(crate) fn decode(
    bytes: &[u8],
    dimensions: (u32, u32),
    size: u32,
) -> Result<Option<RgbImage>, String> {
    let text = |error: turbojpeg::Error| error.to_string();
    let mut decoder = Decompressor::new().map_err(text)?;
    decoder.set_scan_limit(MAX_SCANS).map_err(text)?;
    let header = decoder.read_header(bytes).map_err(text)?;
    // Limits were checked on what another reader found in the header.
    if (header.width, header.height) != (dimensions.0 as usize, dimensions.1 as usize) {
        return Err("its size is not what its header said".into());
    }
    if header.is_lossless || matches!(header.colorspace, Colorspace::CMYK | Colorspace::YCCK) {
        return Ok(None);
    }
    let factor = fraction(dimensions, size);
    decoder.set_scaling_factor(factor).map_err(text)?;
    let scaled = header.scaled(factor);
    let mut pixels = RgbImage::new(scaled.width as u32, scaled.height as u32);
    let (width, height, pitch) = (scaled.width, scaled.height, 3 * scaled.width);
    let output = Image { pixels: pixels.as_mut(), width, pitch, height, format: PixelFormat::RGB };
    decoder.decompress(bytes, output).map_err(text)?;
    Ok(Some(pixels))
}

/// The smallest fraction that libjpeg-turbo has vector code for and that leaves enough pixels.
fn fraction((width, height): (u32, u32), size: u32) -> ScalingFactor {
    [ScalingFactor::ONE_EIGHTH, ScalingFactor::ONE_QUARTER, ScalingFactor::ONE_HALF]
        .into_iter()
        .find(|factor| factor.scale(width.min(height) as usize) >= size as usize)
        .unwrap_or(ScalingFactor::ONE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::picture::{read_image, read_photo, resize};
    use image::codecs::jpeg::JpegEncoder;
    use image::{GrayImage, ImageEncoder, Rgb};

    /// Waves of 40 pixels and a coarse board: what a photo of a face has, enlarged.
    fn photo(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let wave = |t: u32| ((f64::from(t) / 40.0).sin() * 60.0 + 128.0) as u8;
            Rgb([wave(x), wave(y + x / 2), 40 + 120 * ((x / 64 + y / 64) % 2) as u8])
        })
    }

    fn encode(image: &RgbImage, orientation: Option<u8>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
        if let Some(orientation) = orientation {
            // A TIFF header and one entry: tag 0x0112, one SHORT.
            let mut exif =
                b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0\0\0\0\0".to_vec();
            exif[19] = orientation;
            encoder.set_exif_metadata(exif).unwrap();
        }
        encoder.encode_image(image).unwrap();
        bytes
    }

    fn mean_difference(a: &RgbImage, b: &RgbImage) -> f64 {
        assert_eq!(a.dimensions(), b.dimensions());
        let sum: u64 = a.iter().zip(b.iter()).map(|(&a, &b)| u64::from(a.abs_diff(b))).sum();
        sum as f64 / a.len() as f64
    }

    #[test]
    fn the_smallest_fraction_that_leaves_enough() {
        let half = |w, h, size| {
            let factor = fraction((w, h), size);
            (factor.num(), factor.denom())
        };
        assert_eq!(half(1024, 1024, 512), (1, 2));
        assert_eq!(half(1023, 4096, 512), (1, 2), "libjpeg-turbo rounds up");
        assert_eq!(half(1022, 4096, 512), (1, 1));
        assert_eq!(half(512, 512, 512), (1, 1));
        assert_eq!(half(100, 100, 512), (1, 1), "never enlarged");
        assert_eq!(half(2048, 2048, 512), (1, 4));
        assert_eq!(half(9000, 9000, 256), (1, 8));
    }

    /// Mean absolute difference between decoding at half the size and decoding all, then
    /// shrinking: below 1 of 255 levels; between two different photos it is above 20.
    #[test]
    fn half_the_size_looks_like_all_of_it_shrunk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("photo.jpg");
        std::fs::write(&path, encode(&photo(1024, 1024), None)).unwrap();
        let scaled = read_image(&path, 512).unwrap();
        let whole = resize(read_photo(&path).unwrap(), 512).unwrap();
        let difference = mean_difference(&scaled, &whole);
        assert!(difference > 0.0, "both went the same way");
        assert!(difference < 1.0, "{difference}");
        let other = resize(photo(700, 700), 512).unwrap();
        assert!(mean_difference(&scaled, &other) > 20.0);
    }

    #[test]
    fn turned_grey_and_cmyk_files_look_as_without_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("photo.jpg");
        for orientation in 1..=8 {
            std::fs::write(&path, encode(&photo(640, 512), Some(orientation))).unwrap();
            let scaled = read_image(&path, 256).unwrap();
            let whole = read_photo(&path).unwrap();
            assert_eq!(whole.width(), if orientation < 5 { 640 } else { 512 });
            let whole = resize(whole, 256).unwrap();
            assert!(mean_difference(&scaled, &whole) < 1.0, "orientation {orientation}");
        }
        let grey = GrayImage::from_fn(128, 128, |x, y| image::Luma([(x + y) as u8]));
        grey.save(&path).unwrap();
        let whole = resize(read_photo(&path).unwrap(), 64).unwrap();
        assert!(mean_difference(&read_image(&path, 64).unwrap(), &whole) < 1.0);

        // Neither encoder here writes CMYK from RGB, but libjpeg-turbo's does from CMYK.
        let cmyk: Vec<u8> = photo(64, 64).pixels().flat_map(|p| [p[0], p[1], p[2], 200]).collect();
        let (width, height, pitch, format) = (64, 64, 256, PixelFormat::CMYK);
        let image = Image { pixels: &cmyk[..], width, pitch, height, format };
        let bytes = turbojpeg::compress(image, 95, turbojpeg::Subsamp::None).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        assert!(decode(&bytes, (64, 64), 64).unwrap().is_none());
        assert_eq!(read_image(&path, 64).unwrap(), read_photo(&path).unwrap());
    }

    #[test]
    fn a_file_cut_short_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("photo.jpg");
        let bytes = encode(&photo(512, 512), None);
        std::fs::write(&path, &bytes).unwrap();
        read_image(&path, 256).unwrap();
        for length in [bytes.len() / 3, bytes.len() - 200] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let message = read_image(&path, 256).unwrap_err().to_string();
            assert!(message.contains("photo.jpg") && !message.contains('\n'), "{message}");
        }
    }
}
