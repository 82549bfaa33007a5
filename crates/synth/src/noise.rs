//! Smooth noise: a pure function of a place and a number.

use crate::math::floor;
use crate::random::scramble;

/// Side of the table of lattice points; the noise repeats after as many units.
const SIDE: usize = 64;

/// Lattice points, 0 to 65 535. Four reads are cheaper than four hashes.
static TABLE: [u16; SIDE * SIDE] = {
    let mut table = [0; SIDE * SIDE];
    let mut i = 0;
    while i < table.len() {
        table[i] = (scramble(i as u64) >> 48) as u16;
        i += 1;
    }
    table
};

/// Value noise in 0 to 1 with one lattice point per unit; `grain` shifts it by whole units.
pub(crate) fn value(x: f32, y: f32, grain: u64) -> f32 {
    let (ix, iy) = (floor(x), floor(y));
    let (tx, ty) = (x - ix as f32, y - iy as f32);
    let (tx, ty) = (tx * tx * (3.0 - 2.0 * tx), ty * ty * (3.0 - 2.0 * ty));
    let shift = (grain as u32).wrapping_mul(0x9e37_79b1);
    let wrap = |i: i32, shift: u32| (i as u32).wrapping_add(shift) as usize % SIDE;
    let (left, right) = (wrap(ix, shift >> 26), wrap(ix, (shift >> 26) + 1));
    let (up, down) = (wrap(iy, shift >> 20), wrap(iy, (shift >> 20) + 1));
    let at = |row: usize, column: usize| f32::from(TABLE[row * SIDE + column]);
    let (a, b) = (at(up, left), at(up, right));
    let (c, d) = (at(down, left), at(down, right));
    let (top, bottom) = (a + (b - a) * tx, c + (d - c) * tx);
    (top + (bottom - top) * ty) * (1.0 / 65_535.0)
}

/// A number of 64 bits for a cell of a lattice.
pub(crate) fn cell(x: i32, y: i32, grain: u64) -> u64 {
    scramble(grain ^ ((x as u32 as u64) << 32 | (y as u32 as u64)))
}
