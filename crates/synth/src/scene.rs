//! What makes a photo of a person.

use crate::factors::factors;
use crate::random::Stream;

factors! {
    /// A photo's circumstances: everything but the person. Drawn independently of the person and,
    /// up to what is noted, of each other, uniformly.
    Scene {
        /// Degrees the face is turned to the right as seen.
        yaw: -35.0 to 35.0,
        /// Degrees the face is raised.
        pitch: -20.0 to 20.0,
        /// Degrees the head is tilted, clockwise as seen.
        roll: -10.0 to 10.0,
        /// Of the camera from the head, in units of 10 cm.
        distance: 7.0 to 25.0,
        /// Shift to the right, as a share of the picture's side.
        shift_x: -0.02 to 0.02,
        /// Shift down, as a share of the picture's side.
        shift_y: -0.02 to 0.02,
        /// Magnification, against the alignment that training uses.
        zoom: 0.95 to 1.04,
        /// From the corners of the mouth drawn down to a broad smile.
        smile: -0.5 to 1.0,
        /// From closed to wide open; the square of a uniform number.
        mouth_open: 0.0 to 1.0,
        /// From nearly closed to wide open eyes.
        eyes_open: 0.3 to 1.1,
        /// From drawn together and down to raised brows.
        brow_raise: -1.0 to 1.0,
        /// Gaze to the right as seen.
        gaze_x: -1.0 to 1.0,
        /// Gaze upwards.
        gaze_y: -1.0 to 1.0,
        /// Main light from the right as seen (tangent of its direction).
        light_x: -1.3 to 1.3,
        /// Main light from above (tangent of its direction).
        light_y: -0.4 to 1.1,
        /// Share of light that comes from everywhere.
        ambient: 0.22 to 0.6,
        /// Main light from bluish to yellowish.
        warmth: -1.0 to 1.0,
        /// Light from all around from yellowish-red to bluish.
        sky: -1.0 to 1.0,
        /// Gloss of the skin.
        gloss: 0.1 to 1.0,
        /// Which background: below 1 a gradient, below 2 stripes, below 3 spots, below 4 tiles.
        backdrop: 0.0 to 3.9999,
        /// Background's first hue, in turns.
        back_hue: 0.0 to 1.0,
        /// Its saturation.
        back_saturation: 0.0 to 0.5,
        /// Its brightness.
        back_value: 0.1 to 1.0,
        /// Background's second hue, in turns.
        back_hue2: 0.0 to 1.0,
        /// Its saturation.
        back_saturation2: 0.0 to 0.5,
        /// Its brightness.
        back_value2: 0.1 to 1.0,
        /// Pattern's repeats in the picture.
        back_scale: 1.0 to 6.0,
        /// Pattern's direction, in turns.
        back_angle: 0.0 to 1.0,
        /// Pattern's shift, in repeats.
        back_phase: 0.0 to 1.0,
        /// How far out of focus the background is.
        back_blur: 0.05 to 1.0,
        /// Clothes' hue, in turns.
        clothes_hue: 0.0 to 1.0,
        /// Clothes' saturation.
        clothes_saturation: 0.0 to 0.8,
        /// Clothes' brightness.
        clothes_value: 0.08 to 0.95,
        /// From an open neck to a high collar.
        collar: 0.0 to 1.0,
        /// 1 with glasses (one photo in five), else 0.
        glasses: 0.0 to 1.0,
        /// Glasses from square to round.
        glasses_round: 0.0 to 1.0,
        /// From thin to thick frames.
        glasses_thick: 0.0 to 1.0,
        /// From black to light frames.
        glasses_light: 0.0 to 1.0,
        /// Picture's mean brightness, sRGB 0 to 1, that the camera's meter aims at.
        exposure: 0.37 to 0.6,
        /// Error of the camera's white balance: more red (logarithm of the gain).
        tint_red: -0.12 to 0.22,
        /// Error of the camera's white balance: more blue (logarithm of the gain).
        tint_blue: -0.2 to 0.16,
        /// Contrast of the camera's curve.
        contrast: 0.9 to 1.3,
        /// Darker corners.
        vignette: 0.0 to 0.35,
        /// Standard deviation of the blur, in 256ths of the picture's side.
        blur: 0.15 to 0.75,
        /// Standard deviation of the sensor's noise, sRGB levels of 0 to 255.
        noise: 0.5 to 5.0,
        /// Which noise.
        noise_pattern: 0.0 to 1.0,
    }
}

impl Scene {
    /// The scene of photo number `photo` of person number `person` of the population `seed`.
    pub fn draw(seed: u64, person: u32, photo: u32) -> Scene {
        let mut scene = Scene::uniform(&mut Stream::photo(seed, person, photo));
        scene.mouth_open *= scene.mouth_open;
        scene.glasses = if scene.glasses < 0.2 { 1.0 } else { 0.0 };
        scene
    }
}
