//! What makes a person.

use crate::factors::factors;
use crate::random::Stream;

factors! {
    /// A person: 58 numbers from −1 to 1, uniform and independent of each other, each the place
    /// within a range of its own. What is said here is what a larger number means.
    Identity {
        /// Wider head.
        face_width: -1.0 to 1.0,
        /// Longer face below the eyes.
        face_length: -1.0 to 1.0,
        /// Higher skull above the eyes.
        cranium_height: -1.0 to 1.0,
        /// Wider temples and forehead.
        temple_width: -1.0 to 1.0,
        /// More prominent cheekbones.
        cheekbones: -1.0 to 1.0,
        /// Fuller cheeks.
        cheek_fullness: -1.0 to 1.0,
        /// Wider jaw.
        jaw_width: -1.0 to 1.0,
        /// Wider chin.
        chin_width: -1.0 to 1.0,
        /// Longer chin.
        chin_length: -1.0 to 1.0,
        /// Chin further forward.
        chin_forward: -1.0 to 1.0,
        /// Forehead steeper, not receding.
        forehead_slope: -1.0 to 1.0,
        /// Eyes further apart.
        eye_spacing: -1.0 to 1.0,
        /// Eyes higher.
        eye_height: -1.0 to 1.0,
        /// Wider eyes.
        eye_width: -1.0 to 1.0,
        /// Rounder eyes.
        eye_opening: -1.0 to 1.0,
        /// Outer corners of the eyes higher.
        eye_tilt: -1.0 to 1.0,
        /// Eyes deeper in their sockets.
        eye_depth: -1.0 to 1.0,
        /// The fold of the upper lid further from its edge.
        lid_fold: -1.0 to 1.0,
        /// Iris from brown over green to blue.
        iris_hue: -1.0 to 1.0,
        /// Lighter iris.
        iris_light: -1.0 to 1.0,
        /// Larger iris.
        iris_size: -1.0 to 1.0,
        /// Brows further from the eyes.
        brow_height: -1.0 to 1.0,
        /// Thicker brows.
        brow_thickness: -1.0 to 1.0,
        /// Outer ends of the brows higher.
        brow_tilt: -1.0 to 1.0,
        /// Longer brows.
        brow_length: -1.0 to 1.0,
        /// More arched brows.
        brow_arch: -1.0 to 1.0,
        /// Longer nose.
        nose_length: -1.0 to 1.0,
        /// Wider nostrils.
        nose_width: -1.0 to 1.0,
        /// Higher and broader bridge of the nose.
        nose_bridge: -1.0 to 1.0,
        /// Nose further forward.
        nose_forward: -1.0 to 1.0,
        /// A hump on the nose; below 0 a hollow.
        nose_hump: -1.0 to 1.0,
        /// Larger tip of the nose.
        nose_tip: -1.0 to 1.0,
        /// Wider mouth.
        mouth_width: -1.0 to 1.0,
        /// Higher mouth.
        mouth_height: -1.0 to 1.0,
        /// Thicker upper lip.
        upper_lip: -1.0 to 1.0,
        /// Thicker lower lip.
        lower_lip: -1.0 to 1.0,
        /// Redder lips.
        lip_colour: -1.0 to 1.0,
        /// Larger ears.
        ear_size: -1.0 to 1.0,
        /// Ears standing out.
        ear_angle: -1.0 to 1.0,
        /// Lighter skin.
        skin_tone: -1.0 to 1.0,
        /// Yellower skin; below 0 pinker.
        undertone: -1.0 to 1.0,
        /// Redder cheeks.
        cheek_colour: -1.0 to 1.0,
        /// Freckles, above 0.3.
        freckles: -1.0 to 1.0,
        /// Place of a mole, from the left to the right cheek as seen.
        mole_x: -1.0 to 1.0,
        /// Place of the mole, from the chin to the forehead.
        mole_y: -1.0 to 1.0,
        /// Size of the mole, above −0.2.
        mole_size: -1.0 to 1.0,
        /// Older: folds beside nose and mouth, lines on the forehead, grey hair above 0.5.
        age: -1.0 to 1.0,
        /// Lighter hair.
        hair_light: -1.0 to 1.0,
        /// Redder hair.
        hair_red: -1.0 to 1.0,
        /// Hairline higher; bald in front above 0.85.
        hairline: -1.0 to 1.0,
        /// Hair receding at the temples.
        recession: -1.0 to 1.0,
        /// Where the hair is parted, from left to right as seen.
        parting: -1.0 to 1.0,
        /// Fringe further down the forehead, above 0.
        fringe: -1.0 to 1.0,
        /// Longer hair: cropped, to the ears, to the shoulders.
        hair_length: -1.0 to 1.0,
        /// More voluminous hair.
        hair_volume: -1.0 to 1.0,
        /// From straight hair to curls.
        hair_curl: -1.0 to 1.0,
        /// Beard, above 0.3.
        beard: -1.0 to 1.0,
        /// Moustache, above 0.4.
        moustache: -1.0 to 1.0,
    }
}

impl Identity {
    /// Person number `person` of the population `seed`.
    pub fn draw(seed: u64, person: u32) -> Identity {
        Identity::uniform(&mut Stream::person(seed, person))
    }

    /// A number of its own for what is too fine to be a factor: freckles, strands of hair.
    pub(crate) fn grain(&self) -> u64 {
        self.values()
            .iter()
            .fold(0, |state, value| crate::random::scramble(state ^ u64::from(value.to_bits())))
    }
}
