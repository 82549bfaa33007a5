//! The pixels of a photo that a mask changes, and the box of pixels around them.

use std::ops::Range;

use super::mask::Masked;

/// Some pixels of a photo, at most one run in each row, within a box that has one pixel more
/// on each side where the photo does.
pub(super) struct Region {
    /// Column and row of the box's first pixel in the photo.
    origin: [u32; 2],
    pub(super) width: usize,
    pub(super) height: usize,
    /// The columns, counted in the box, that belong to the region, row by row.
    pub(super) runs: Vec<Range<usize>>,
}

impl Region {
    /// The pixels of a photo of `width` × `height` where `mask` has weight. `None` for none.
    pub(super) fn of((width, height): (u32, u32), mask: &Masked) -> Option<Region> {
        let [left, top, right, bottom] = mask.bounds;
        let columns = clip(left, right, width)?;
        let rows = clip(top, bottom, height)?;
        let runs = rows.clone().map(|y| {
            let inside = |x: &u32| mask.weight([f64::from(*x), f64::from(y)]) > 0.0;
            // An ellipse is convex: what lies between two of its pixels belongs to it.
            let first = columns.clone().find(inside)?;
            let last = columns.clone().rev().find(inside)?;
            Some((first - columns.start) as usize..(last - columns.start) as usize + 1)
        });
        let runs: Vec<_> = runs.map(|run| run.unwrap_or(0..0)).collect();
        let region = Region {
            origin: [columns.start, rows.start],
            width: columns.len(),
            height: rows.len(),
            runs,
        };
        let empty = region.runs.iter().all(Range::is_empty);
        (!empty).then_some(region)
    }

    /// Columns and rows, in the box, of the region's pixels.
    pub(super) fn unknown(&self) -> impl Iterator<Item = (usize, usize)> {
        self.runs.iter().enumerate().flat_map(|(y, run)| run.clone().map(move |x| (x, y)))
    }

    /// Whether no pixel of the box is outside the region: it is then the whole photo.
    pub(super) fn is_everything(&self) -> bool {
        self.runs.iter().all(|run| run.len() == self.width)
    }

    /// Place of a pixel of the box among the box's pixels.
    pub(super) fn index(&self, x: usize, y: usize) -> usize {
        y * self.width + x
    }

    /// Column and row in the photo.
    pub(super) fn in_photo(&self, x: usize, y: usize) -> [f64; 2] {
        [f64::from(self.origin[0]) + x as f64, f64::from(self.origin[1]) + y as f64]
    }

    /// A value for each pixel of the box, row by row, from its place in the photo.
    pub(super) fn map<T>(&self, value: impl Fn([f64; 2]) -> T) -> Vec<T> {
        let places = (0..self.height).flat_map(|y| (0..self.width).map(move |x| (x, y)));
        places.map(|(x, y)| value(self.in_photo(x, y))).collect()
    }
}

/// The whole numbers in `from..=to` and one more on each side, within `0..length`. `None`
/// where there are none, or `from` or `to` is not a number.
fn clip(from: f64, to: f64, length: u32) -> Option<Range<u32>> {
    let limit = |x: f64| x.clamp(-1.0, f64::from(length));
    if from.is_nan() || to.is_nan() {
        return None;
    }
    // Conversions saturate at 0.
    let start = (limit(from).floor() - 1.0) as u32;
    let end = (limit(to).ceil() + 2.0) as u32;
    let range = start..end.min(length);
    (!range.is_empty()).then_some(range)
}

#[cfg(test)]
impl Region {
    /// A region without a photo, of the pixels of a box that `inside` picks.
    pub(super) fn drawn(
        width: usize,
        height: usize,
        inside: impl Fn(usize, usize) -> bool,
    ) -> Region {
        let run = |y| {
            let mut columns = (0..width).filter(|&x| inside(x, y));
            let first = columns.next().unwrap_or(0);
            first..columns.next_back().map_or(first + usize::from(inside(first, y)), |x| x + 1)
        };
        Region { origin: [0, 0], width, height, runs: (0..height).map(run).collect() }
    }
}
