//! Rectangles around faces: overlap, and the best of those that overlap.

use std::collections::HashMap;

use serde::Serialize;

/// A rectangle in photo pixels, pixel edges at whole numbers: the whole of a photo of w × h
/// pixels is (0, 0, w, h). It may reach beyond the photo.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(into = "[f64; 4]")]
pub struct Bounds {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Lower edge.
    pub bottom: f64,
}

impl From<Bounds> for [f64; 4] {
    fn from(b: Bounds) -> [f64; 4] {
        [b.left, b.top, b.right, b.bottom]
    }
}

impl From<[f64; 4]> for Bounds {
    fn from([left, top, right, bottom]: [f64; 4]) -> Bounds {
        Bounds { left, top, right, bottom }
    }
}

/// What an intersection is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Overlap {
    /// The union of both.
    Union,
    /// The smaller of both: 1 for a rectangle inside another one.
    Smaller,
}

impl Bounds {
    /// Width in pixels.
    pub fn width(&self) -> f64 {
        self.right - self.left
    }

    /// Height in pixels.
    pub fn height(&self) -> f64 {
        self.bottom - self.top
    }

    /// The middle, x and y.
    pub fn centre(&self) -> [f64; 2] {
        [(self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0]
    }

    fn area(&self) -> f64 {
        self.width().max(0.0) * self.height().max(0.0)
    }

    /// Shared area in shares of the joint one, 0 to 1.
    pub fn overlap(&self, other: &Bounds) -> f64 {
        self.overlap_by(other, Overlap::Union)
    }

    pub(crate) fn overlap_by(&self, other: &Bounds, by: Overlap) -> f64 {
        let shared = Bounds {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        };
        let (shared, a, b) = (shared.area(), self.area(), other.area());
        let whole = match by {
            Overlap::Union => a + b - shared,
            Overlap::Smaller => a.min(b),
        };
        if whole > 0.0 { shared / whole } else { 0.0 }
    }

    /// Moves the edges by shares of width and height: left, top, right, bottom.
    pub(crate) fn shifted(&self, by: [f64; 4]) -> Bounds {
        let (w, h) = (self.width(), self.height());
        Bounds {
            left: self.left + by[0] * w,
            top: self.top + by[1] * h,
            right: self.right + by[2] * w,
            bottom: self.bottom + by[3] * h,
        }
    }
}

/// A rectangle and how sure it is, 0 to 1.
pub(crate) trait Scored {
    fn bounds(&self) -> &Bounds;
    fn score(&self) -> f64;
}

/// Keeps, best first, what does not overlap a better one by more than `limit`
/// (non-maximum suppression).
pub(crate) fn best<T: Scored>(mut all: Vec<T>, limit: f64, by: Overlap) -> Vec<T> {
    // Of equal scores the first comes first, on every machine.
    all.sort_by(|a, b| b.score().total_cmp(&a.score()));
    // Rectangles that overlap have centres less than the longest side apart: they lie in the
    // same cell of that size or in neighbouring ones.
    let side = all.iter().map(|item| item.bounds().width().max(item.bounds().height()));
    let side = side.fold(1.0, f64::max);
    let mut cells: HashMap<[i64; 2], Vec<usize>> = HashMap::new();
    let mut kept: Vec<T> = Vec::new();
    for item in all {
        let [x, y] = item.bounds().centre().map(|c| (c / side).floor() as i64);
        let near = (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| [x + dx, y + dy]));
        let mut near = near.filter_map(|cell| cells.get(&cell)).flatten();
        if near.all(|&k| kept[k].bounds().overlap_by(item.bounds(), by) <= limit) {
            cells.entry([x, y]).or_default().push(kept.len());
            kept.push(item);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Item(Bounds, f64);

    impl Scored for Item {
        fn bounds(&self) -> &Bounds {
            &self.0
        }
        fn score(&self) -> f64 {
            self.1
        }
    }

    fn at(x: f64, y: f64, side: f64, score: f64) -> Item {
        Item([x, y, x + side, y + side].into(), score)
    }

    #[test]
    fn overlap_is_the_shared_area() {
        let (a, b) = (at(0.0, 0.0, 10.0, 1.0).0, at(5.0, 0.0, 10.0, 1.0).0);
        assert_eq!(a.overlap(&b), 50.0 / 150.0);
        assert_eq!(a.overlap_by(&b, Overlap::Smaller), 0.5);
        assert_eq!(a.overlap(&at(10.0, 0.0, 10.0, 1.0).0), 0.0);
        let nothing = at(0.0, 0.0, 0.0, 1.0).0;
        assert_eq!(nothing.overlap(&nothing), 0.0);
        assert_eq!(<[f64; 4]>::from(a.shifted([0.1, 0.2, -0.1, 0.5])), [1.0, 2.0, 9.0, 15.0]);
    }

    /// The cells that spare comparisons must not change the outcome.
    #[test]
    fn the_best_are_those_of_comparing_all() {
        let items = || {
            let mut state = 7u32;
            let mut next = move |n: u32| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f64::from((state >> 8) % n)
            };
            (0..400).map(move |k| {
                at(next(300) - 80.0, next(300), 5.0 + next(60), f64::from(k * 37 % 400))
            })
        };
        for (limit, by) in [(0.5, Overlap::Union), (0.7, Overlap::Smaller)] {
            let kept = best(items().collect(), limit, by);
            let mut all: Vec<Item> = items().collect();
            all.sort_by(|a, b| b.1.total_cmp(&a.1));
            let mut expected: Vec<Item> = Vec::new();
            for item in all {
                if expected.iter().all(|k| k.0.overlap_by(&item.0, by) <= limit) {
                    expected.push(item);
                }
            }
            assert!(kept.len() > 20 && kept.len() < 400);
            assert!(kept.iter().map(|i| i.1).eq(expected.iter().map(|i| i.1)));
        }
    }
}
