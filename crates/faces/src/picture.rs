//! An image file's bytes → RGB, 8 bits → the network's size.

use std::io::{BufRead, BufReader, Cursor, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::error::LimitErrorKind;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};

use crate::error::one_line;
use crate::file::{self, CHANGED};
use crate::{Error, Image, webp};

/// Longest side a file may claim, in pixels.
pub const MAX_SIDE: u32 = 16_384;
/// Memory that an image's pixels may take, as the file has them and as 8-bit RGB, in bytes.
/// A decoder may need about as much again, several times that for a progressive JPEG file.
const MAX_PIXELS: u64 = 512 << 20;
/// Memory that what else is in a PNG file, colour profiles above all, may take unpacked, in
/// bytes. (The other formats have nothing packed but pixels.)
const MAX_METADATA: u64 = 64 << 20;

/// What decodes JPEG files in this build, whose pixels differ a little: part of what is kept
/// under a decoded image.
pub const DECODER: &str = if cfg!(feature = "turbojpeg") { "turbojpeg" } else { "image" };

/// Reads an image file as 8-bit RGB, whatever it holds: grey is repeated, 16 bits are
/// rounded, an alpha channel is dropped, EXIF orientation is applied. The format is told
/// by the content, not by the name.
///
/// # Errors
/// [`Error::Image`] with the reason: missing, unknown format, cut short, sides above
/// [`MAX_SIDE`], more than 512 MiB as a file or as pixels. [`Error::System`] when the reason
/// is this machine's.
pub fn read_photo(path: &Path) -> Result<RgbImage, Error> {
    read_photo_within(path, u64::MAX)
}

/// [`read_photo`] of bytes that were read before; `path` is what errors call them.
pub(crate) fn decode_photo(path: &Path, bytes: &[u8]) -> Result<RgbImage, Error> {
    guarded(path, || decode(bytes, &Wanted { most: Some(u64::MAX), ..Wanted::default() }))
}

/// [`read_photo`] of at most `most` pixels, told by the header: of a larger one nothing is
/// decoded.
///
/// # Errors
/// As [`read_photo`]; [`Error::Image`] for more pixels.
pub fn read_photo_within(path: &Path, most: u64) -> Result<RgbImage, Error> {
    let bytes = file::read(path, None)?;
    guarded(path, || decode(&bytes, &Wanted { most: Some(most), ..Wanted::default() }))
}

/// [`read_photo`], then resized to `size` × `size` pixels where the size differs
/// (bilinear, antialiased when shrinking; not cropped: the data are aligned squares).
///
/// With the feature `turbojpeg`, JPEG files are decoded at 1/2, 1/4 or 1/8 of their size where
/// that leaves sides of at least `size`. That decoder also refuses files that are damaged in
/// ways the other one reads over.
///
/// # Errors
/// As [`read_photo`].
pub fn read_image(path: &Path, size: u32) -> Result<RgbImage, Error> {
    let bytes = file::read(path, None)?;
    let wanted = Wanted { at_least: Some(size), ..Wanted::default() };
    guarded(path, || resize(decode(&bytes, &wanted)?, size))
}

/// [`read_image`] of the file `path` of an index, whose entry is `image`.
///
/// # Errors
/// As [`read_photo`]; [`Error::Image`] for a file that is not what was indexed.
pub(crate) fn read_indexed(path: &Path, image: &Image, size: u32) -> Result<RgbImage, Error> {
    let bytes = file::read(path, Some(image.stamp))?;
    let dimensions = Some((image.width, image.height));
    let wanted = Wanted { dimensions, at_least: Some(size), ..Wanted::default() };
    guarded(path, || resize(decode(&bytes, &wanted)?, size))
}

/// All of the way from bytes to pixels, for the fuzzer: [`read_image`] of a file's content,
/// but for more than `most` pixels, which would only take it time.
///
/// # Errors
/// [`Error::Image`] as there; `name` stands for the file.
pub fn decode_small(name: &Path, bytes: &[u8], most: u64, size: u32) -> Result<RgbImage, Error> {
    let dimensions = guarded(name, || header(Cursor::new(bytes)))?;
    if u64::from(dimensions.0) * u64::from(dimensions.1) > most {
        return Err(Error::Image { path: name.into(), reason: "it is not small".into() });
    }
    let wanted = Wanted { dimensions: Some(dimensions), at_least: Some(size), ..Wanted::default() };
    guarded(name, || resize(decode(bytes, &wanted)?, size))
}

/// Width and height in pixels from the file's header alone.
pub(crate) fn read_header(path: &Path) -> Result<(u32, u32), Error> {
    let (file, _) = file::open(path)?;
    guarded(path, || header(BufReader::new(file)))
}

pub(crate) fn header(reader: impl BufRead + Seek) -> Result<(u32, u32), String> {
    let (_, decoder) = decoder(reader)?;
    match decoder.dimensions() {
        (0, _) | (_, 0) => Err("it has no pixels".into()),
        dimensions => Ok(dimensions),
    }
}

/// What is known and asked of an image before it is decoded.
#[derive(Default)]
pub(crate) struct Wanted {
    /// Width and height that it must have.
    pub(crate) dimensions: Option<(u32, u32)>,
    /// Sides that suffice, where the decoder can give fewer than all.
    pub(crate) at_least: Option<u32>,
    /// Pixels of the largest image that is decoded.
    pub(crate) most: Option<u64>,
}

/// Decodes the bytes of an image file.
///
/// # Errors
/// Why it cannot be used. Decoders panic, too: see [`guarded`].
pub(crate) fn decode(bytes: &[u8], wanted: &Wanted) -> Result<RgbImage, String> {
    let (format, mut decoder) = decoder(Cursor::new(bytes))?;
    let (width, height) = decoder.dimensions();
    if wanted.dimensions.is_some_and(|indexed| indexed != (width, height)) {
        return Err(CHANGED.into());
    }
    let pixels = u64::from(width) * u64::from(height);
    if let Some(most) = wanted.most.filter(|&most| pixels > most) {
        return Err(format!("its {width} × {height} pixels are more than the {most} allowed"));
    }
    let rgb = 3 * pixels;
    if rgb.max(decoder.total_bytes()) > MAX_PIXELS {
        let limit = MAX_PIXELS >> 20;
        return Err(format!("its {width} × {height} pixels need more than {limit} MiB"));
    }
    let orientation = match format {
        ImageFormat::WebP => webp::orientation(bytes),
        _ => decoder.orientation().map_err(text)?,
    };
    let mut image = match scaled(bytes, format, (width, height), wanted.at_least)? {
        Some(image) => DynamicImage::ImageRgb8(image),
        None => DynamicImage::from_decoder(decoder).map_err(text)?,
    };
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

/// The decoder for what `reader` reads, past its header and within the limits.
fn decoder<'a>(
    reader: impl BufRead + Seek + 'a,
) -> Result<(ImageFormat, impl ImageDecoder + 'a), String> {
    let mut reader =
        ImageReader::new(reader).with_guessed_format().map_err(|error| error.to_string())?;
    let format = reader.format().ok_or("it is no PNG, JPEG, WebP or BMP image")?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    // A PNG image's rows pass by; the others' decoders are held to nothing, see `decode`.
    limits.max_alloc = Some(MAX_METADATA);
    reader.limits(limits);
    Ok((format, reader.into_decoder().map_err(text)?))
}

/// The image at a fraction of its size, if its format offers that.
#[cfg(feature = "turbojpeg")]
fn scaled(
    bytes: &[u8],
    format: ImageFormat,
    dimensions: (u32, u32),
    at_least: Option<u32>,
) -> Result<Option<RgbImage>, String> {
    match (format, at_least) {
        (ImageFormat::Jpeg, Some(size)) => crate::jpeg::decode(bytes, dimensions, size),
        _ => Ok(None),
    }
}

#[cfg(not(feature = "turbojpeg"))]
fn scaled(
    _: &[u8],
    _: ImageFormat,
    _: (u32, u32),
    _: Option<u32>,
) -> Result<Option<RgbImage>, String> {
    Ok(None)
}

pub(crate) fn resize(image: RgbImage, size: u32) -> Result<RgbImage, String> {
    if image.dimensions() == (size, size) {
        return Ok(image);
    }
    let image = DynamicImage::ImageRgb8(image);
    let mut resized = DynamicImage::ImageRgb8(RgbImage::new(size, size));
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new()
        .resize(&image, &mut resized, &options)
        .map_err(|error| format!("resizing failed: {error}"))?;
    Ok(resized.into_rgb8())
}

/// Decoders of hostile bytes have panicked before; here that is one more unreadable
/// file, not the end of a run.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, String>) -> Result<T, Error> {
    let outcome = catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err("its decoder panicked; the file is malformed".into()));
    outcome.map_err(|reason| Error::Image { path: path.into(), reason: one_line(&reason) })
}

fn text(error: image::ImageError) -> String {
    let ImageError::Limits(limit) = &error else { return error.to_string() };
    match limit.kind() {
        LimitErrorKind::DimensionError => format!("it has more than {MAX_SIDE} pixels a side"),
        _ => format!("it unpacks to too much: {error}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use image::{GrayImage, ImageBuffer, Luma, Rgb, Rgba, RgbaImage};

    #[test]
    fn every_pixel_type_becomes_rgb8() {
        let dir = tempfile::tempdir().unwrap();
        let grey = dir.path().join("grey.png");
        GrayImage::from_pixel(4, 4, Luma([200])).save(&grey).unwrap();
        let alpha = dir.path().join("alpha.webp");
        RgbaImage::from_pixel(4, 4, Rgba([10, 20, 30, 0])).save(&alpha).unwrap();
        let deep = dir.path().join("deep.PNG");
        ImageBuffer::from_pixel(4, 4, Rgb([257u16 * 7, 257 * 8, 65535])).save(&deep).unwrap();
        // The name lies about the format: content decides.
        let bmp = dir.path().join("really_bmp.jpg");
        let image = RgbImage::from_pixel(4, 4, Rgb([1, 2, 3]));
        image.save_with_format(&bmp, image::ImageFormat::Bmp).unwrap();
        for (path, pixel) in
            [(grey, [200; 3]), (alpha, [10, 20, 30]), (deep, [7, 8, 255]), (bmp, [1, 2, 3])]
        {
            assert_eq!(read_image(&path, 4).unwrap().get_pixel(1, 2).0, pixel, "{path:?}");
        }
    }

    #[test]
    fn broken_files_are_one_line_errors() {
        let dir = tempfile::tempdir().unwrap();
        let good = dir.path().join("good.png");
        let image =
            RgbImage::from_fn(64, 64, |x, y| Rgb([x as u8 * 3, y as u8 * 3, (x * y) as u8]));
        image.save(&good).unwrap();
        let bytes = std::fs::read(&good).unwrap();
        let cut = dir.path().join("cut.png");
        std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
        let text = dir.path().join("text.jpg");
        std::fs::write(&text, "not an image\n").unwrap();
        let mut huge = bytes.clone();
        huge[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]); // 65536 × 65536
        let claims = dir.path().join("huge.png");
        std::fs::write(&claims, huge).unwrap();

        assert_eq!(read_header(&cut).unwrap(), (64, 64), "a header says nothing of the rest");
        for path in [cut, text, claims, dir.path().join("absent.png")] {
            let message = read_photo(&path).unwrap_err().to_string();
            assert!(
                !message.contains('\n') && message.contains(path.to_str().unwrap()),
                "{message}"
            );
        }
    }

    /// A checkerboard shrunk eightfold must come out grey: without antialiasing it would
    /// come out as single black and white samples.
    #[test]
    fn shrinking_averages() {
        let board = RgbImage::from_fn(64, 64, |x, y| Rgb([255 * ((x + y) % 2) as u8; 3]));
        let small = resize(board, 8).unwrap();
        assert!(small.pixels().all(|p| (126..=129).contains(&p.0[0])));
    }
}
