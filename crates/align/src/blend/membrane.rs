//! The membrane over a region: the smoothest surface that its edge spans.
//!
//! For each pixel i of the region Σ (u_i − u_n) = 0 over those of its four neighbours n that
//! the photo has (the discrete Laplace equation; a photo's edge lets no flux through); outside
//! the region u is given. Solved by multigrid V-cycles with Galerkin coarse grids, in which
//! the error's energy never grows, whatever the region's shape (Trottenberg, Oosterlee and
//! Schüller 2001, "Multigrid", §2.4 and A.2).

use std::ops::Range;

use super::coarse::{self, Level};
use super::region::Region;
use super::{Colour, Error};

/// No value may change by more than this in a cycle for it to be the last, in levels of 255.
///
/// A cycle shrinks the error to a fourth, over narrow strips of a photo to six tenths. So what
/// is left is below a tenth of a level, mostly a fiftieth: the tests compare with exact
/// solutions.
const TOLERANCE: f32 = 1.0 / 16.0;
/// Cycles before giving up. Five to ten suffice; the most seen, over a strip, is 15.
const MOST_CYCLES: u32 = 40;

/// How a membrane was found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Solved {
    /// V-cycles.
    pub cycles: u32,
    /// Largest change of any value, in levels of 255, by any step of the last cycle.
    pub change: f32,
}

/// Fills the region of `values` (one for each pixel of the region's box) with the membrane
/// spanned by the others. What is there before is where the search starts.
///
/// Where the region is the whole photo nothing spans it, and nothing changes.
///
/// # Errors
/// [`Error::NotConverged`].
pub(super) fn span(values: &mut [Colour], region: &Region) -> Result<Solved, Error> {
    if region.is_everything() {
        return Ok(Solved::default());
    }
    let open = [
        region.runs.iter().any(|run| run.end == region.width),
        region.runs.last().is_some_and(|run| !run.is_empty()),
    ];
    let stencil = |x, y| stencil(region, x, y);
    let mut levels = coarse::levels(region.width, region.height, open, stencil);
    let mut change = 0.0;
    for cycles in 1..=MOST_CYCLES {
        change = sweep(values, region);
        if let Some(level) = levels.first_mut() {
            level.start();
            for (x, y) in region.unknown() {
                level.restrict(x, y, residual(values, region, x, y));
            }
            coarse::cycle(&mut levels);
            change = change.max(correct(values, region, &levels[0]));
        }
        change = change.max(sweep(values, region));
        if change <= TOLERANCE {
            return Ok(Solved { cycles, change });
        }
    }
    Err(Error::NotConverged { cycles: MOST_CYCLES, change })
}

/// Coefficients of the equation at a pixel of the box, row by row of its 3 × 3 surroundings;
/// all 0 outside the region.
fn stencil(region: &Region, x: usize, y: usize) -> [f32; 9] {
    let run = &region.runs[y];
    let mut stencil = [0.0; 9];
    if !run.contains(&x) {
        return stencil;
    }
    let is_in = |row: Option<&Range<usize>>| row.is_some_and(|run| run.contains(&x));
    if run.start < x
        && x + 1 < run.end
        && is_in(y.checked_sub(1).and_then(|y| region.runs.get(y)))
        && is_in(region.runs.get(y + 1))
    {
        return coarse::PLAIN;
    }
    for (dx, dy) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
        // Counted from one before the box, so that nothing is negative.
        let (column, row) = (x + dx, y + dy);
        if (1..=region.width).contains(&column) && (1..=region.height).contains(&row) {
            stencil[4] += 1.0;
            if region.runs[row - 1].contains(&(column - 1)) {
                stencil[3 * dy + dx] = -1.0;
            }
        }
    }
    stencil
}

/// Mean of the neighbours, and their number.
fn neighbours(values: &[Colour], region: &Region, x: usize, y: usize) -> (Colour, f32) {
    let here = region.index(x, y);
    let places = [
        (x > 0).then(|| here - 1),
        (x + 1 < region.width).then(|| here + 1),
        (y > 0).then(|| here - region.width),
        (y + 1 < region.height).then(|| here + region.width),
    ];
    let (mut sum, mut count) = ([0.0; 4], 0.0);
    for place in places.into_iter().flatten() {
        sum = std::array::from_fn(|c| sum[c] + values[place][c]);
        count += 1.0;
    }
    (sum.map(|total| total / count), count)
}

fn residual(values: &[Colour], region: &Region, x: usize, y: usize) -> Colour {
    let (mean, count) = neighbours(values, region, x, y);
    let here = values[region.index(x, y)];
    std::array::from_fn(|c| count * (mean[c] - here[c]))
}

/// One Gauss–Seidel sweep; returns the largest change.
fn sweep(values: &mut [Colour], region: &Region) -> f32 {
    let width = region.width;
    let mut change = [0.0; 4];
    for (y, run) in region.runs.iter().enumerate() {
        let inner = run.start.max(1)..run.end.min(width.saturating_sub(1));
        if y == 0 || y + 1 == region.height || inner.is_empty() {
            for x in run.clone() {
                relax(values, region, x, y, &mut change);
            }
            continue;
        }
        if run.start < inner.start {
            relax(values, region, run.start, y, &mut change);
        }
        // Four neighbours each: most of the time is spent here.
        let (above, rest) = values.split_at_mut(y * width);
        let (row, below) = rest.split_at_mut(width);
        let above = &above[(y - 1) * width..][inner.clone()];
        let below = &below[inner.clone()];
        let mut west = row[inner.start - 1];
        let row = &mut row[inner.start..inner.end + 1];
        for (x, (above, below)) in above.iter().zip(below).enumerate() {
            let east = row[x + 1];
            let new = std::array::from_fn(|c| 0.25 * (west[c] + (east[c] + above[c] + below[c])));
            note(&mut change, row[x], new);
            row[x] = new;
            west = new;
        }
        if inner.end < run.end {
            relax(values, region, inner.end, y, &mut change);
        }
    }
    largest(change)
}

fn relax(values: &mut [Colour], region: &Region, x: usize, y: usize, change: &mut Colour) {
    let (new, _) = neighbours(values, region, x, y);
    let here = region.index(x, y);
    note(change, values[here], new);
    values[here] = new;
}

/// Adds what the coarser level found; returns the largest change.
fn correct(values: &mut [Colour], region: &Region, level: &Level) -> f32 {
    let mut change = [0.0; 4];
    for (x, y) in region.unknown() {
        let step = level.interpolate(x, y);
        note(&mut change, step, [0.0; 4]);
        let value = &mut values[region.index(x, y)];
        *value = std::array::from_fn(|c| value[c] + step[c]);
    }
    largest(change)
}

fn note(change: &mut Colour, old: Colour, new: Colour) {
    *change = std::array::from_fn(|c| change[c].max((new[c] - old[c]).abs()));
}

fn largest(change: Colour) -> f32 {
    change.into_iter().fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The exact solution by elimination in double precision, channel 0.
    fn exact(values: &[Colour], region: &Region) -> Vec<f64> {
        let unknown: Vec<_> = region.unknown().collect();
        let number: std::collections::HashMap<_, _> =
            unknown.iter().enumerate().map(|(i, &at)| (at, i)).collect();
        let n = unknown.len();
        let mut rows: Vec<Vec<f64>> = Vec::new();
        for &(x, y) in &unknown {
            let mut row = vec![0.0; n + 1];
            for (dx, dy) in [(-1, 0), (1, 0), (0, -1), (0, 1)] {
                let (Some(nx), Some(ny)) = (x.checked_add_signed(dx), y.checked_add_signed(dy))
                else {
                    continue;
                };
                if nx >= region.width || ny >= region.height {
                    continue;
                }
                row[number[&(x, y)]] += 1.0;
                match number.get(&(nx, ny)) {
                    Some(&j) => row[j] -= 1.0,
                    None => row[n] += f64::from(values[region.index(nx, ny)][0]),
                }
            }
            rows.push(row);
        }
        // Symmetric, positive definite and banded by a row's length: no pivoting needed.
        let band = region.width + 1;
        for i in 0..n {
            for j in i + 1..(i + band).min(n) {
                let factor = rows[j][i] / rows[i][i];
                if factor != 0.0 {
                    for k in (i..(i + band).min(n)).chain([n]) {
                        let subtrahend = factor * rows[i][k];
                        rows[j][k] -= subtrahend;
                    }
                }
            }
        }
        let mut solution = vec![0.0; n];
        for i in (0..n).rev() {
            let known: f64 = (i + 1..(i + band).min(n)).map(|j| rows[i][j] * solution[j]).sum();
            solution[i] = (rows[i][n] - known) / rows[i][i];
        }
        solution
    }

    fn ellipse(cx: f64, cy: f64, a: f64, b: f64) -> impl Fn(usize, usize) -> bool {
        move |x, y| ((x as f64 - cx) / a).hypot((y as f64 - cy) / b) < 1.0
    }

    /// Within, cut by each edge, by a corner, one pixel thin, a single pixel, all but one.
    #[test]
    fn it_is_the_exact_solution_to_a_tenth_of_a_level() {
        let shapes = [
            Region::drawn(50, 60, ellipse(24.5, 30.2, 22.0, 27.0)),
            Region::drawn(41, 33, ellipse(-3.0, 16.0, 30.0, 15.0)),
            Region::drawn(40, 36, ellipse(45.0, 17.0, 38.0, 16.0)),
            Region::drawn(36, 40, ellipse(18.0, 44.5, 16.0, 39.0)),
            Region::drawn(37, 35, ellipse(40.0, 39.0, 39.0, 37.0)),
            Region::drawn(33, 34, ellipse(16.0, 17.0, 90.0, 15.0)),
            Region::drawn(50, 1, |x, _| x > 0),
            Region::drawn(1, 300, |_, y| y > 0 && y < 299),
            Region::drawn(3, 3, |x, y| x == 1 && y == 1),
            Region::drawn(30, 31, |x, y| x + y > 0),
        ];
        for (k, region) in shapes.iter().enumerate() {
            // The worst edge there is: black and white by turns, and in one half only.
            for pattern in 0..2usize {
                let mut values: Vec<Colour> = region.map(|[x, y]| {
                    let (x, y) = (x as usize, y as usize);
                    let white = if pattern == 0 { x / 3 + y / 3 } else { usize::from(x < y) };
                    [255.0 * (white % 2) as f32; 4]
                });
                for (x, y) in region.unknown() {
                    values[region.index(x, y)] = [0.0; 4];
                }
                let exact = exact(&values, region);
                let solved = span(&mut values, region).unwrap();
                let worst =
                    region.unknown().zip(&exact).fold(0.0, |worst: f64, ((x, y), exact)| {
                        worst.max((f64::from(values[region.index(x, y)][0]) - exact).abs())
                    });
                println!("shape {k}, pattern {pattern}: {solved:?}, error {worst:.4}");
                assert!(worst < 0.1, "shape {k}, pattern {pattern}: {solved:?}, error {worst}");
            }
        }
    }

    /// A region of faces of 3,000 pixels needs hardly more cycles than a small one. Linear
    /// functions are membranes, so the exact answer is known.
    #[test]
    fn size_does_not_matter() {
        for side in [64usize, 2048] {
            let (centre, axis) = (side as f64 / 2.0, side as f64 / 2.1);
            let region = Region::drawn(side, side, ellipse(centre, centre, axis, 0.9 * axis));
            let truth = |[x, y]: [f64; 2]| ((x - 0.3 * y) * 255.0 / side as f64) as f32;
            let mut values: Vec<Colour> = region.map(|at| [truth(at); 4]);
            for (x, y) in region.unknown() {
                values[region.index(x, y)] = [0.0; 4];
            }
            let solved = span(&mut values, &region).unwrap();
            let worst = region.unknown().fold(0.0, |worst: f32, (x, y)| {
                worst.max((values[region.index(x, y)][2] - truth(region.in_photo(x, y))).abs())
            });
            println!("side {side}: {solved:?}, error {worst:.4}");
            assert!(worst < 0.1 && solved.cycles <= 12, "side {side}: {solved:?}, error {worst}");
        }
    }
}
