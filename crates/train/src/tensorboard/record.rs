//! Framing of records (TFRecord): length as little-endian u64, its masked CRC-32C,
//! the bytes, their masked CRC-32C.

/// No event of ours is larger; a larger length means that the file is damaged.
const LARGEST: u64 = 1 << 30;

/// TensorFlow's mask, so that a CRC over data with CRCs in it stays useful.
fn masked(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A record as it stands in the file.
pub(super) fn frame(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(data.len() + 16);
    record.extend(length);
    record.extend(masked(&length).to_le_bytes());
    record.extend(data);
    record.extend(masked(data).to_le_bytes());
    record
}

/// The data of the first record and the bytes after it; `None` at the end, and where a
/// record is cut short or damaged.
pub(super) fn next(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(8)?;
    let (length_sum, rest) = rest.split_at_checked(4)?;
    if masked(length).to_le_bytes() != length_sum {
        return None;
    }
    let length = u64::from_le_bytes(length.try_into().ok()?);
    if length > LARGEST {
        return None;
    }
    let (data, rest) = rest.split_at_checked(length as usize)?;
    let (sum, rest) = rest.split_at_checked(4)?;
    (masked(data).to_le_bytes() == sum).then_some((data, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_is_tensorflows() {
        // crc32c("123456789") = 0xe3069283 (RFC 3720's check value), masked by hand:
        // rotated right by 15 it is 0x2507c60d.
        assert_eq!(masked(b"123456789"), 0x2507_c60du32.wrapping_add(0xa282_ead8));
    }

    #[test]
    fn damage_ends_the_file() {
        let mut file = frame(b"one");
        file.extend(frame(b"two"));
        assert_eq!(next(&file).map(|(data, rest)| (data, rest.len())), Some((&b"one"[..], 19)));
        for cut in 0..19 {
            assert!(next(&file[..cut]).is_none());
        }
        for bit in 0..19 * 8 {
            let mut flipped = file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(next(&flipped).is_none_or(|(data, _)| data != b"one"), "bit {bit}");
        }
    }
}
