//! Framing of records (TFRecord): length as little-endian u64, its masked CRC-32C,
//! the bytes, their masked CRC-32C.

use std::io::{Read, Result};

/// No event of ours is larger; a larger length means that the file is damaged.
const LARGEST: u64 = 64 << 20;

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

/// The data of the next record; `None` at the end, and where a record is cut short or damaged.
///
/// # Errors
/// Reading fails.
pub(super) fn read(from: &mut impl Read) -> Result<Option<Vec<u8>>> {
    let Some(head) = exactly(from, 12)? else { return Ok(None) };
    let (length, length_sum) = head.split_at(8);
    if masked(length).to_le_bytes() != length_sum {
        return Ok(None);
    }
    let length = length.iter().rev().fold(0, |length, &byte| length << 8 | u64::from(byte));
    if length > LARGEST {
        return Ok(None);
    }
    let (Some(data), Some(sum)) = (exactly(from, length)?, exactly(from, 4)?) else {
        return Ok(None);
    };
    Ok((masked(&data).to_le_bytes()[..] == sum).then_some(data))
}

/// So many bytes, unless it ends before.
fn exactly(from: &mut impl Read, count: u64) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    from.take(count).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 == count).then_some(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The first record, and how many bytes are after it.
    fn next(mut bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
        let data = read(&mut bytes).unwrap()?;
        Some((data, bytes.len()))
    }

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
        assert_eq!(next(&file), Some((b"one".to_vec(), 19)));
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
