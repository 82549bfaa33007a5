//! Squares of the photo, seen by R-Net or O-Net in batches.

use rayon::prelude::*;
use tch::{Device, Kind, TchError, Tensor};

use super::nets::Answer;
use super::octaves::{Frame, Octaves};
use crate::Error;

/// Squares per batch: bounds memory, whatever a photo holds.
const BATCH: usize = 256;

/// What a network says of a frame, in the frame's own unmirrored coordinates (its corner is
/// 0, its side 1).
pub(super) struct Look {
    pub(super) score: f64,
    /// How the face's edges differ from the frame's: left, top, right, bottom.
    pub(super) shift: [f64; 4],
    /// Zeros from a network that gives none.
    pub(super) landmarks: [[f64; 2]; 5],
}

/// Shows every frame, as `n` × `n` pixels, to `network`.
pub(super) fn look(
    octaves: &Octaves,
    frames: &[Frame],
    n: usize,
    device: Device,
    network: impl Fn(&Tensor) -> Result<Answer, TchError>,
) -> Result<Vec<Look>, Error> {
    let mut looks = Vec::with_capacity(frames.len());
    for batch in frames.chunks(BATCH) {
        let mut pixels = vec![0; batch.len() * n * n * 3];
        let crops = pixels.par_chunks_exact_mut(n * n * 3).zip(batch);
        crops.for_each(|(out, frame)| octaves.crop(frame, n, out));
        let x = normalised(&pixels, [batch.len() as i64, n as i64, n as i64], device)?;
        let answer = network(&x)?;
        let (scores, shifts) = (numbers(&answer.face)?, numbers(&answer.bounds)?);
        let landmarks = match &answer.landmarks {
            Some(landmarks) => numbers(landmarks)?,
            None => vec![0.0; batch.len() * 10],
        };
        let each = scores.iter().zip(shifts.chunks_exact(4)).zip(landmarks.chunks_exact(10));
        looks.extend(batch.iter().zip(each).map(|(frame, ((&score, s), l))| {
            let shift = [s[0], s[1], s[2], s[3]];
            let seen = Look { score, shift, landmarks: std::array::from_fn(|k| [l[k], l[k + 5]]) };
            if frame.mirrored { seen.mirrored() } else { seen }
        }));
    }
    Ok(looks)
}

impl Look {
    /// Left and right exchanged, of places and of what is called so.
    fn mirrored(self) -> Look {
        let [left, top, right, bottom] = self.shift;
        let across = |k: usize| [1.0 - self.landmarks[k][0], self.landmarks[k][1]];
        Look {
            score: self.score,
            shift: [-right, top, -left, bottom],
            landmarks: [1, 0, 2, 4, 3].map(across),
        }
    }
}

/// `shape` = images, height, width of RGB bytes, pixel by pixel → images × 3 × height × width,
/// (x − 127.5) / 128.
pub(super) fn normalised(
    pixels: &[u8],
    [images, height, width]: [i64; 3],
    device: Device,
) -> Result<Tensor, TchError> {
    let x = Tensor::f_from_slice(pixels)?.f_view([images, height, width, 3])?;
    let x = x.f_to_device(device)?.f_permute([0, 3, 1, 2])?.f_to_kind(Kind::Float)?;
    x.f_contiguous()?.f_sub_scalar(127.5)?.f_mul_scalar(1.0 / 128.0)
}

/// All elements, in order.
pub(super) fn numbers(tensor: &Tensor) -> Result<Vec<f64>, TchError> {
    let tensor = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
    Vec::try_from(&tensor.f_contiguous()?.f_view([-1])?)
}
