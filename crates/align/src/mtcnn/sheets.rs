//! The pyramid of a photo's sizes, packed into few sheets, so that P-Net sees all of it in
//! one or two passes and never more than a sheet at once.

use fast_image_resize::ResizeError;
use image::RgbImage;

use super::octaves::{BEYOND, Octaves};

/// Side of P-Net's window in pixels.
pub(super) const WINDOW: u32 = 12;
/// Pixels from one window to the next.
pub(super) const STRIDE: u32 = 2;
/// Pixels by which a window may lie beyond the photo: a face cut by the edge.
const MARGIN: u32 = 4;
/// Pixels of a sheet, about. P-Net needs some 150 bytes for each.
const SHEET: u32 = 1 << 20;

/// Some rows of the photo at one size, with their place on a sheet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Strip {
    /// Size of the whole photo at this level, in pixels.
    level: [u32; 2],
    /// First row, counted from `MARGIN` above the level.
    first: u32,
    /// Width and height with margins.
    size: [u32; 2],
    /// Left upper corner on the sheet; even.
    at: [u32; 2],
}

/// What is seen in one pass.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sheet {
    pub(super) size: [u32; 2],
    pub(super) strips: Vec<Strip>,
}

/// The sheets for a photo of `size` = width, height pixels: levels from the one on which
/// `min_face` pixels are a window, each `factor` of the one before, down to the last that
/// holds a window.
pub(super) fn plan(size: [u32; 2], min_face: f64, factor: f64) -> Vec<Sheet> {
    let mut strips = Vec::new();
    let mut scale = f64::from(WINDOW) / min_face;
    loop {
        let level = size.map(|side| (f64::from(side) * scale).round() as u32);
        if level.iter().any(|&side| side + 2 * MARGIN < 2 * WINDOW) {
            break;
        }
        cut(level, &mut strips);
        scale *= factor;
    }
    pack(strips)
}

/// Cuts a level into strips that fit on a sheet; they overlap, so that every window lies
/// whole in one of them.
fn cut(level: [u32; 2], strips: &mut Vec<Strip>) {
    let [width, height] = level.map(|side| side + 2 * MARGIN);
    let most = (SHEET / width).max(4 * WINDOW) / 2 * 2;
    let mut first = 0;
    loop {
        let rows = most.min(height - first);
        strips.push(Strip { level, first, size: [width, rows], at: [0, 0] });
        first += rows;
        if first >= height {
            break;
        }
        first -= WINDOW - STRIDE;
    }
}

/// Places strips, widest first, on shelves: each goes on the first shelf of the open sheet
/// that is high enough and has room, or on a new one.
fn pack(strips: Vec<Strip>) -> Vec<Sheet> {
    let even = |n: u32| n.div_ceil(2) * 2;
    let mut sheets: Vec<Sheet> = Vec::new();
    // Of the last sheet: top, height and width used of each shelf.
    let mut shelves: Vec<[u32; 3]> = Vec::new();
    for mut strip in strips {
        let [width, height] = strip.size.map(even);
        let open = sheets.last_mut().and_then(|sheet| {
            let fits = |s: &&mut [u32; 3]| s[1] >= height && s[2] + width <= sheet.size[0];
            if let Some(shelf) = shelves.iter_mut().find(fits) {
                strip.at = [shelf[2], shelf[0]];
                shelf[2] += width;
                return Some(sheet);
            }
            let room = width <= sheet.size[0]
                && sheet.size[0] * (sheet.size[1] + height) <= SHEET + SHEET / 4;
            room.then(|| {
                strip.at = [0, sheet.size[1]];
                shelves.push([sheet.size[1], height, width]);
                sheet.size[1] += height;
                sheet
            })
        });
        if let Some(sheet) = open {
            sheet.strips.push(strip);
        } else {
            shelves = vec![[0, height, width]];
            sheets.push(Sheet { size: [width, height], strips: vec![strip] });
        }
    }
    sheets
}

impl Sheet {
    /// Draws the sheet: height × width × 3 bytes.
    ///
    /// # Errors
    /// For lack of memory.
    pub(super) fn draw(&self, photo: &Octaves) -> Result<RgbImage, ResizeError> {
        let [width, height] = self.size;
        let mut sheet = RgbImage::from_pixel(width, height, image::Rgb([BEYOND; 3]));
        for strip in &self.strips {
            let from = strip.first.max(MARGIN) - MARGIN;
            let to = (strip.first + strip.size[1]).saturating_sub(MARGIN).min(strip.level[1]);
            if to <= from {
                continue;
            }
            let share = |row: u32| f64::from(row) / f64::from(strip.level[1]);
            let rows = photo.rows([share(from), share(to)], [strip.level[0], to - from])?;
            let top = strip.at[1] + (from + MARGIN - strip.first);
            let left = strip.at[0] + MARGIN;
            image::imageops::replace(&mut sheet, &rows, left.into(), top.into());
        }
        Ok(sheet)
    }

    /// The window of P-Net's answer at column `x`, row `y`: the strip's number, and left upper
    /// corner and sides in the photo's pixels (of `photo` = width, height). `None` for one
    /// that lies between strips.
    pub(super) fn window(&self, [x, y]: [u32; 2], photo: [u32; 2]) -> Option<(usize, [f64; 4])> {
        let at = [x * STRIDE, y * STRIDE];
        let inside =
            |s: &Strip| (0..2).all(|k| at[k] >= s.at[k] && at[k] + WINDOW <= s.at[k] + s.size[k]);
        let k = self.strips.iter().position(inside)?;
        let strip = &self.strips[k];
        let scale = [0, 1].map(|k| f64::from(photo[k]) / f64::from(strip.level[k]));
        let column = f64::from(at[0] - strip.at[0]) - f64::from(MARGIN);
        let row = f64::from(at[1] - strip.at[1] + strip.first) - f64::from(MARGIN);
        let side = f64::from(WINDOW);
        Some((
            k,
            [
                column * scale[0],
                row * scale[1],
                (column + side) * scale[0],
                (row + side) * scale[1],
            ],
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every window of every level, at every second pixel, lies on a sheet exactly where the
    /// level's geometry says; strips keep apart, and sheets stay small.
    #[test]
    fn the_sheets_hold_every_window_once() {
        for (size, min_face) in [([640, 480], 20.0), ([97, 61], 12.0), ([7000, 5000], 20.0)] {
            let sheets = plan(size, min_face, 0.709);
            for sheet in &sheets {
                let [width, height] = sheet.size.map(u64::from);
                assert!(width * height <= u64::from(SHEET) * 5 / 4, "{:?}", sheet.size);
                for (k, a) in sheet.strips.iter().enumerate() {
                    assert!(
                        (0..2).all(|d| a.at[d] % 2 == 0 && a.at[d] + a.size[d] <= sheet.size[d])
                    );
                    let apart = |b: &Strip| {
                        (0..2).any(|d| {
                            a.at[d] + a.size[d] <= b.at[d] || b.at[d] + b.size[d] <= a.at[d]
                        })
                    };
                    assert!(sheet.strips[..k].iter().all(apart));
                }
            }
            let strips: Vec<&Strip> = sheets.iter().flat_map(|sheet| &sheet.strips).collect();
            let mut levels: Vec<[u32; 2]> = strips.iter().map(|strip| strip.level).collect();
            levels.dedup();
            assert_eq!(levels[0][0], (f64::from(size[0]) * 12.0 / min_face).round() as u32);
            for level in levels {
                let mut rows: Vec<(u32, u32)> = strips
                    .iter()
                    .filter(|strip| strip.level == level)
                    .map(|strip| (strip.first, strip.first + strip.size[1]))
                    .collect();
                rows.sort_unstable();
                assert!(
                    rows.windows(2).all(|w| w[1].0 + WINDOW - STRIDE == w[0].1 && w[1].0 % 2 == 0)
                );
                assert_eq!((rows[0].0, rows[rows.len() - 1].1), (0, level[1] + 2 * MARGIN));
            }
        }
        assert!(plan([10, 400], 20.0, 0.709).is_empty(), "too small for any face");
    }

    #[test]
    fn a_window_knows_its_place_in_the_photo() {
        // At 24 pixels a face, levels are half the photo.
        let sheets = plan([400, 300], 24.0, 0.5);
        let place = |x, y| sheets[0].window([x, y], [400, 300]);
        assert_eq!(place(0, 0), Some((0, [-8.0, -8.0, 16.0, 16.0])));
        assert_eq!(place(12, 7), Some((0, [40.0, 20.0, 64.0, 44.0])));
        // The last one of the first level, and the next, which has no place.
        let last = (200 + 8 - 12) / 2;
        assert!(place(last, 0).is_some());
        assert!(place(last + 1, 0).is_none_or(|(strip, _)| strip > 0));
    }
}
