//! An image in squares of one colour each.

use std::ops::Range;

use image::{Rgb, RgbImage};

use super::Error;

/// # Errors
/// When squares of that side have no pixels.
pub(super) fn check(cell: u32) -> Result<(), Error> {
    if cell > 0 {
        return Ok(());
    }
    Err(Error::Parameter { key: "cell", value: "0".into(), expected: "1 pixel or more" })
}

/// Replaces each square by the mean of its pixels.
pub(super) fn mosaic(image: &mut RgbImage, cell: u32) {
    recolour(image, cell, |sum, pixels| mean(i128::from(sum), pixels));
}

/// `sum` / `pixels`, rounded, within a byte's range.
pub(super) fn mean(sum: i128, pixels: u64) -> u8 {
    let pixels = i128::from(pixels);
    (2 * sum + pixels).div_euclid(2 * pixels).clamp(0, 255) as u8
}

/// Gives each channel of each square `colour(sum of its bytes, number of its pixels)`. Squares
/// start at the upper left corner; those at the right and lower side may be cut.
pub(super) fn recolour(image: &mut RgbImage, cell: u32, mut colour: impl FnMut(u64, u64) -> u8) {
    let (width, height) = image.dimensions();
    for rows in steps(height, cell) {
        for columns in steps(width, cell) {
            let places = || rows.clone().flat_map(|y| columns.clone().map(move |x| (x, y)));
            let mut sums = [0u64; 3];
            for (x, y) in places() {
                for (sum, &byte) in sums.iter_mut().zip(&image.get_pixel(x, y).0) {
                    *sum += u64::from(byte);
                }
            }
            let pixels = columns.len() as u64 * rows.len() as u64;
            let new = Rgb(sums.map(|sum| colour(sum, pixels)));
            places().for_each(|(x, y)| image.put_pixel(x, y, new));
        }
    }
}

fn steps(length: u32, cell: u32) -> impl Iterator<Item = Range<u32>> {
    let end = move |start: u32| start.saturating_add(cell).min(length);
    (0..length).step_by(cell as usize).map(move |start| start..end(start))
}
