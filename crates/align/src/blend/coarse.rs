//! The coarser grids of the membrane's multigrid solver.
//!
//! Each level keeps every second column and row of the one above. Values go up by bilinear
//! interpolation P, residuals down by its transpose, and a level's equation is PᵀAP of the one
//! above (Galerkin): it knows the region's edge without looking at it again. Only whether the
//! last column and row are a photo's edge, beyond which values go on as they end, must be told.

use super::Colour;

/// Sides at which a grid is solved by sweeps alone, in nodes.
const COARSEST: usize = 4;
/// Sweeps there.
const SWEEPS: usize = 12;

/// The Laplace equation where all four neighbours are to be found.
pub(super) const PLAIN: [f32; 9] = [0.0, -1.0, 0.0, -1.0, 4.0, -1.0, 0.0, -1.0, 0.0];

/// One grid, with a ring of nodes around it that are always 0.
pub(super) struct Level {
    width: usize,
    height: usize,
    /// Coefficients of each node's 3 × 3 surroundings, row by row; all 0 where the value is
    /// known to be 0.
    stencils: Vec<[f32; 9]>,
    values: Vec<Colour>,
    right: Vec<Colour>,
}

/// The grids below one of `width` × `height` whose equations are `stencil` (all 0 for known
/// values), finest first. `open`: whether its right and lower sides are a photo's edge.
pub(super) fn levels(
    width: usize,
    height: usize,
    open: [bool; 2],
    stencil: impl Fn(usize, usize) -> [f32; 9],
) -> Vec<Level> {
    let (level, mut plain) = Level::below((width, height), open, PLAIN, stencil);
    let mut levels = vec![level];
    while let Some(level) = levels.last()
        && level.width.max(level.height) > COARSEST
    {
        let stencil = |x, y| level.stencils[level.index(x, y)];
        let (next, next_plain) = Level::below((level.width, level.height), open, plain, stencil);
        plain = next_plain;
        levels.push(next);
    }
    levels
}

/// One V-cycle: an approximate solution for the right side of the first level.
pub(super) fn cycle(levels: &mut [Level]) {
    let Some((level, coarser)) = levels.split_first_mut() else { return };
    let Some(next) = coarser.first_mut() else {
        (0..SWEEPS).for_each(|_| level.sweep());
        return;
    };
    level.sweep();
    next.start();
    for y in 0..level.height {
        for x in 0..level.width {
            if level.stencils[level.index(x, y)][4] != 0.0 {
                next.restrict(x, y, level.residual(x, y));
            }
        }
    }
    cycle(coarser);
    for y in 0..level.height {
        for x in 0..level.width {
            let here = level.index(x, y);
            if level.stencils[here][4] != 0.0 {
                let step = coarser[0].interpolate(x, y);
                let value = &mut level.values[here];
                *value = std::array::from_fn(|c| value[c] + step[c]);
            }
        }
    }
    level.sweep();
}

impl Level {
    /// The grid below one of `width` × `height`, most of whose stencils are `plain`; also what
    /// most of its own are.
    fn below(
        (width, height): (usize, usize),
        open: [bool; 2],
        plain: [f32; 9],
        stencil: impl Fn(usize, usize) -> [f32; 9],
    ) -> (Level, [f32; 9]) {
        // Known values beyond a side that is no photo's edge keep a node of their own.
        let half = |length: usize, open| if open { length.div_ceil(2) } else { length / 2 + 1 };
        let (half_width, half_height) = (half(width, open[0]), half(height, open[1]));
        let nodes = (half_width + 2) * (half_height + 2);
        let mut level = Level {
            width: half_width,
            height: half_height,
            stencils: vec![[0.0; 9]; nodes],
            values: vec![[0.0; 4]; nodes],
            right: vec![[0.0; 4]; nodes],
        };
        let fine = Fine { width, height, half: (half_width, half_height), stencil };
        let below_plain = below_plain(plain);
        for y in 0..half_height {
            for x in 0..half_width {
                let here = level.index(x, y);
                level.stencils[here] =
                    if fine.is_all(plain, x, y) { below_plain } else { fine.galerkin(x, y) };
            }
        }
        (level, below_plain)
    }

    fn index(&self, x: usize, y: usize) -> usize {
        (y + 1) * (self.width + 2) + x + 1
    }

    /// Forgets the last solution and right side.
    pub(super) fn start(&mut self) {
        self.values.fill([0.0; 4]);
        self.right.fill([0.0; 4]);
    }

    /// Adds the residual of a node of the finer grid to the right side.
    pub(super) fn restrict(&mut self, x: usize, y: usize, residual: Colour) {
        for (row, down) in parents(y, self.height) {
            for (column, across) in parents(x, self.width) {
                let here = self.index(column, row);
                let weight = down * across;
                let right = &mut self.right[here];
                *right = std::array::from_fn(|c| right[c] + weight * residual[c]);
            }
        }
    }

    /// The value at a node of the finer grid.
    pub(super) fn interpolate(&self, x: usize, y: usize) -> Colour {
        let mut value = [0.0; 4];
        for (row, down) in parents(y, self.height) {
            for (column, across) in parents(x, self.width) {
                let here = self.values[self.index(column, row)];
                value = std::array::from_fn(|c| value[c] + down * across * here[c]);
            }
        }
        value
    }

    /// Gauss–Seidel.
    fn sweep(&mut self) {
        for y in 0..self.height {
            for x in 0..self.width {
                let here = self.index(x, y);
                let centre = self.stencils[here][4];
                if centre != 0.0 {
                    let residual = self.residual(x, y);
                    let value = &mut self.values[here];
                    *value = std::array::from_fn(|c| value[c] + residual[c] / centre);
                }
            }
        }
    }

    fn residual(&self, x: usize, y: usize) -> Colour {
        let here = self.index(x, y);
        let stencil = &self.stencils[here];
        let mut sum = self.right[here];
        for (dy, coefficients) in stencil.chunks_exact(3).enumerate() {
            let start = here + dy * (self.width + 2) - (self.width + 2) - 1;
            for (coefficient, value) in coefficients.iter().zip(&self.values[start..start + 3]) {
                sum = std::array::from_fn(|c| sum[c] - coefficient * value[c]);
            }
        }
        sum
    }
}

/// The equations of a grid, as the one below sees them.
struct Fine<S> {
    width: usize,
    height: usize,
    /// Width and height of the grid below.
    half: (usize, usize),
    stencil: S,
}

impl<S: Fn(usize, usize) -> [f32; 9]> Fine<S> {
    fn stencil(&self, x: usize, y: usize) -> [f32; 9] {
        (self.stencil)(x, y)
    }

    /// Whether a node of the grid below has a value to be found.
    fn is_unknown(&self, x: usize, y: usize) -> bool {
        2 * x < self.width && 2 * y < self.height && self.stencil(2 * x, 2 * y)[4] != 0.0
    }

    /// Whether all that makes the equation of a node of the grid below is as far from any edge
    /// as can be.
    fn is_all(&self, plain: [f32; 9], x: usize, y: usize) -> bool {
        let (x, y) = (2 * x, 2 * y);
        // The 3 × 3 nodes around, and that those of the grid below have values to be found.
        x >= 2
            && y >= 2
            && x + 2 < self.width
            && y + 2 < self.height
            && (y - 1..=y + 1).all(|y| (x - 1..=x + 1).all(|x| self.stencil(x, y) == plain))
            && [x - 2, x, x + 2]
                .into_iter()
                .all(|x| [y - 2, y, y + 2].into_iter().all(|y| self.stencil(x, y)[4] != 0.0))
    }

    /// A row of PᵀAP.
    fn galerkin(&self, x: usize, y: usize) -> [f32; 9] {
        let mut row = [0.0; 9];
        if !self.is_unknown(x, y) {
            return row;
        }
        for y1 in (2 * y).saturating_sub(1)..(2 * y + 2).min(self.height) {
            for x1 in (2 * x).saturating_sub(1)..(2 * x + 2).min(self.width) {
                let weight = share(x1, x, self.half.0) * share(y1, y, self.half.1);
                for (k, coefficient) in self.stencil(x1, y1).into_iter().enumerate() {
                    if coefficient == 0.0 {
                        continue;
                    }
                    let (x2, y2) = (x1 + k % 3 - 1, y1 + k / 3 - 1);
                    for (row3, down) in parents(y2, self.half.1) {
                        for (column3, across) in parents(x2, self.half.0) {
                            if across * down > 0.0 && self.is_unknown(column3, row3) {
                                let towards = 3 * (row3 + 1 - y) + (column3 + 1 - x);
                                row[towards] += weight * coefficient * across * down;
                            }
                        }
                    }
                }
            }
        }
        row
    }
}

/// A row of PᵀAP far from any edge, of a grid whose stencils are all `plain`.
fn below_plain(plain: [f32; 9]) -> [f32; 9] {
    let fine = Fine { width: 9, height: 9, half: (5, 5), stencil: |_, _| plain };
    fine.galerkin(2, 2)
}

/// The weight with which column (or row) `x` of a grid is interpolated from `parent`.
fn share(x: usize, parent: usize, length: usize) -> f32 {
    parents(x, length).iter().filter(|(p, _)| *p == parent).map(|(_, weight)| weight).sum()
}

/// The columns (or rows) of the coarser grid, of `length`, around column `x` of a finer one,
/// and their weights. Beyond the last one the grid goes on as it ends: only a photo's edge is
/// there.
fn parents(x: usize, length: usize) -> [(usize, f32); 2] {
    let first = x / 2;
    let share = 0.5 * (x % 2) as f32;
    [(first, 1.0 - share), ((first + 1).min(length - 1), share)]
}
