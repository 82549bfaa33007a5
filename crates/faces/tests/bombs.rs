//! Small files that claim, or unpack to, much: refused by one line and without the memory.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{Cursor, Read, Write};

use faces::{Error, RgbImage, read_image, read_photo};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::ImageFormat;

/// The largest size that this process has had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [name, data].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&body);
    [&(data.len() as u32).to_be_bytes(), &body[..], &crc.sum().to_be_bytes()].concat()
}

/// `length` zeros, compressed.
fn zeros(length: u64) -> Vec<u8> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    std::io::copy(&mut std::io::repeat(0).take(length), &mut zlib).unwrap();
    zlib.finish().unwrap()
}

/// A PNG file of 8-bit RGBA pixels (`colour` 6) or of 1-bit grey (0).
fn png(side: u32, colour: u8, before: &[u8], pixels: &[u8]) -> Vec<u8> {
    let depth = if colour == 0 { 1 } else { 8 };
    let side = side.to_be_bytes();
    let header = [&side[..], &side, &[depth, colour, 0, 0, 0]].concat();
    let parts = [chunk(b"IHDR", &header), before.to_vec(), chunk(b"IDAT", pixels)];
    [b"\x89PNG\r\n\x1a\n".to_vec(), parts.concat(), chunk(b"IEND", b"")].concat()
}

fn riff(chunks: &[(&[u8; 4], u32, &[u8])]) -> Vec<u8> {
    let chunks = chunks
        .iter()
        .flat_map(|(name, length, data)| [&name[..], &length.to_le_bytes(), data].concat());
    let chunks: Vec<u8> = chunks.collect();
    [b"RIFF", &(chunks.len() as u32 + 4).to_le_bytes()[..], b"WEBP", &chunks].concat()
}

/// A lossless WebP image's header; sides up to 16384.
fn vp8l(side: u32) -> Vec<u8> {
    let bits = (side - 1) | (side - 1) << 14;
    [&[0x2f][..], &bits.to_le_bytes(), &[0; 32]].concat()
}

/// A JPEG file's header: progressive, three components, then the beginning of a scan.
fn jpeg(side: u16) -> Vec<u8> {
    let side = side.to_be_bytes();
    let table = [&[0xff, 0xdb, 0, 67, 0][..], &[1; 64]].concat();
    let frame = [&[0xff, 0xc2, 0, 17, 8][..], &side, &side, &[3, 1, 17, 0, 2, 17, 0, 3, 17, 0]];
    let scan = [0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 0, 0, 0xff, 0xd9];
    [&[0xff, 0xd8][..], &table, &frame.concat(), &scan].concat()
}

fn bmp(width: i32, height: i32) -> Vec<u8> {
    let (width, height) = (width.to_le_bytes(), height.to_le_bytes());
    let file = [b"BM", &[0; 8][..], &54u32.to_le_bytes()].concat();
    [&file, &40u32.to_le_bytes()[..], &width, &height, &[1, 0, 24, 0], &[0; 24]].concat()
}

/// What the other test needs meanwhile is little.
#[test]
fn bombs_are_refused_without_the_memory_they_ask_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bomb");
    let gigabyte = zeros(1 << 30);
    let profile = chunk(b"iCCP", &[b"p\0\0", &gigabyte[..]].concat());
    let row = zeros(u64::from(16_384u32 / 8 + 1) * 16_384);
    let canvas =
        |side: u32| [&[0; 4][..], &side.to_le_bytes()[..3], &side.to_le_bytes()[..3]].concat();
    let many = u32::MAX - 1;
    let (sides, pixels) = ("more than 16384 pixels a side", "more than 512 MiB");
    let refused: [(&str, Vec<u8>, &str); 11] = [
        ("PNG, 60000 pixels a side", png(60_000, 6, b"", &gigabyte), sides),
        ("PNG, 1 GiB of pixels", png(16_384, 6, b"", &gigabyte), pixels),
        ("PNG, 32 MiB of bits, 805 MB of RGB", png(16_384, 0, b"", &row), pixels),
        ("WebP, 805 MB of RGB", riff(&[(b"VP8L", 37, &vp8l(16_383))]), pixels),
        ("WebP, 16 million pixels a side", riff(&[(b"VP8X", 10, &canvas(0xff_ffff))]), "too large"),
        ("WebP, a profile of 4 GB", riff(&[(b"VP8X", 10, &canvas(0)), (b"ICCP", many, b"")]), ""),
        ("JPEG, 65535 pixels a side", jpeg(65_535), sides),
        ("JPEG, 805 MB of RGB", jpeg(16_384), pixels),
        ("BMP, 2 billion pixels a side", bmp(i32::MAX, i32::MAX), ""),
        ("BMP, 805 MB of RGB", bmp(16_384, 16_384), pixels),
        ("BMP, as many, upside down", bmp(16_384, -16_384), pixels),
    ];
    // What is too much in these is not looked at; the WebP image's pixels are damaged as well.
    let read = [
        ("PNG, 1 GiB after the last row", png(16, 6, b"", &gigabyte)),
        ("PNG, 1 GiB of colour profile", png(16, 6, &profile, &zeros(65 * 16))),
        (
            "WebP, 4 GB of EXIF",
            riff(&[(b"VP8X", 10, &canvas(0)), (b"VP8L", 37, &vp8l(1)), (b"EXIF", many, b"")]),
        ),
    ];
    let before = peak();
    for (name, bytes, reason) in &refused {
        assert!(bytes.len() < 2 << 20, "{name}: {}", bytes.len());
        std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        for error in [read_photo(&path).unwrap_err(), read_image(&path, 64).unwrap_err()] {
            let message = error.to_string();
            assert!(matches!(error, Error::Image { .. }) && !message.contains('\n'), "{message}");
            assert!(message.contains(reason), "{name}: {message}");
        }
    }
    for (name, bytes) in &read {
        std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        let outcome = read_image(&path, 64).map(|image| image.dimensions());
        let expected = name.starts_with("PNG");
        assert_eq!(outcome.is_ok(), expected, "{name}: {outcome:?}");
    }
    let grown = peak() - before;
    assert!(grown < 160 << 20, "{} MiB", grown >> 20);
}

/// Every beginning of a file of each format is an error or, where only the end of the pixels
/// is missing, may be an image.
#[test]
fn every_truncation_is_borne() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part");
    let image = RgbImage::from_fn(9, 7, |x, y| image::Rgb([x as u8 * 20, y as u8 * 30, 99]));
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Bmp] {
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            match read_image(&path, 8) {
                Ok(image) => assert_eq!(image.dimensions(), (8, 8)),
                Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
            }
        }
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(read_image(&path, 8).is_err(), "{format:?}");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read_photo(&path).unwrap().dimensions(), (9, 7));
    }
}
