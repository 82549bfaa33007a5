//! Where the parts of a face lie, with the expression it makes.
//!
//! Lengths are in units of 10 cm, in the head's frame ([`crate::skull`]), seen from the front.

use crate::identity::Identity;
use crate::math::{hill, step};
use crate::scene::Scene;

/// The parts of a face, seen from the front. Pairs are given for the right one as seen; the left
/// one is its mirror image.
pub(crate) struct Layout {
    pub(crate) eye: [f32; 2],
    /// Half the width of the eye.
    pub(crate) eye_width: f32,
    /// Heights of the lids' edges over and under the eye's centre.
    pub(crate) lid: [f32; 2],
    pub(crate) eye_tilt: f32,
    pub(crate) eye_depth: f32,
    pub(crate) lid_fold: f32,
    pub(crate) iris: f32,
    pub(crate) gaze: [f32; 2],
    /// Centre of the brow.
    pub(crate) brow: [f32; 2],
    pub(crate) brow_length: f32,
    pub(crate) brow_thickness: f32,
    pub(crate) brow_tilt: f32,
    pub(crate) brow_arch: f32,
    /// Heights of the root and the tip of the nose.
    pub(crate) nose: [f32; 2],
    /// How far root and tip of the nose stand out.
    pub(crate) nose_out: [f32; 2],
    /// Half width of the ridge, and distance of the wings from the middle.
    pub(crate) nose_width: [f32; 2],
    pub(crate) nose_hump: f32,
    pub(crate) nose_tip: f32,
    pub(crate) mouth_y: f32,
    /// Half the mouth's width.
    pub(crate) mouth_width: f32,
    /// How far the corners are raised.
    pub(crate) corners: f32,
    /// Height of the opening.
    pub(crate) gap: f32,
    /// Thickness of upper and lower lip.
    pub(crate) lips: [f32; 2],
    pub(crate) smile: f32,
    /// How far the raised or drawn brows fold the forehead.
    pub(crate) frown: f32,
    /// Strength of the folds from nose to mouth.
    pub(crate) fold: f32,
}

/// The mouth's outlines above one place: heights from top to bottom.
pub(crate) struct Outline {
    pub(crate) top: f32,
    pub(crate) upper: f32,
    pub(crate) lower: f32,
    pub(crate) bottom: f32,
}

impl Layout {
    pub(crate) fn new(p: &Identity, s: &Scene) -> Layout {
        let eye = [0.315 + 0.033 * p.eye_spacing, 0.04 * p.eye_height];
        let smile = s.smile.max(0.0);
        let (raise, draw) = (s.brow_raise.max(0.0), (-s.brow_raise).max(0.0));
        let squint = 1.0 - 0.16 * smile;
        let height = 0.075 + 0.019 * p.eye_opening;
        let gap = 0.20 * s.mouth_open;
        // Stretching makes lips thinner.
        let thin = 1.0 - 0.22 * smile - 0.15 * s.mouth_open;
        let age = (p.age + 1.0) / 2.0;
        Layout {
            eye,
            eye_width: 0.157 + 0.02 * p.eye_width,
            lid: [
                height * (0.12 + 0.92 * s.eyes_open * squint),
                height * (0.38 + 0.22 * s.eyes_open),
            ],
            eye_tilt: 0.05 + 0.13 * p.eye_tilt,
            eye_depth: 0.10 + 0.035 * p.eye_depth,
            lid_fold: 0.038 + 0.018 * p.lid_fold,
            iris: 0.066 + 0.006 * p.iris_size,
            gaze: [0.062 * s.gaze_x, 0.026 * s.gaze_y],
            brow: [
                eye[0] + 0.02 - 0.012 * draw,
                eye[1] + 0.195 + 0.035 * p.brow_height + 0.055 * raise - 0.04 * draw,
            ],
            brow_length: 0.175 + 0.03 * p.brow_length,
            brow_thickness: 0.034 + 0.016 * p.brow_thickness,
            brow_tilt: -0.01 + 0.13 * p.brow_tilt + 0.13 * draw,
            brow_arch: 0.045 + 0.03 * p.brow_arch + 0.03 * raise,
            nose: [eye[1] + 0.07, -0.40 - 0.055 * p.nose_length],
            nose_out: [0.075 + 0.035 * p.nose_bridge, 0.285 + 0.065 * p.nose_forward],
            nose_width: [0.15 + 0.02 * p.nose_bridge, 0.145 + 0.035 * p.nose_width + 0.014 * smile],
            nose_hump: 0.045 * p.nose_hump,
            nose_tip: 0.05 + 0.035 * p.nose_tip,
            mouth_y: -0.735 + 0.03 * p.mouth_height - 0.03 * p.nose_length + 0.012 * smile,
            mouth_width: (0.25 + 0.032 * p.mouth_width)
                * (1.0 + 0.2 * s.smile)
                * (1.0 - 0.12 * s.mouth_open),
            corners: 0.085 * s.smile - 0.01,
            gap,
            lips: [(0.062 + 0.024 * p.upper_lip) * thin, (0.082 + 0.028 * p.lower_lip) * thin],
            smile,
            frown: draw + raise,
            fold: 0.25 + 0.6 * age + 0.75 * smile,
        }
    }

    /// The mouth's outlines at `x`; the same height four times outside of the mouth.
    pub(crate) fn outline(&self, x: f32) -> Outline {
        let t = x / self.mouth_width;
        let square = (t * t).min(1.0);
        let line = self.mouth_y + self.corners * square;
        let arch = 1.0 - square;
        // Cupid's bow: a dip in the middle between two peaks.
        let bow = 1.0 - 0.26 * hill((x / 0.07) * (x / 0.07)) * (1.0 - 0.6 * self.smile);
        let upper = line + 0.22 * self.gap * arch;
        let lower = line - 0.78 * self.gap * arch;
        let round = arch.sqrt();
        Outline {
            top: upper + self.lips[0] * (0.45 * round + 0.55 * arch) * bow,
            upper,
            lower,
            bottom: lower - self.lips[1] * (0.35 * round + 0.65 * arch),
        }
    }

    /// How far the open jaw carries a place of the face down.
    pub(crate) fn jaw_drop(&self, x: f32, y: f32) -> f32 {
        let middle = hill((x / 0.95) * (x / 0.95));
        0.78 * self.gap * middle * step(self.mouth_y + 0.01, self.mouth_y - 0.03, y)
    }
}
