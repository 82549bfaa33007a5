//! Originals with everything in them that must not come out.

use std::io::Cursor;

use faces::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, Rgb};

/// Stands in every piece of metadata.
pub(crate) const SECRET: &[u8] = b"SECRET-5a7e";

/// Not square, no two quadrants alike, and smooth: JPEG keeps it.
pub(crate) fn photo() -> RgbImage {
    RgbImage::from_fn(48, 32, |x, y| Rgb([4 * x as u8, 6 * y as u8, (x + y) as u8]))
}

/// A TIFF block: orientation 6 (turn clockwise), and a place for GPS with the secret.
pub(crate) fn exif() -> Vec<u8> {
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        let numbers = [tag.to_le_bytes(), kind.to_le_bytes()].concat();
        [&numbers[..], &count.to_le_bytes(), &value.to_le_bytes()].concat()
    };
    let secret = SECRET.len() as u32;
    [
        &b"II*\0\x08\0\0\0\x02\0"[..],
        &entry(0x0112, 3, 1, 6),
        &entry(0x8825, 2, secret, 38),
        &[0; 4],
        SECRET,
    ]
    .concat()
}

fn xmp() -> Vec<u8> {
    [b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>", SECRET, b"</x:xmpmeta>"].concat()
}

/// Display P3 with the secret as a private tag and as the text of a known one.
pub(crate) fn profile() -> Vec<u8> {
    let mut profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let tags = u32::from_be_bytes(profile[128..132].try_into().unwrap()) as usize;
    // The last tag is made a private one, its content goes behind all others.
    let entry = 132 + 12 * (0..tags).find(|k| &profile[132 + 12 * k..][..4] == b"cprt").unwrap();
    let end = (profile.len() as u32).to_be_bytes();
    profile[entry..entry + 4].copy_from_slice(b"dmnd");
    profile[entry + 4..entry + 8].copy_from_slice(&end);
    profile[entry + 8..entry + 12].copy_from_slice(&(SECRET.len() as u32).to_be_bytes());
    profile.extend(SECRET);
    profile.resize(profile.len().next_multiple_of(4), 0);
    let length = (profile.len() as u32).to_be_bytes();
    profile[..4].copy_from_slice(&length);
    profile[48..52].copy_from_slice(&SECRET[..4]); // device manufacturer
    profile
}

fn segment(marker: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    [&[0xff, marker], &(content.len() as u16 + 2).to_be_bytes()[..], &content].concat()
}

/// EXIF, XMP, IPTC, a comment, a colour profile in two parts, 300 pixels per inch.
pub(crate) fn jpeg(quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(&photo()).unwrap();
    // JFIF comes first: 2 + 2 + 16 bytes.
    bytes[2 + 11] = 1;
    bytes[2 + 12..2 + 16].copy_from_slice(&[1, 44, 1, 44]);
    let profile = profile();
    let (first, second) = profile.split_at(300);
    let metadata = [
        segment(0xe1, &[b"Exif\0\0", &exif()]),
        segment(0xe1, &[b"http://ns.adobe.com/xap/1.0/\0", &xmp()]),
        segment(0xed, &[b"Photoshop 3.0\08BIM\x04\x04\0\0", SECRET]),
        segment(0xfe, &[SECRET]),
        segment(0xe2, &[b"ICC_PROFILE\0\x02\x02", second]),
        segment(0xe2, &[b"ICC_PROFILE\0\x01\x02", first]),
    ];
    bytes.splice(20..20, metadata.concat());
    bytes
}

pub(crate) fn png_chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let body = [name, content].concat();
    let length = (content.len() as u32).to_be_bytes();
    [&length[..], &body, &crc32fast::hash(&body).to_be_bytes()].concat()
}

/// eXIf, XMP, a text, a time, a colour profile, 300 pixels per inch, something behind the end.
pub(crate) fn png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    image::ImageEncoder::set_icc_profile(&mut encoder, profile()).unwrap();
    photo().write_with_encoder(encoder).unwrap();
    let resolution = [&11811u32.to_be_bytes()[..], &11811u32.to_be_bytes(), &[1]].concat();
    let metadata = [
        png_chunk(b"eXIf", &exif()),
        png_chunk(b"iTXt", &[b"XML:com.adobe.xmp\0\0\0\0\0", &xmp()[..]].concat()),
        png_chunk(b"tEXt", &[b"Author\0", SECRET].concat()),
        png_chunk(b"tIME", &[7, 230, 1, 2, 3, 4, 5]),
        png_chunk(b"pHYs", &resolution),
    ];
    bytes.splice(33..33, metadata.concat());
    bytes.extend(SECRET);
    bytes
}

/// Extended format: a colour profile, EXIF and XMP.
pub(crate) fn webp() -> Vec<u8> {
    let mut plain = Cursor::new(Vec::new());
    photo().write_to(&mut plain, ImageFormat::WebP).unwrap();
    let chunk = |name: &[u8; 4], content: &[u8]| {
        let padding = vec![0; content.len() % 2];
        [name, &(content.len() as u32).to_le_bytes()[..], content, &padding].concat()
    };
    let flags = 0b10_1100;
    let chunks = [
        chunk(b"VP8X", &[flags, 0, 0, 0, 47, 0, 0, 31, 0, 0]),
        chunk(b"ICCP", &profile()),
        plain.get_ref()[12..].to_vec(),
        chunk(b"EXIF", &exif()),
        chunk(b"XMP ", &xmp()),
    ]
    .concat();
    [b"RIFF", &(chunks.len() as u32 + 4).to_le_bytes()[..], b"WEBP", &chunks].concat()
}
