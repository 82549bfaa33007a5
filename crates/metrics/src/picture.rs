//! Pictures to compare, and the measures that need no window: PSNR and change of colour.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::{at_least, fits};

/// A picture as planes of numbers, 0 black to 1 white.
///
/// # Shapes
/// [C, H, W].
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    pub(crate) data: Vec<f32>,
    /// Channels, height, width.
    pub(crate) shape: [usize; 3],
}

impl Picture {
    /// Of planes, 0 to 1 (what goes beyond is kept: it counts as an error of that size).
    ///
    /// # Shapes
    /// `data` [C, H, W].
    ///
    /// # Errors
    /// Another number of numbers, none, or one that is not finite.
    pub fn planes(data: &[f32], shape: [usize; 3]) -> Result<Picture, Error> {
        let size = shape.iter().try_fold(1usize, |size, &n| size.checked_mul(n));
        at_least("numbers of a picture", data.len(), 1)?;
        fits("numbers of a picture", data.len(), size.unwrap_or(usize::MAX))?;
        match data.iter().position(|x| !x.is_finite()) {
            None => Ok(Picture { data: data.to_vec(), shape }),
            Some(place) => Err(Error::NotFinite { what: "number of a picture", place }),
        }
    }

    /// Of interleaved 8-bit channels, 255 being white: what image files hold.
    ///
    /// # Shapes
    /// `data` [H, W, C] → [C, H, W].
    ///
    /// # Errors
    /// Another number of bytes, or none.
    pub fn bytes(data: &[u8], [channels, height, width]: [usize; 3]) -> Result<Picture, Error> {
        let plane = |c: usize| data.iter().skip(c).step_by(channels.max(1));
        let planes = (0..channels).flat_map(plane).map(|&x| f32::from(x) / 255.0);
        Picture::planes(&planes.collect::<Vec<_>>(), [channels, height, width])
    }

    /// [C, H, W].
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Refuses pictures of different shapes.
    pub(crate) fn comparable(&self, other: &Picture) -> Result<(), Error> {
        let [channels, height, width] = self.shape;
        fits("channels of the second picture", other.shape[0], channels)?;
        fits("lines of the second picture", other.shape[1], height)?;
        fits("columns of the second picture", other.shape[2], width)
    }
}

/// Peak signal-to-noise ratio, 10 times the logarithm of one over the mean squared error over all
/// channels, in dB; the peak is 1. About 20 is a rough copy, above 40 no difference is seen.
/// Nothing for equal pictures, whose ratio is infinite (JSON's `null`).
///
/// # Errors
/// Pictures of different shapes.
pub fn psnr(a: &Picture, b: &Picture) -> Result<Option<f64>, Error> {
    a.comparable(b)?;
    let squares = a.data.iter().zip(&b.data).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2));
    let error = squares.sum::<f64>() / a.data.len() as f64;
    Ok((error > 0.0).then(|| -10.0 * error.log10()))
}

/// How much colours changed, inside a mask and outside of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Mean absolute difference inside, 0 to 1; none where nothing lies inside.
    pub inside: Option<f64>,
    /// Mean absolute difference outside; none where nothing lies outside.
    pub outside: Option<f64>,
}

/// The mean absolute difference over channels and pixels, 1 being from black to white: how much
/// of the picture beside the face was touched.
///
/// # Shapes
/// `mask` [H, W], true inside.
///
/// # Errors
/// Pictures of different shapes, a mask of another size.
pub fn colour_change(a: &Picture, b: &Picture, mask: &[bool]) -> Result<Change, Error> {
    a.comparable(b)?;
    let [_, height, width] = a.shape;
    fits("pixels of the mask", mask.len(), height * width)?;
    let mut sums = [(0.0, 0usize); 2];
    for (a, b) in a.data.chunks_exact(mask.len()).zip(b.data.chunks_exact(mask.len())) {
        for ((&x, &y), &inside) in a.iter().zip(b).zip(mask) {
            let (sum, count) = &mut sums[usize::from(inside)];
            *sum += (f64::from(x) - f64::from(y)).abs();
            *count += 1;
        }
    }
    let [outside, inside] = sums.map(|(sum, count)| (count > 0).then(|| sum / count as f64));
    Ok(Change { inside, outside })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(level: f32) -> Picture {
        Picture::planes(&[level; 24], [3, 2, 4]).unwrap()
    }

    #[test]
    fn known_ratios() {
        assert!((psnr(&flat(0.5), &flat(0.4)).unwrap().unwrap() - 20.0).abs() < 1e-5);
        assert_eq!(psnr(&flat(0.5), &flat(0.5)).unwrap(), None);
        // One level of 255 everywhere: 20 lg 255.
        let (a, b) = (Picture::bytes(&[7; 12], [3, 2, 2]), Picture::bytes(&[8; 12], [3, 2, 2]));
        let ratio = psnr(&a.unwrap(), &b.unwrap()).unwrap().unwrap();
        assert!((ratio - 48.130_803_608_679_1).abs() < 1e-4);
        assert_eq!(serde_json::to_string(&psnr(&flat(0.1), &flat(0.1)).unwrap()).unwrap(), "null");
    }

    #[test]
    fn bytes_become_planes() {
        let picture = Picture::bytes(&[0, 51, 102, 153, 204, 255], [3, 1, 2]).unwrap();
        assert_eq!(picture.data, [0.0, 0.6, 0.2, 0.8, 0.4, 1.0]);
        assert_eq!(picture.shape(), [3, 1, 2]);
    }

    #[test]
    fn change_on_both_sides_of_a_mask() {
        let mut other = flat(0.5);
        // The second column of the first line, in the blue plane.
        other.data[17] = 0.8;
        let mut mask = [false; 8];
        mask[1] = true;
        let change = colour_change(&flat(0.5), &other, &mask).unwrap();
        assert!((change.inside.unwrap() - 0.1).abs() < 1e-7);
        assert_eq!(change.outside, Some(0.0));
        let all = colour_change(&flat(0.5), &other, &[true; 8]).unwrap();
        assert!((all.inside.unwrap() - 0.3 / 24.0).abs() < 1e-7 && all.outside.is_none());
    }

    #[test]
    fn pictures_that_cannot_be_compared_are_refused() {
        let message = |result: Result<Picture, Error>| result.unwrap_err().to_string();
        assert!(message(Picture::planes(&[0.0; 5], [1, 2, 3])).contains("there must be 6"));
        assert!(message(Picture::planes(&[], [0, 2, 3])).contains("too few"));
        assert!(message(Picture::planes(&[f32::NAN], [1, 1, 1])).contains("not finite"));
        assert!(Picture::bytes(&[0; 5], [3, 1, 2]).is_err());
        assert!(Picture::planes(&[0.0; 4], [usize::MAX, 2, 2]).is_err());
        let wide = Picture::planes(&[0.5; 24], [3, 4, 2]).unwrap();
        let error = psnr(&flat(0.5), &wide).unwrap_err().to_string();
        assert_eq!(error, "4 lines of the second picture do not fit: there must be 2");
        assert!(colour_change(&flat(0.5), &flat(0.5), &[true; 7]).is_err());
    }
}
