//! Pixels → a file's bytes.

use image::codecs::jpeg::{JpegEncoder, PixelDensity, PixelDensityUnit};
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use super::{Format, SaveError, SaveOptions, Source, profile};
use crate::error::one_line;

/// JPEG quality where the original has none.
const QUALITY: u8 = 95;

/// A photo as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The file's content.
    pub bytes: Vec<u8>,
    /// Its format.
    pub format: Format,
    /// Its quality, if it is a JPEG file.
    pub quality: Option<u8>,
    /// Whether the original had a colour profile that this one lacks: its colours may look
    /// paler.
    pub profile_dropped: bool,
}

/// Encodes `image` as `format`; `source` says what the original was like.
///
/// # Errors
/// [`SaveError::Encode`], for JPEG files with sides above 65,535 and WebP files with sides above
/// 16,384 pixels; [`SaveError::Quality`]; [`SaveError::Profile`].
pub fn encode(
    image: &RgbImage,
    format: Format,
    source: &Source,
    options: &SaveOptions,
) -> Result<Encoded, SaveError> {
    let (width, height) = image.dimensions();
    let quality = options.quality.or(source.quality).unwrap_or(QUALITY);
    if !(1..=100).contains(&quality) {
        return Err(SaveError::Quality(quality));
    }
    let profile = match &source.profile {
        Some(profile) if options.keep.profile => {
            let rewritten =
                profile.as_ref().map_err(String::clone).and_then(|p| profile::rewrite(p));
            Some(rewritten.map_err(SaveError::Profile)?)
        }
        _ => None,
    };
    let profile_dropped = source.profile.is_some() && profile.is_none();
    let resolution = source.resolution.filter(|&r| options.keep.resolution && r > 0);

    let mut bytes = Vec::new();
    let outcome = match format {
        Format::Png => write(PngEncoder::new(&mut bytes), image, profile),
        Format::WebP => write(WebPEncoder::new_lossless(&mut bytes), image, profile),
        Format::Jpeg => {
            let mut encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
            if let Some(density) = resolution.and_then(per_inch) {
                let (density, unit) = ((density, density), PixelDensityUnit::Inches);
                encoder.set_pixel_density(PixelDensity { density, unit });
            }
            write(encoder, image, profile)
        }
    };
    outcome.map_err(|error| SaveError::Encode {
        width,
        height,
        reason: one_line(&error.to_string()),
    })?;
    if let (Format::Png, Some(resolution)) = (format, resolution) {
        insert_resolution(&mut bytes, resolution);
    }
    let quality = (format == Format::Jpeg).then_some(quality);
    Ok(Encoded { bytes, format, quality, profile_dropped })
}

fn write(
    mut encoder: impl ImageEncoder,
    image: &RgbImage,
    profile: Option<Vec<u8>>,
) -> image::ImageResult<()> {
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile).map_err(image::ImageError::Unsupported)?;
    }
    encoder.write_image(image.as_raw(), image.width(), image.height(), ExtendedColorType::Rgb8)
}

fn per_inch(per_metre: u32) -> Option<u16> {
    u16::try_from((u64::from(per_metre) * 254 + 5_000) / 10_000).ok().filter(|&d| d > 0)
}

/// A `pHYs` chunk behind the header, where the encoder has no place for one.
fn insert_resolution(png: &mut Vec<u8>, per_metre: u32) {
    /// Signature, then length, type, content and checksum of the header.
    const HEADER: usize = 8 + 4 + 4 + 13 + 4;
    let resolution = per_metre.to_be_bytes();
    let content = [b"pHYs", &resolution[..], &resolution, &[1]].concat();
    let checksum = crc32fast::hash(&content).to_be_bytes();
    let chunk = [&9u32.to_be_bytes()[..], &content, &checksum].concat();
    png.splice(HEADER..HEADER, chunk);
}
