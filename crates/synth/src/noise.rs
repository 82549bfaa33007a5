//! Smooth noise: a pure function of a place and a number.

use crate::math::floor;
use crate::random::scramble;

/// Value noise in 0 to 1 with one lattice point per unit.
pub(crate) fn value(x: f32, y: f32, grain: u64) -> f32 {
    let (ix, iy) = (floor(x), floor(y));
    let (tx, ty) = (x - ix as f32, y - iy as f32);
    let (tx, ty) = (tx * tx * (3.0 - 2.0 * tx), ty * ty * (3.0 - 2.0 * ty));
    let seed = grain as u32;
    let (a, b) = (lattice(ix, iy, seed), lattice(ix + 1, iy, seed));
    let (c, d) = (lattice(ix, iy + 1, seed), lattice(ix + 1, iy + 1, seed));
    let (top, bottom) = (a + (b - a) * tx, c + (d - c) * tx);
    top + (bottom - top) * ty
}

fn lattice(x: i32, y: i32, seed: u32) -> f32 {
    let mut hash =
        (x as u32).wrapping_mul(0x9e37_79b1) ^ (y as u32).wrapping_mul(0x85eb_ca77) ^ seed;
    hash = (hash ^ (hash >> 15)).wrapping_mul(0x2c1b_3c6d);
    hash = (hash ^ (hash >> 12)).wrapping_mul(0x297a_2d39);
    (hash >> 8) as f32 / 16_777_216.0
}

/// A number of 64 bits for a cell of a lattice.
pub(crate) fn cell(x: i32, y: i32, grain: u64) -> u64 {
    scramble(grain ^ ((x as u32 as u64) << 32 | (y as u32 as u64)))
}
