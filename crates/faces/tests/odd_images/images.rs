//! A set of damaged and unusual images, the same for the same seed.
//!
//! Other crates' tests may include this module, `build` and `damage` by path; they need `image`,
//! `flate2` and `crc32fast`.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba};

use crate::build;
use crate::damage::damaged;

/// What a reader must make of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Expect {
    /// Pixels, this wide and high.
    Pixels(u32, u32),
    /// An error.
    Refusal,
    /// Pixels or an error: what damage leaves is the decoder's choice.
    Either,
}

/// One image.
pub(crate) struct OddImage {
    /// What is odd about it.
    pub(crate) name: String,
    /// A name for its file.
    pub(crate) file: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) expect: Expect,
}

/// More than a thousand images: every kind of sound one, bombs, and damage to sound ones that
/// is drawn from `seed`.
pub(crate) fn odd_images(seed: u64) -> impl Iterator<Item = OddImage> {
    let sound = sound();
    let damaged = damaged(&sound, seed);
    sound.into_iter().chain(misnamed()).chain(bombs()).chain(damaged)
}

pub(crate) fn odd(name: impl Into<String>, file: &str, bytes: Vec<u8>, expect: Expect) -> OddImage {
    OddImage { name: name.into(), file: file.into(), bytes, expect }
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn drawn(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(9 * x) as u8, (5 * y) as u8, (x * y) as u8]))
}

/// Content of the only chunk of a lossless WebP file.
fn vp8l(image: &DynamicImage) -> Vec<u8> {
    let bytes = encoded(image, ImageFormat::WebP);
    let length = u32::from_le_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]) as usize;
    bytes[20..20 + length].to_vec()
}

fn sound() -> Vec<OddImage> {
    use Expect::Pixels;
    let mut images = Vec::new();
    let formats = [
        ("png", ImageFormat::Png),
        ("jpg", ImageFormat::Jpeg),
        ("webp", ImageFormat::WebP),
        ("bmp", ImageFormat::Bmp),
    ];
    for (ending, format) in formats {
        for (width, height) in [(1, 1), (1, 900), (1100, 1), (7, 3), (40, 30)] {
            let bytes = encoded(&drawn(width, height).into(), format);
            let name = format!("{width} × {height} {ending}");
            images.push(odd(name, &format!("sound.{ending}"), bytes, Pixels(width, height)));
        }
        let grey = GrayImage::from_fn(20, 10, |x, y| Luma([(x * y) as u8]));
        let bytes = encoded(&grey.into(), format);
        images.push(odd(
            format!("grey {ending}"),
            &format!("grey.{ending}"),
            bytes,
            Pixels(20, 10),
        ));
        if ending != "jpg" {
            let alpha =
                ImageBuffer::from_fn(20, 10, |x, y| Rgba([x as u8, y as u8, 3, (9 * x) as u8]));
            let bytes = encoded(&DynamicImage::ImageRgba8(alpha), format);
            let file = format!("alpha.{ending}");
            images.push(odd(format!("alpha {ending}"), &file, bytes, Pixels(20, 10)));
        }
    }
    let deep = ImageBuffer::from_fn(20, 10, |x, y| Rgb([999 * x as u16, 5000 * y as u16, 7]));
    let deep = encoded(&DynamicImage::ImageRgb16(deep), ImageFormat::Png);
    images.push(odd("16 bits", "deep.png", deep, Pixels(20, 10)));
    let deep = ImageBuffer::from_fn(20, 10, |x, y| LumaA([3000 * x as u16, 6000 * y as u16]));
    let deep = encoded(&DynamicImage::ImageLumaA16(deep), ImageFormat::Png);
    images.push(odd("16 bits, alpha", "deep_alpha.png", deep, Pixels(20, 10)));
    for (colour, bits) in
        [(0, 1), (0, 2), (0, 4), (0, 16), (2, 8), (3, 1), (3, 4), (3, 8), (4, 8), (6, 16)]
    {
        for interlaced in [false, true] {
            let bytes = build::png((13, 11), bits, colour, interlaced, &[]);
            let name = format!("png of type {colour}, {bits} bits, interlaced: {interlaced}");
            images.push(odd(name, "type.png", bytes, Pixels(13, 11)));
        }
    }
    for progressive in [false, true] {
        for (components, adobe) in [
            (&[90][..], None),
            (&[90, 120, 140], None),
            (&[90, 120, 140], Some(0)),
            (&[90, 120, 140, 60], Some(0)),
            (&[90, 120, 140, 60], Some(2)),
        ] {
            let bytes = build::jpeg((19, 9), components, progressive, adobe);
            let channels = components.len();
            let name =
                format!("jpeg of {channels} channels, Adobe {adobe:?}, progressive: {progressive}");
            images.push(odd(name, "channels.jpg", bytes, Pixels(19, 9)));
        }
    }
    images.push(odd("animated png", "animated.png", build::animated_png(), Pixels(5, 4)));
    let picture = vp8l(&drawn(6, 4).into());
    let animated = build::animated_webp((6, 4), &picture, (6, 4));
    images.push(odd("animated webp", "animated.webp", animated, Pixels(6, 4)));
    // One grey pixel, lossy: 42 bytes.
    let lossy = b"\x30\x01\0\x9d\x01\x2a\x01\0\x01\0\x0e\xc0\xfe\x25\xa4\0\x03\x70\0\0\0\0";
    images.push(odd("lossy webp", "lossy.webp", build::webp(&[(b"VP8 ", lossy)]), Pixels(1, 1)));
    images
}

/// Sound ones whose names lie, and files that are no images.
fn misnamed() -> Vec<OddImage> {
    let mut images = Vec::new();
    for (format, endings) in [
        (ImageFormat::Png, ["jpg", "webp", "bmp"]),
        (ImageFormat::Jpeg, ["png", "webp", "bmp"]),
        (ImageFormat::WebP, ["png", "jpeg", "bmp"]),
        (ImageFormat::Bmp, ["png", "JPG", "webp"]),
    ] {
        for ending in endings {
            let bytes = encoded(&drawn(8, 8).into(), format);
            let name = format!("{format:?} called .{ending}");
            images.push(odd(name, &format!("misnamed.{ending}"), bytes, Expect::Pixels(8, 8)));
        }
    }
    let texts: [(&str, &[u8]); 9] = [
        ("empty", b""),
        ("text", b"this is no image\n"),
        ("page", b"<!DOCTYPE html><html><body>404</body></html>"),
        (
            "gif",
            b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;",
        ),
        ("tiff", b"II*\0\x08\0\0\0\0\0\0\0\0\0"),
        ("heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        ("pdf", b"%PDF-1.7\n"),
        ("zeros", &[0; 500]),
        ("ones", &[0xff; 500]),
    ];
    for (name, bytes) in texts {
        for ending in ["jpg", "png", "webp"] {
            let file = format!("{name}.{ending}");
            images.push(odd(name, &file, bytes.to_vec(), Expect::Refusal));
        }
    }
    images
}

/// Few bytes that claim to be much.
fn bombs() -> Vec<OddImage> {
    use Expect::{Either, Pixels, Refusal};
    let most = (16_384, 16_384);
    let icc = [b"p\0\0", &build::zeros(256 << 20)[..]].concat();
    let text = [b"k\0\0", &build::zeros(256 << 20)[..]].concat();
    let (icc, text) = (build::png_chunk(b"iCCP", &icc), build::png_chunk(b"zTXt", &text));
    let claims = |size, bits, colour| {
        let pixels = build::png_chunk(b"IDAT", &build::zeros(1 << 20));
        [build::png_start(size, bits, colour, false), pixels].concat()
    };
    let picture = vp8l(&drawn(6, 4).into());
    let canvas = [&[8, 0, 0, 0][..], &build::three(5), &build::three(3)].concat();
    let mut exif = build::webp(&[(b"VP8X", &canvas), (b"VP8L", &picture), (b"EXIF", b"II*\0")]);
    let at = exif.len() - 8;
    exif[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut palette = encoded(&GrayImage::new(4, 4).into(), ImageFormat::Bmp);
    palette[46..50].copy_from_slice(&u32::MAX.to_le_bytes());
    let bmp = |width: i32, height: i32| {
        let mut bytes = encoded(&drawn(4, 4).into(), ImageFormat::Bmp);
        bytes[18..22].copy_from_slice(&width.to_le_bytes());
        bytes[22..26].copy_from_slice(&height.to_le_bytes());
        bytes
    };
    vec![
        odd(
            "all black",
            "black.png",
            build::png((4000, 4000), 8, 2, false, &[]),
            Pixels(4000, 4000),
        ),
        odd("805 MB as RGB", "bits.png", claims(most, 1, 0), Refusal),
        odd("2 GB", "rgba.png", claims(most, 16, 6), Refusal),
        odd("sides above the limit", "wide.png", claims((16_385, 1), 8, 0), Refusal),
        odd("2³¹ pixels wide", "wider.png", claims((u32::MAX >> 1, 1), 8, 0), Refusal),
        odd("no pixels", "none.png", claims((0, 5), 8, 0), Refusal),
        odd("4000 × 4000 claimed, 1 MB there", "short.png", claims((4000, 4000), 8, 2), Refusal),
        odd("a profile of 256 MB", "icc.png", build::png((5, 5), 8, 2, false, &icc), Either),
        odd("a text of 256 MB", "text.png", build::png((5, 5), 8, 2, false, &text), Either),
        odd("65,500 pixels each way", "big.jpg", claimed_jpeg(65_500, 65_500, 0xc0), Refusal),
        odd("805 MB as RGB", "grey.jpg", claimed_jpeg(16_384, 16_384, 0xc0), Refusal),
        odd("4000 × 4000 claimed", "short.jpg", claimed_jpeg(4000, 4000, 0xc0), Either),
        odd(
            "4000 × 4000 claimed, progressive",
            "short2.jpg",
            claimed_jpeg(4000, 4000, 0xc2),
            Either,
        ),
        odd("no pixels", "none.jpg", claimed_jpeg(0, 8, 0xc0), Refusal),
        odd(
            "a canvas of 805 MB",
            "canvas.webp",
            build::animated_webp(most, &picture, (6, 4)),
            Refusal,
        ),
        odd(
            "a canvas of 2²⁴ pixels a side",
            "canvas2.webp",
            build::animated_webp((1 << 24, 1 << 24), &picture, (6, 4)),
            Refusal,
        ),
        odd("4 GB of EXIF", "exif.webp", exif, Either),
        odd("4 GB of palette", "palette.bmp", palette, Either),
        odd("2³¹ rows", "rows.bmp", bmp(4, i32::MIN), Refusal),
        odd("sides of 40,000", "sides.bmp", bmp(40_000, 40_000), Refusal),
        odd("16,000 × 16,000 claimed", "claims.bmp", bmp(16_000, 16_000), Refusal),
        odd("upside down", "down.bmp", bmp(4, -4), Pixels(4, 4)),
        odd("negative width", "negative.bmp", bmp(-4, 4), Refusal),
    ]
}

/// A small JPEG file whose frame claims another size, and kind.
fn claimed_jpeg(width: u16, height: u16, kind: u8) -> Vec<u8> {
    let mut bytes = build::jpeg((16, 16), &[90, 120, 140], kind == 0xc2, None);
    let frame = bytes.windows(2).position(|w| w == [0xff, kind]).unwrap();
    bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    bytes
}
