//! Hair: where it ends on the head, and the shell it forms.

use crate::identity::Identity;
use crate::math::{V3, hill, lerp, minus, scale, step, unit};
use crate::mesh::Mesh;
use crate::noise::value;
use crate::random::{piece, scramble};
use crate::skull::{Bearing, Skull};
use crate::view::View;

const DEGREES: f32 = 180.0 / std::f32::consts::PI;

/// How hair lies on a head.
pub(crate) struct Hairline {
    front: f32,
    recession: f32,
    fringe: f32,
    /// Where the parting is; degrees.
    parting: f32,
    /// How long the hair at the sides and the back falls: 0 not below the ears, 1 to the shoulders.
    pub(crate) fall: f32,
    /// Thickness of the hair on the skull, as a share of the largest.
    pub(crate) thickness: f32,
    curl: f32,
    grain: u64,
}

impl Hairline {
    pub(crate) fn new(p: &Identity) -> Hairline {
        let bald = p.hairline > 0.85;
        let cropped = step(-0.1, -0.7, p.hair_length);
        Hairline {
            front: if bald { 1.2 } else { 3.45 - 0.5 * p.hairline },
            recession: if bald { 0.0 } else { 0.9 * p.recession.max(0.0) },
            fringe: if bald { 0.0 } else { 1.2 * p.fringe.max(0.0) },
            parting: 42.0 * p.parting,
            fall: ((p.hair_length - 0.1) / 0.9).max(0.0),
            thickness: (0.62 + 0.38 * p.hair_volume) * (1.0 - 0.75 * cropped),
            curl: p.hair_curl.max(0.0),
            grain: p.grain(),
        }
    }

    /// The ring down to which hair grows in a direction (radians).
    pub(crate) fn end(&self, angle: f32) -> f32 {
        let degrees = angle * DEGREES;
        let side = degrees.abs();
        let corner = (side - 36.0) / 22.0;
        let apart = (degrees - self.parting) / 30.0;
        let front = self.front - self.recession * hill(corner * corner)
            + self.fringe * (1.0 - 0.75 * hill(apart * apart)) * step(66.0, 48.0, side);
        let temple = lerp(front, 5.4, step(44.0, 66.0, side));
        let sideburn = lerp(temple, 6.9, step(66.0, 78.0, side));
        lerp(sideburn, 9.2, step(88.0, 120.0, side))
    }

    /// The ring down to which hair grows on both sides of a direction: beyond it lies the border,
    /// where hair is close to the skin.
    fn border(&self, angle: f32) -> f32 {
        const BESIDE: f32 = 0.17;
        self.end(angle).min(self.end(angle - BESIDE)).min(self.end(angle + BESIDE))
    }

    /// The ragged ends of the strands, six a column.
    fn strands(&self, rows: usize, columns: usize) -> Strands {
        let ragged = 0.05 + 0.05 * self.fringe.min(1.0) + 0.03 * self.curl;
        let all = ((rows - 1) << 16) as f32;
        let ends = (0..columns * 6).map(|i| {
            let bits = scramble(self.grain ^ i as u64);
            (all * (1.0 - ragged * piece(bits, 0) * (0.35 + 0.65 * piece(bits, 1)))) as u32
        });
        Strands { ends: ends.collect() }
    }
}

/// What the rasteriser leaves out of a shell: strands are not equally long.
pub(crate) struct Strands {
    /// The row (in 65 536ths) where each of six strands a column ends.
    ends: Vec<u32>,
}

impl Strands {
    /// Column and row in 65 536ths.
    pub(crate) fn keep(&self, u: u32, v: u32) -> bool {
        self.ends.get(((u * 6) >> 16) as usize).is_some_and(|&end| v <= end)
    }
}

/// What is the same for all hair that grows in one direction from the crown.
struct Column {
    bearing: Bearing,
    degrees: f32,
    /// The ring where it ends on the skull, and that where its neighbours do.
    end: f32,
    border: f32,
    /// How far it falls instead: 0 or, in long hair at the sides and the back, up to 1.
    falls: f32,
}

impl Column {
    fn new(line: &Hairline, angle: f32) -> Column {
        let degrees = angle * DEGREES;
        let falls = if line.fall > 0.0 { step(50.0, 68.0, degrees.abs()) } else { 0.0 };
        Column {
            bearing: Bearing::new(angle),
            degrees,
            end: line.end(angle),
            border: line.border(angle),
            falls,
        }
    }
}

/// Builds the shell.
pub(crate) fn build(
    mesh: &mut Mesh,
    skull: &Skull,
    line: &Hairline,
    view: &View,
    detail: f32,
) -> Strands {
    let (rows, half) = ((36.0 * detail) as usize, (48.0 * detail) as i32);
    let columns: Vec<Column> = (-half..=half)
        .map(|c| {
            let t = c as f32 / half as f32;
            // Half a turn to either side, denser in front.
            let angle = std::f32::consts::PI * (0.7 * t + 0.3 * t * t * t);
            Column::new(line, angle)
        })
        .collect();
    mesh.clear(rows, columns.len());
    let lowest = lerp(-0.35, -1.75, line.fall.min(1.0));
    for r in 0..rows {
        let s = r as f32 / (rows - 1) as f32;
        for column in &columns {
            let falls = column.falls;
            let mut place = strand(skull, line, column, s * column.end, s);
            if falls > 0.0 {
                let hanging = hanging(skull, line, column, s, lowest);
                place = [0, 1, 2].map(|axis| lerp(place[axis], hanging[axis], falls));
            }
            let open = 1.0 - 0.45 * falls * step(0.5, 1.0, s);
            let chart = [column.bearing.angle, s * (1.0 + falls)];
            mesh.push(view.head.place(place), chart, open, 0.0);
        }
    }
    mesh.finish(view, true);
    line.strands(rows, columns.len())
}

/// A point of hair that lies on the skull at ring `k`, the share `s` of its length from the crown.
fn strand(skull: &Skull, line: &Hairline, column: &Column, k: f32, s: f32) -> V3 {
    let Column { bearing, degrees, border, .. } = *column;
    let place = skull.ring(k).at(bearing);
    let front = step(75.0, 45.0, degrees.abs());
    // Full on top, flat where it ends in front; a fringe stands off the forehead.
    let tip = lerp(0.55, 0.12 + 0.25 * line.fringe.min(1.0), front);
    let full = lerp(1.0, tip, step(0.45, 1.0, s));
    let groove = (degrees - line.parting) / 9.0;
    let groove = 0.4 * hill(groove * groove) * step(0.05, 0.3, s) * front;
    let wave = line.curl * (value(bearing.angle * 5.0, k * 2.2, line.grain) - 0.5);
    let thickness = 0.02 + 0.2 * line.thickness * full * (1.0 - groove) + 0.09 * wave * full;
    let inside = step(-1.1, 0.5, border - k);
    lifted(place, (thickness * lerp(0.08, 1.0, inside)).max(0.015))
}

/// A point of long hair: on the skull down to the ears, then straight down.
fn hanging(skull: &Skull, line: &Hairline, column: &Column, s: f32, lowest: f32) -> V3 {
    const EARS: f32 = 6.3;
    const SHARE: f32 = 0.5;
    if s < SHARE {
        return strand(skull, line, column, s / SHARE * EARS, 0.5 * s / SHARE);
    }
    let from = strand(skull, line, column, EARS, 0.5);
    let down = (s - SHARE) / (1.0 - SHARE);
    let wave = line.curl * 0.22 * (value(column.bearing.angle * 4.0, down * 4.0, line.grain) - 0.5);
    let spread = 1.0 + 0.05 * down * line.thickness - 0.12 * down * down + wave;
    [from[0] * spread, lerp(from[1], lowest, down), from[2] * (1.0 + wave) - 0.1 * down]
}

fn lifted(place: V3, thickness: f32) -> V3 {
    let out = unit(minus(place, [0.0, 0.1, -0.1]));
    let off = scale(out, thickness);
    [place[0] + off[0], place[1] + off[1], place[2] + off[2]]
}
