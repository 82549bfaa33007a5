//! The parts that image files are made of, as far as they are whole.

/// Marker and content of a JPEG file's segments, up to the first scan.
pub(super) fn jpeg(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8]).unwrap_or_default();
    std::iter::from_fn(move || {
        loop {
            let [0xff, marker, after @ ..] = rest else { return None };
            match marker {
                // Fill bytes before a marker.
                0xff => rest = &rest[1..],
                // Start of scan, end of image.
                0xda | 0xd9 => return None,
                _ => {
                    let (length, after) = after.split_first_chunk::<2>()?;
                    let content = usize::from(u16::from_be_bytes(*length)).checked_sub(2)?;
                    let (content, after) = after.split_at_checked(content)?;
                    rest = after;
                    return Some((*marker, content));
                }
            }
        }
    })
}

/// Type and content of a PNG file's chunks; checksums are the decoder's business.
pub(super) fn png(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n").unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (name, after) = after.split_first_chunk::<4>()?;
        let (content, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = after.get(4..).unwrap_or_default();
        Some((*name, content))
    })
}

/// Type and content of a WebP file's chunks.
pub(super) fn webp(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let is_webp = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
    let mut rest = if is_webp { &bytes[12..] } else { &[] };
    std::iter::from_fn(move || {
        let (name, after) = rest.split_first_chunk::<4>()?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let (content, after) = after.split_at_checked(length)?;
        rest = after.get(length % 2..).unwrap_or_default();
        Some((*name, content))
    })
}
