//! What of a WebP file is not left to its decoder.

use image::metadata::Orientation;

/// How a WebP file says it should be turned. Its decoder is not asked: it makes as much room
/// as the chunk claims to need before it reads it, so that 50 bytes could ask for 4 GB.
pub(crate) fn orientation(bytes: &[u8]) -> Orientation {
    // "RIFF", length, "WEBP"; then chunks of a name, a length, and data padded to even length.
    let mut rest = bytes.get(12..).unwrap_or_default();
    if !rest.starts_with(b"VP8X") {
        return Orientation::NoTransforms;
    }
    while let Some(([name @ .., a, b, c, d], data)) = rest.split_first_chunk::<8>() {
        let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        if name == b"EXIF" {
            let exif = data.get(..length).and_then(Orientation::from_exif_chunk);
            return exif.unwrap_or(Orientation::NoTransforms);
        }
        rest = data.get(length + length % 2..).unwrap_or_default();
    }
    Orientation::NoTransforms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &[u8; 4], length: u32, data: &[u8]) -> Vec<u8> {
        [name, &length.to_le_bytes()[..], data].concat()
    }

    #[test]
    fn the_first_exif_chunk_counts_if_it_is_whole() {
        // A TIFF header and one entry: tag 0x0112, one SHORT, 6: to be turned clockwise.
        let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let riff = chunk(b"RIFF", 100, b"WEBP");
        let extended = chunk(b"VP8X", 10, &[0; 10]);
        let odd = chunk(b"VP8L", 3, &[1, 2, 3, 0]); // padded
        let whole = chunk(b"EXIF", exif.len() as u32, exif);
        let claims = chunk(b"EXIF", u32::MAX, exif);
        let turned = |parts: &[&[u8]]| orientation(&parts.concat()) == Orientation::Rotate90;
        assert!(turned(&[&riff, &extended, &odd, &whole]));
        assert!(turned(&[&riff, &extended, &whole, &claims]));
        assert!(!turned(&[&riff, &extended, &claims, &whole]));
        assert!(!turned(&[&riff, &odd, &whole]), "only the extended format has metadata");
        for length in 0..riff.len() + extended.len() + whole.len() {
            assert!(!turned(&[&[&riff[..], &extended, &whole].concat()[..length]]), "{length}");
        }
    }
}
