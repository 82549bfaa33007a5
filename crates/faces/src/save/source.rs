//! What an original file says of itself that its result may need.

use std::io::Read;
use std::path::Path;

use super::{Format, chunks, quality};
use crate::Error;

/// Longest colour profile that is read. Those of displays and cameras have a few kilobytes.
const MAX_PROFILE: usize = 4 << 20;

/// Format, quality, colour profile and resolution of an original. No other metadata is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// The format; none for others than the three that are written.
    pub format: Option<Format>,
    /// A JPEG file's quality from 1 to 100, as nearly as its quantisation tables show it.
    pub quality: Option<u8>,
    /// Whether only the first picture of several is used.
    pub animated: bool,
    /// The colour profile as it is, or why it cannot be used.
    pub(super) profile: Option<Result<Vec<u8>, String>>,
    /// Pixels per metre, the same both ways.
    pub(super) resolution: Option<u32>,
}

impl Source {
    /// Of a file.
    ///
    /// # Errors
    /// As [`read_photo`](crate::read_photo) where the file itself cannot be read.
    pub fn read(path: &Path) -> Result<Source, Error> {
        Ok(Source::of(&crate::file::read(path, None)?))
    }

    /// Of a file's content. What it does not say, or only in part, is left out: whether the file
    /// is sound, its decoder finds out.
    pub fn of(bytes: &[u8]) -> Source {
        match image::guess_format(bytes) {
            Ok(image::ImageFormat::Jpeg) => of_jpeg(bytes),
            Ok(image::ImageFormat::Png) => of_png(bytes),
            Ok(image::ImageFormat::WebP) => of_webp(bytes),
            _ => Source::default(),
        }
    }
}

fn of_jpeg(bytes: &[u8]) -> Source {
    let mut source = Source { format: Some(Format::Jpeg), ..Source::default() };
    let mut parts: Vec<(u8, &[u8])> = Vec::new();
    for (marker, content) in chunks::jpeg(bytes) {
        match (marker, content) {
            // Version, unit (1 inch, 2 centimetre), density across and down.
            (0xe0, [b'J', b'F', b'I', b'F', 0, _, _, unit, a, b, c, d, ..]) if [a, b] == [c, d] => {
                let density = u32::from(u16::from_be_bytes([*a, *b]));
                source.resolution = match unit {
                    1 => Some((density * 10_000 + 127) / 254),
                    2 => Some(density * 100),
                    _ => None,
                };
            }
            (0xe2, content) => {
                if let Some([number, _, part @ ..]) = content.strip_prefix(b"ICC_PROFILE\0") {
                    parts.push((*number, part));
                }
            }
            _ => {}
        }
    }
    if !parts.is_empty() {
        parts.sort_by_key(|(number, _)| *number);
        source.profile = Some(Ok(parts.iter().flat_map(|(_, part)| *part).copied().collect()));
    }
    source.quality = quality::estimate(bytes);
    source
}

fn of_png(bytes: &[u8]) -> Source {
    let mut source = Source { format: Some(Format::Png), ..Source::default() };
    for (name, content) in chunks::png(bytes) {
        match (&name, content) {
            (b"acTL", _) => source.animated = true,
            (b"iCCP", content) => source.profile = Some(inflate(content)),
            // Unit 1: pixels per metre.
            (b"pHYs", [a, b, c, d, across @ .., 1]) if [a, b, c, d].into_iter().eq(across) => {
                source.resolution = Some(u32::from_be_bytes([*a, *b, *c, *d]));
            }
            _ => {}
        }
    }
    source
}

/// Name, 0, method 0, zlib stream. What it inflates to is bounded.
fn inflate(content: &[u8]) -> Result<Vec<u8>, String> {
    let end = content.iter().position(|&byte| byte == 0);
    let packed = end.and_then(|end| content.get(end + 2..)).ok_or("it is cut short")?;
    let mut profile = Vec::new();
    let limit = MAX_PROFILE as u64 + 1;
    flate2::read::ZlibDecoder::new(packed)
        .take(limit)
        .read_to_end(&mut profile)
        .map_err(|error| format!("it cannot be unpacked ({error})"))?;
    if profile.len() > MAX_PROFILE {
        return Err(format!("it has more than {} MiB", MAX_PROFILE >> 20));
    }
    Ok(profile)
}

fn of_webp(bytes: &[u8]) -> Source {
    let mut source = Source { format: Some(Format::WebP), ..Source::default() };
    for (name, content) in chunks::webp(bytes) {
        match &name {
            b"ANIM" => source.animated = true,
            b"ICCP" => source.profile = Some(Ok(content.to_vec())),
            _ => {}
        }
    }
    source
}
