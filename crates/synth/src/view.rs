//! From the head to the picture: turning, perspective, and the alignment of face crops.

use crate::math::{V3, add, minus};
use crate::scene::Scene;

/// What the head turns about: the top of the neck.
const PIVOT: V3 = [0.0, -0.6, -0.2];

/// A turn of space.
#[derive(Clone, Copy)]
pub(crate) struct Turn([V3; 3]);

impl Turn {
    /// Turned to the right as seen by `yaw` and raised by `pitch`, in degrees.
    pub(crate) fn new(yaw: f32, pitch: f32) -> Turn {
        let radians = std::f32::consts::PI / 180.0;
        let (sy, cy) = (libm::sinf(yaw * radians), libm::cosf(yaw * radians));
        let (sp, cp) = (libm::sinf(pitch * radians), libm::cosf(pitch * radians));
        // First raised, then turned.
        Turn([[cy, -sy * sp, sy * cp], [0.0, cp, sp], [-sy, -cy * sp, cy * cp]])
    }

    pub(crate) fn apply(&self, v: V3) -> V3 {
        self.0.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
    }

    pub(crate) fn back(&self, v: V3) -> V3 {
        let m = &self.0;
        [0, 1, 2].map(|c| m[0][c] * v[0] + m[1][c] * v[1] + m[2][c] * v[2])
    }

    /// A point turned about the top of the neck.
    pub(crate) fn place(&self, point: V3) -> V3 {
        add(self.apply(minus(point, PIVOT)), PIVOT)
    }

    /// Undoes [`Turn::place`].
    pub(crate) fn unplace(&self, point: V3) -> V3 {
        add(self.back(minus(point, PIVOT)), PIVOT)
    }
}

/// The way from space (turned heads; units of 10 cm) to the picture (pixels from its corner).
#[derive(Clone, Copy)]
pub(crate) struct View {
    pub(crate) head: Turn,
    pub(crate) body: Turn,
    distance: f32,
    /// Pixels of 10 cm at the origin, turned by the roll: `[s cos, s sin]`.
    scale: [f32; 2],
    /// Picture's place of the optical axis.
    centre: [f32; 2],
}

/// The places of eyes, nose and mouth's corners in an aligned crop of side 1, from its corner
/// (method.md §7), up to half a pixel.
fn reference() -> [[f32; 2]; 5] {
    let place = |x: f32| ((x - 56.0) * 0.85 + 56.0) / 112.0;
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
    .map(|[x, y]| [place(x), place(y)])
}

fn centre(points: &[[f32; 2]; 5]) -> [f32; 2] {
    [0, 1].map(|axis| points.iter().map(|p| p[axis]).sum::<f32>() / 5.0)
}

impl View {
    /// The view in which the five landmarks (in the head's frame) lie as close as possible to
    /// those of an aligned crop of `size` pixels, but for the scene's roll, shift and zoom.
    pub(crate) fn new(scene: &Scene, landmarks: &[V3; 5], size: u32) -> View {
        let size = size as f32;
        let head = Turn::new(scene.yaw, scene.pitch);
        let body = Turn::new(scene.yaw * 0.35, scene.pitch * 0.1);
        let mut view =
            View { head, body, distance: scene.distance, scale: [1.0, 0.0], centre: [0.0; 2] };
        let from = landmarks.map(|point| {
            let [x, y, _] = view.picture(head.place(point));
            [x, y]
        });
        let to = reference();
        let (from_centre, to_centre) = (centre(&from), centre(&to));
        let (mut product, mut square) = (0.0, 0.0);
        for (p, q) in from.iter().zip(&to) {
            for axis in 0..2 {
                let d = p[axis] - from_centre[axis];
                product += d * (q[axis] - to_centre[axis]);
                square += d * d;
            }
        }
        let scale = product / square * scene.zoom * size;
        let roll = scene.roll * std::f32::consts::PI / 180.0;
        view.scale = [scale * libm::cosf(roll), scale * libm::sinf(roll)];
        let turned = view.turned(from_centre);
        view.centre = [
            (to_centre[0] + scene.shift_x) * size + 0.5 - turned[0],
            (to_centre[1] + scene.shift_y) * size + 0.5 - turned[1],
        ];
        view
    }

    fn turned(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        [x * self.scale[0] - y * self.scale[1], x * self.scale[1] + y * self.scale[0]]
    }

    /// Pixels (x to the right, y down, from the picture's corner) and nearness of a point.
    pub(crate) fn picture(&self, point: V3) -> V3 {
        let shrink = self.distance / (self.distance - point[2]);
        let [x, y] = self.turned([point[0] * shrink, -point[1] * shrink]);
        [x + self.centre[0], y + self.centre[1], point[2]]
    }

    /// The line of sight through a pixel: where the camera is, and the direction.
    pub(crate) fn sight(&self, x: f32, y: f32) -> (V3, V3) {
        let (x, y) = (x - self.centre[0], y - self.centre[1]);
        let [c, s] = self.scale;
        let square = c * c + s * s;
        let plane = [(x * c + y * s) / square, -(y * c - x * s) / square];
        ([0.0, 0.0, self.distance], [plane[0], plane[1], -self.distance])
    }

    /// How far on the picture (pixels) a step in space goes, perspective left out.
    pub(crate) fn along(&self, step: V3) -> [f32; 2] {
        self.turned([step[0], -step[1]])
    }

    /// Pixels of 10 cm at the head.
    pub(crate) fn pixels(&self) -> f32 {
        let [c, s] = self.scale;
        (c * c + s * s).sqrt()
    }
}
