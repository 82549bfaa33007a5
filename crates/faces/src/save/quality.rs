//! A JPEG file's quality from its quantisation tables.

use super::chunks;

/// Annex K of the JPEG standard (ITU-T T.81), luminance and chrominance, row by row.
const STANDARD: [[u8; 64]; 2] = [
    [
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69,
        56, 14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81,
        104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    ],
    [
        17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99,
        99, 47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    ],
];

/// The quality from 1 to 100 whose tables are nearest to those of a JPEG file's first and second
/// component (mean absolute difference); the better one of two equally near. For files that
/// scale the standard's tables as libjpeg does, it is the quality they were written with.
/// `None` where the file has no such tables.
pub(super) fn estimate(bytes: &[u8]) -> Option<u8> {
    let mut tables: [Option<[u16; 64]>; 4] = [None; 4];
    let mut used = Vec::new();
    for (marker, content) in chunks::jpeg(bytes) {
        match (marker, content) {
            (0xdb, content) => read_tables(content, &mut tables),
            // Frames, but not tables of Huffman (C4) and arithmetic codes (CC), nor JPG (C8):
            // precision, height, width, number of components; of each name, sampling, table.
            (0xc0..=0xcf, [_, _, _, _, _, _, components @ ..])
                if ![0xc4, 0xc8, 0xcc].contains(&marker) =>
            {
                used = components.chunks_exact(3).map(|component| component[2]).collect();
            }
            _ => {}
        }
    }
    let pairs: Vec<_> = used
        .iter()
        .take(2)
        .zip(&STANDARD)
        .filter_map(|(&table, standard)| {
            Some((tables.get(usize::from(table))?.as_ref()?, standard))
        })
        .collect();
    if pairs.is_empty() {
        return None;
    }
    (1..=100u8).rev().min_by_key(|&quality| -> u64 {
        let distance = |(table, standard): &(&[u16; 64], &[u8; 64])| -> u64 {
            let differences =
                table.iter().zip(scaled(standard, quality)).map(|(&a, b)| a.abs_diff(b));
            differences.map(u64::from).sum()
        };
        pairs.iter().map(distance).sum()
    })
}

/// The standard's table at a quality, in the order of the file (libjpeg, `jcparam.c`).
fn scaled(standard: &[u8; 64], quality: u8) -> [u16; 64] {
    let quality = u32::from(quality);
    let scale = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    let at = |place: u8| (u32::from(standard[usize::from(place)]) * scale + 50) / 100;
    zigzag().map(|place| at(place).clamp(1, 255) as u16)
}

/// Places of the 64 frequencies, row by row, in the order in which files have them.
fn zigzag() -> [u8; 64] {
    let mut order: [u8; 64] = std::array::from_fn(|place| place as u8);
    order.sort_by_key(|&place| {
        let (row, column) = (place / 8, place % 8);
        let diagonal = row + column;
        (diagonal, if diagonal % 2 == 0 { column } else { row })
    });
    order
}

/// One or more tables: precision and number, then 64 values of one or two bytes.
fn read_tables(mut content: &[u8], tables: &mut [Option<[u16; 64]>; 4]) {
    while let Some((&head, rest)) = content.split_first() {
        let wide = head >> 4 != 0;
        let length = if wide { 128 } else { 64 };
        let Some((values, rest)) = rest.split_at_checked(length) else { return };
        if let Some(table) = tables.get_mut(usize::from(head & 15)) {
            *table = Some(std::array::from_fn(|k| match wide {
                true => u16::from_be_bytes([values[2 * k], values[2 * k + 1]]),
                false => u16::from(values[k]),
            }));
        }
        content = rest;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use image::codecs::jpeg::JpegEncoder;
    use image::{GrayImage, RgbImage};

    #[test]
    fn every_quality_is_found_again() {
        for quality in 1..=100 {
            let mut colour = Vec::new();
            let encoder = &mut JpegEncoder::new_with_quality(&mut colour, quality);
            encoder.encode_image(&RgbImage::new(8, 8)).unwrap();
            assert_eq!(estimate(&colour), Some(quality));
            let mut grey = Vec::new();
            let encoder = &mut JpegEncoder::new_with_quality(&mut grey, quality);
            encoder.encode_image(&GrayImage::new(8, 8)).unwrap();
            assert_eq!(estimate(&grey), Some(quality));
        }
    }

    #[test]
    fn other_tables_give_the_nearest_quality_and_none_gives_none() {
        let mut bytes = Vec::new();
        let encoder = &mut JpegEncoder::new_with_quality(&mut bytes, 80);
        encoder.encode_image(&RgbImage::new(8, 8)).unwrap();
        let table = bytes.windows(2).position(|w| w == [0xff, 0xdb]).unwrap();
        for value in &mut bytes[table + 10..table + 20] {
            *value += 1;
        }
        let quality = estimate(&bytes).unwrap();
        assert!((78..=82).contains(&quality), "{quality}");
        for length in 0..bytes.len() {
            estimate(&bytes[..length]);
        }
        assert_eq!(estimate(&bytes[..table]), None);
        assert_eq!(estimate(b"no image"), None);
    }
}
