//! MTCNN: three small networks, each of which looks closer at what the one before let
//! through, and a last look at every face from several sides.

mod looks;
mod nets;
mod octaves;
mod sheets;

use std::path::Path;

use image::RgbImage;
use tch::{Device, Tensor};

use crate::bounds::{Bounds, Overlap, Scored, best};
use crate::{Error, Face};
use looks::{Look, look, normalised, numbers};
use nets::{Output, Proposal, Refine};
use octaves::{Frame, Octaves};
use sheets::Sheet;

/// Each level of the pyramid is smaller than the one before by this (Zhang et al. 2016: half
/// the area).
const FACTOR: f64 = 0.709;
/// What P-, R- and O-Net let through. Low: what they say of one window depends much on where
/// exactly it lies; [`VIEWS`] decide.
const LET_THROUGH: [f64; 3] = [0.6, 0.6, 0.5];
/// The last look: shift in x and y and scale, each also in the mirror. A face stays one when
/// the window moves a little, what looks like one by chance does not: on the demo's photos the
/// mean is at least 0.69 for faces and at most 0.43 for everything else. Landmarks, too, are
/// better averaged.
const VIEWS: [[f64; 3]; 8] = [
    [-0.05, -0.05, 0.95],
    [0.05, -0.05, 0.95],
    [-0.05, 0.05, 0.95],
    [0.05, 0.05, 0.95],
    [-0.05, -0.05, 1.08],
    [0.05, -0.05, 1.08],
    [-0.05, 0.05, 1.08],
    [0.05, 0.05, 1.08],
];

/// What counts as a face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectorConfig {
    /// Side of the smallest face that is looked for, in pixels, at least 12. Time grows with
    /// its inverse square.
    pub min_face: f64,
    /// Smallest `score` of a [`Face`], 0 to 1. Lower finds more, among it things that are no faces.
    pub threshold: f64,
}

impl Default for DetectorConfig {
    fn default() -> DetectorConfig {
        DetectorConfig { min_face: 20.0, threshold: 0.6 }
    }
}

impl DetectorConfig {
    fn check(&self) -> Result<(), Error> {
        let wrong = |key, value, expected| Err(Error::Option { key, value, expected });
        if !(self.min_face >= 12.0 && self.min_face.is_finite()) {
            return wrong("min_face", self.min_face, "at least 12 pixels");
        }
        if !(0.0..=1.0).contains(&self.threshold) {
            return wrong("threshold", self.threshold, "from 0 to 1");
        }
        Ok(())
    }
}

/// Finds faces in photos.
pub struct Detector {
    proposal: Proposal,
    refine: Refine,
    output: Output,
    config: DetectorConfig,
    device: Device,
}

impl Detector {
    /// Reads `pnet.pt`, `rnet.pt` and `onet.pt` of the folder `weights` onto `device`.
    ///
    /// # Errors
    /// [`Error::Option`]; [`Error::Weights`] when a file is missing or does not fit.
    pub fn load(weights: &Path, config: DetectorConfig, device: Device) -> Result<Detector, Error> {
        config.check()?;
        Ok(Detector {
            proposal: Proposal::load(&weights.join("pnet.pt"), device)?,
            refine: Refine::load(&weights.join("rnet.pt"), device)?,
            output: Output::load(&weights.join("onet.pt"), device)?,
            config,
            device,
        })
    }

    /// All faces of `photo` (upright, as [`faces::read_photo`] gives it), from left to right.
    ///
    /// Beside the photo it takes a third of its memory again, and some 200 MB at most for the
    /// networks, however large the photo is.
    ///
    /// # Errors
    /// [`Error::Torch`], [`Error::Resize`]: mostly for lack of memory.
    pub fn detect(&self, photo: &RgbImage) -> Result<Vec<Face>, Error> {
        let _guard = tch::no_grad_guard();
        let octaves = Octaves::new(photo).map_err(|e| Error::Resize(e.to_string()))?;
        let windows = self.propose(&octaves)?;
        let windows = self.refine(&octaves, &windows)?;
        let windows = self.output(&octaves, &windows)?;
        let mut faces = self.last_look(&octaves, &windows)?;
        faces.sort_by(|a, b| a.bounds.left.total_cmp(&b.bounds.left));
        Ok(faces)
    }

    /// P-Net over the whole pyramid.
    fn propose(&self, octaves: &Octaves) -> Result<Vec<Window>, Error> {
        let size = [octaves.width(), octaves.height()];
        let mut windows = Vec::new();
        for sheet in sheets::plan(size, self.config.min_face, FACTOR) {
            windows.extend(self.windows(&sheet, octaves, size)?);
        }
        Ok(windows)
    }

    /// What P-Net finds on one sheet, the best of each level.
    fn windows(
        &self,
        sheet: &Sheet,
        octaves: &Octaves,
        photo: [u32; 2],
    ) -> Result<Vec<Window>, Error> {
        let drawn = sheet.draw(octaves).map_err(|e| Error::Resize(e.to_string()))?;
        let [width, height] = sheet.size.map(i64::from);
        let x = normalised(drawn.as_raw(), [1, height, width], self.device)?;
        let answer = self.proposal.forward(&x)?;
        let face = answer.face.f_select(0, 0)?;
        let cells = face.f_ge(LET_THROUGH[0])?.f_nonzero()?;
        let at = [cells.f_select(1, 0)?, cells.f_select(1, 1)?].map(Some);
        let scores = numbers(&face.f_index(&at)?)?;
        let shifts = answer.bounds.f_select(0, 0)?.f_permute([1, 2, 0])?;
        let shifts = numbers(&shifts.f_index(&at)?)?;
        let cells = Vec::<i64>::try_from(&cells.f_to_device(Device::Cpu)?.f_flatten(0, -1)?)?;

        let mut strips: Vec<Vec<Window>> = sheet.strips.iter().map(|_| Vec::new()).collect();
        let found = cells.chunks_exact(2).zip(&scores).zip(shifts.chunks_exact(4));
        for ((cell, &score), shift) in found {
            let Some((strip, bounds)) = sheet.window([cell[1] as u32, cell[0] as u32], photo)
            else {
                continue;
            };
            let shift = [shift[0], shift[1], shift[2], shift[3]];
            strips[strip].push(Window { seen: bounds.into(), score, shift });
        }
        let best = |windows| best(windows, 0.5, Overlap::Union);
        Ok(strips.into_iter().flat_map(best).collect())
    }

    /// R-Net on what P-Net let through.
    fn refine(&self, octaves: &Octaves, windows: &[Window]) -> Result<Vec<Window>, Error> {
        let frames: Vec<Frame> = windows.iter().map(|w| square(&w.moved())).collect();
        let looks = look(octaves, &frames, 24, self.device, |x| self.refine.forward(x))?;
        Ok(best(kept(&frames, &looks, LET_THROUGH[1]), 0.7, Overlap::Union))
    }

    /// O-Net on what R-Net let through.
    fn output(&self, octaves: &Octaves, windows: &[Window]) -> Result<Vec<Window>, Error> {
        let frames: Vec<Frame> = windows.iter().map(|w| square(&w.moved())).collect();
        let looks = self.closer(octaves, &frames)?;
        Ok(best(kept(&frames, &looks, LET_THROUGH[2]), 0.7, Overlap::Smaller))
    }

    /// O-Net on every view of what is left: their mean decides.
    fn last_look(&self, octaves: &Octaves, windows: &[Window]) -> Result<Vec<Face>, Error> {
        let views = |window: &Window| {
            let Frame { centre: [x, y], side, .. } = square(&window.moved());
            VIEWS.into_iter().flat_map(move |[dx, dy, scale]| {
                let centre = [x + dx * side, y + dy * side];
                [false, true].map(|mirrored| Frame { centre, side: side * scale, mirrored })
            })
        };
        let frames: Vec<Frame> = windows.iter().flat_map(views).collect();
        let looks = self.closer(octaves, &frames)?;
        let each = 2 * VIEWS.len();
        let faces = frames.chunks(each).zip(looks.chunks(each)).map(|(f, l)| mean(f, l));
        let faces = faces.filter(|face| face.score >= self.config.threshold).collect();
        Ok(best(faces, 0.7, Overlap::Smaller))
    }

    fn closer(&self, octaves: &Octaves, frames: &[Frame]) -> Result<Vec<Look>, Error> {
        look(octaves, frames, 48, self.device, |x: &Tensor| self.output.forward(x))
    }
}

/// What a network let through.
struct Window {
    /// Where it looked.
    seen: Bounds,
    score: f64,
    /// How it would move the edges, in widths and heights.
    shift: [f64; 4],
}

impl Window {
    /// Where it saw the face.
    fn moved(&self) -> Bounds {
        self.seen.shifted(self.shift)
    }
}

impl Scored for Window {
    /// Windows compete as they were looked at: one that moves onto a better one does not
    /// vanish for that, and O-Net sees both.
    fn bounds(&self) -> &Bounds {
        &self.seen
    }

    fn score(&self) -> f64 {
        self.score
    }
}

impl Scored for Face {
    fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    fn score(&self) -> f64 {
        self.score
    }
}

fn kept(frames: &[Frame], looks: &[Look], threshold: f64) -> Vec<Window> {
    let both = frames.iter().zip(looks).filter(|(_, look)| look.score >= threshold);
    both.map(|(f, l)| Window { seen: f.bounds(), score: l.score, shift: l.shift }).collect()
}

/// The mean of several looks at one face.
fn mean(frames: &[Frame], looks: &[Look]) -> Face {
    let share = 1.0 / frames.len() as f64;
    let (mut bounds, mut landmarks, mut score) = ([0.0; 4], [[0.0; 2]; 5], 0.0);
    for (frame, look) in frames.iter().zip(looks) {
        score += share * look.score;
        let seen = <[f64; 4]>::from(frame.bounds().shifted(look.shift));
        bounds.iter_mut().zip(seen).for_each(|(sum, x)| *sum += share * x);
        for (sum, point) in landmarks.iter_mut().zip(look.landmarks) {
            let [x, y] = frame.to_photo(point);
            *sum = [sum[0] + share * x, sum[1] + share * y];
        }
    }
    Face { bounds: bounds.into(), landmarks, score }
}

/// The square around the middle of `bounds` that holds it.
fn square(bounds: &Bounds) -> Frame {
    let side = bounds.width().max(bounds.height());
    Frame { centre: bounds.centre(), side, mirrored: false }
}
