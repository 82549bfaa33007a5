//! The head without a face: rings from the crown to below the chin.
//!
//! Lengths are in units of 10 cm. The origin lies between the eyes' mean places, inside the head;
//! x to the right as seen from the front, y up, z to the viewer.

use crate::identity::Identity;
use crate::math::{V3, power, spline, step};

/// Rings that are given; those between follow by splines.
const RINGS: usize = 14;

/// The last ring, a point below the chin.
pub(crate) const BOTTOM: f32 = (RINGS - 1) as f32;

/// The cross-sections' exponent: 2 is an ellipse, more is squarer.
const SQUARENESS: f32 = 2.3;

/// Mean head: height, half width, and z of front, side and back, of each ring.
const MEAN: [[f32; 5]; RINGS] = [
    [1.20, 0.00, -0.05, -0.05, -0.05],
    [1.17, 0.26, 0.25, -0.05, -0.38],
    [1.06, 0.46, 0.48, -0.05, -0.66],
    [0.84, 0.615, 0.68, -0.05, -0.88],
    [0.55, 0.70, 0.79, -0.05, -0.98],
    [0.25, 0.72, 0.83, -0.05, -1.00],
    [0.00, 0.715, 0.80, -0.05, -0.98],
    [-0.25, 0.71, 0.79, -0.03, -0.90],
    [-0.50, 0.68, 0.79, 0.00, -0.75],
    [-0.72, 0.625, 0.79, 0.03, -0.60],
    [-0.92, 0.54, 0.77, 0.08, -0.45],
    [-1.08, 0.41, 0.73, 0.15, -0.30],
    [-1.165, 0.23, 0.62, 0.22, -0.05],
    [-1.18, 0.00, 0.35, 0.35, 0.35],
];

/// A person's rings.
pub(crate) struct Skull {
    columns: [[f32; RINGS]; 5],
}

/// One horizontal cut through the head, its back tilted upwards below the eyes.
#[derive(Clone, Copy)]
pub(crate) struct Ring {
    y: f32,
    width: f32,
    front: f32,
    side: f32,
    back: f32,
    tilt: f32,
}

/// A direction around the head.
#[derive(Clone, Copy)]
pub(crate) struct Bearing {
    /// 0 in front, positive to the right as seen; radians.
    pub(crate) angle: f32,
    x: f32,
    z: f32,
    cosine: f32,
}

impl Bearing {
    pub(crate) fn new(angle: f32) -> Bearing {
        let (sine, cosine) = (libm::sinf(angle), libm::cosf(angle));
        let squarer = |v: f32| power(v.abs(), 2.0 / SQUARENESS) * if v < 0.0 { -1.0 } else { 1.0 };
        Bearing { angle, x: squarer(sine), z: squarer(cosine), cosine }
    }
}

impl Skull {
    pub(crate) fn new(person: &Identity) -> Skull {
        let mut columns = [[0.0; RINGS]; 5];
        for (ring, mean) in MEAN.iter().enumerate() {
            let [mut y, mut width, mut front, side, back] = *mean;
            let below = step(0.1, -0.9, y);
            let near = |centre: f32, reach: f32| {
                let t = (mean[0] - centre) / reach;
                (1.0 - t * t).max(0.0)
            };
            y *= if y > 0.0 {
                1.0 + 0.07 * person.cranium_height
            } else {
                1.0 + 0.065 * person.face_length
            };
            y -= 0.075 * person.chin_length * step(-0.85, -1.1, mean[0]);
            width *= 1.0 + 0.075 * person.face_width;
            width *= 1.0 + 0.075 * person.temple_width * near(0.55, 0.6);
            width *= 1.0 + 0.045 * person.cheek_fullness * near(-0.45, 0.4);
            width *= 1.0 + 0.17 * person.jaw_width * near(-0.85, 0.42);
            width *= 1.0 + 0.26 * person.chin_width * step(-0.9, -1.1, mean[0]);
            front += 0.085 * person.chin_forward * below * step(-0.75, -1.05, mean[0]);
            front += 0.06 * person.forehead_slope * near(0.75, 0.45);
            for (column, value) in columns.iter_mut().zip([y, width, front, side, back]) {
                column[ring] = value;
            }
        }
        Skull { columns }
    }

    /// The ring at `k`, from 0, the crown, to [`BOTTOM`].
    pub(crate) fn ring(&self, k: f32) -> Ring {
        let [y, width, front, side, back] = [0, 1, 2, 3, 4].map(|c| spline(&self.columns[c], k));
        let width = width.max(0.0);
        let tilt = 0.38 * (-0.3 - y).max(0.0) * (width / 0.37).min(1.0);
        Ring { y, width, front, side, back, tilt }
    }
}

impl Ring {
    /// The ring's point in that direction.
    pub(crate) fn at(&self, bearing: Bearing) -> V3 {
        let reach = if bearing.z > 0.0 { self.front - self.side } else { self.side - self.back };
        [
            self.width * bearing.x,
            self.y + self.tilt * (1.0 - bearing.cosine),
            self.side + reach * bearing.z,
        ]
    }
}
