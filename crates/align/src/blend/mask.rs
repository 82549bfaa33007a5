//! Which part of a crop replaces the photo.

use faces::similarity::Similarity;

use super::Error;

/// The crop side for which the constants below are given, in pixels.
const SIDE: f64 = 512.0;
/// Centre of both ellipses: between the reference eyes (method.md §7), and midway between
/// hairline and chin.
const CENTRE: [f64; 2] = [255.5, 266.5];
/// Half axes of the core: ear to ear, hairline to chin of a face on the reference points.
const CORE: [f64; 2] = [180.0, 218.0];
/// The feather's outer edge, as a multiple of the core where the crop has room.
const FEATHER: f64 = 1.11;
/// Half axes beyond which the outer ellipse would leave the crop.
const ROOM: [f64; 2] = [252.0, 242.0];
/// Largest core: room for a feather is left.
const LARGEST: f64 = 0.96;
/// The core reaches at least this far around each landmark: a third of the way from eyes to
/// mouth.
const MARGIN: f64 = 53.0;

/// Two ellipses in a crop: inside the inner one, the core, the photo is replaced; outside the
/// outer one it is kept; between them one fades into the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mask {
    core: [f64; 2],
    outer: [f64; 2],
}

impl Default for Mask {
    /// For a face that lies on the reference points: with a crop of 512 pixels the core covers
    /// columns 76–435 and rows 49–484, the feather 20 to 24 pixels more.
    fn default() -> Self {
        Mask::of_core(CORE)
    }
}

impl Mask {
    /// The default mask, enlarged if need be until its core holds the landmarks (pixels of a
    /// crop of `size` × `size`) and a third of the distance from eyes to mouth around each.
    ///
    /// # Errors
    /// [`Error::Landmark`] when that needs more than the crop.
    pub fn around(landmarks: &[[f64; 2]; 5], size: u32) -> Result<Mask, Error> {
        let unit = SIDE / f64::from(size.max(1));
        let mut growth: f64 = 1.0;
        for &[x, y] in landmarks {
            let farthest = (0..32).map(|k| {
                let (sin, cos) = (f64::from(k) * std::f64::consts::PI / 16.0).sin_cos();
                radius([x * unit + MARGIN * cos, y * unit + MARGIN * sin], CORE)
            });
            let needed = farthest.fold(1.0, f64::max);
            // Not a number compares false.
            if !(0..2).all(|axis| needed * CORE[axis] <= LARGEST * ROOM[axis])
                || !(x + y).is_finite()
            {
                return Err(Error::Landmark { x, y, size });
            }
            growth = growth.max(needed);
        }
        Ok(Mask::of_core(CORE.map(|axis| growth * axis)))
    }

    /// Of each pixel of a crop of `size` × `size`, row by row, whether anything of it is replaced.
    pub fn covers(&self, size: u32) -> Vec<bool> {
        let unit = SIDE / f64::from(size.max(1));
        let at = |k: u32| f64::from(k) * unit;
        (0..size).flat_map(|y| (0..size).map(move |x| self.weight([at(x), at(y)]) > 0.0)).collect()
    }

    fn of_core(core: [f64; 2]) -> Mask {
        let outer = [0, 1].map(|axis| (FEATHER * core[axis]).min(ROOM[axis]));
        Mask { core, outer }
    }

    /// The share of the crop, 0 to 1, in the result at `point` of a crop of [`SIDE`] pixels.
    fn weight(&self, point: [f64; 2]) -> f32 {
        let (inner, outer) = (radius(point, self.core), radius(point, self.outer));
        if inner <= 1.0 {
            return 1.0;
        }
        if outer >= 1.0 {
            return 0.0;
        }
        let t = (1.0 - outer) / ((1.0 - outer) + (inner - 1.0));
        // Smooth at both ends; never 0, which would mean outside.
        (t * t * (3.0 - 2.0 * t)).max(f64::from(f32::MIN_POSITIVE)) as f32
    }

    /// Left, top, right and bottom of a box that holds the mask, in photo pixels.
    pub(crate) fn bounds(&self, to_photo: &Similarity, size: u32) -> [f64; 4] {
        let unit = f64::from(size) / SIDE;
        let centre = CENTRE.map(|x| x * unit);
        let [a, b] = self.outer.map(|axis| axis * unit);
        let place = |x, y| to_photo.apply([x, y]);
        let [x, y] = place(centre[0], centre[1]);
        // An ellipse reaches √(a²c² + b²s²) along an axis that meets its own with c and s.
        let (along, across) = (place(centre[0] + a, centre[1]), place(centre[0], centre[1] + b));
        let width = (along[0] - x).hypot(across[0] - x);
        let height = (along[1] - y).hypot(across[1] - y);
        [x - width, y - height, x + width, y + height]
    }

    pub(super) fn in_photo(&self, to_photo: &Similarity, size: u32) -> Masked {
        Masked { mask: *self, bounds: self.bounds(to_photo, size), back: to_photo.inverse(), size }
    }
}

/// Distance from the centre as a multiple of the ellipse's radius in that direction.
fn radius([x, y]: [f64; 2], [a, b]: [f64; 2]) -> f64 {
    ((x - CENTRE[0]) / a).hypot((y - CENTRE[1]) / b)
}

/// A mask laid over a photo.
pub(super) struct Masked {
    mask: Mask,
    /// Left, top, right and bottom of a box that holds it, in photo pixels.
    pub(super) bounds: [f64; 4],
    back: Similarity,
    size: u32,
}

impl Masked {
    /// As [`Mask::weight`], at a point of the photo.
    pub(super) fn weight(&self, point: [f64; 2]) -> f32 {
        let unit = SIDE / f64::from(self.size);
        self.mask.weight(self.back.apply(point).map(|x| x * unit))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use faces::similarity::reference_points;

    #[test]
    fn the_standard_mask_is_centred_on_the_face_and_stays_in_the_crop() {
        let mask = Mask::default();
        for size in [256, 512, 1024] {
            assert_eq!(Mask::around(&reference_points(size), size).unwrap(), mask);
        }
        let [left, right] = [reference_points(512)[0], reference_points(512)[1]];
        assert!(((left[0] + right[0]) / 2.0 - CENTRE[0]).abs() < 1.0);
        for (axis, &outer) in mask.outer.iter().enumerate() {
            assert!(CENTRE[axis] - outer > 0.0 && CENTRE[axis] + outer < SIDE - 1.0);
        }
        assert_eq!(mask.weight(CENTRE), 1.0);
        // From the centre outwards it only falls.
        let row: Vec<f32> = (0..256).map(|x| mask.weight([255.5 - f64::from(x), 300.0])).collect();
        assert!(row.is_sorted_by(|a, b| a >= b) && row.ends_with(&[0.0]));
        let feather = row.iter().filter(|&&w| w > 0.0 && w < 1.0).count();
        assert!((15..30).contains(&feather), "{feather}");
    }

    #[test]
    fn it_grows_around_landmarks_or_says_that_it_cannot() {
        let mut landmarks = reference_points(512);
        landmarks[0] = [130.0, 200.0];
        let mask = Mask::around(&landmarks, 512).unwrap();
        assert!(mask.core > Mask::default().core);
        assert_eq!(mask.weight([130.0 - 37.0, 200.0 - 37.0]), 1.0);
        assert!(
            (0..2).all(|axis| mask.core[axis] < mask.outer[axis] && mask.outer[axis] <= ROOM[axis])
        );

        for far in [[20.0, 30.0], [f64::NAN, 200.0], [1e300, f64::INFINITY]] {
            landmarks[4] = far;
            let error = Mask::around(&landmarks, 512).unwrap_err();
            assert!(matches!(error, Error::Landmark { size: 512, .. }), "{error}");
        }
    }
}
