//! What a recogniser makes of photos: directions, and whose they are.

use crate::error::{at_least, fits};
use crate::{Error, Rows};

/// Unit vectors of photos of known people: what an attacker compares.
///
/// Two sets speak of the same person by the same label, and of the same photo (before and after
/// protection) by the same photo number.
///
/// # Shapes
/// N rows of `width` numbers, each of length 1; N people; N photos.
#[derive(Clone, Debug)]
pub struct Embeddings {
    width: usize,
    data: Vec<f32>,
    people: Vec<usize>,
    photos: Vec<usize>,
}

impl Embeddings {
    /// Embeddings of any length, scaled to length 1; `people` says whose photo each row is.
    /// Photos are numbered by row: two sets of the same photos in the same order fit.
    ///
    /// # Errors
    /// Not as many labels as rows; a row of length zero.
    pub fn new(rows: Rows<'_>, people: &[usize]) -> Result<Embeddings, Error> {
        fits("people's labels", people.len(), rows.len())?;
        let mut data = Vec::with_capacity(rows.len() * rows.width());
        for k in 0..rows.len() {
            let row = rows.row(k);
            let length = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            if length == 0.0 {
                return Err(Error::NoDirection(k));
            }
            data.extend(row.iter().map(|&x| (f64::from(x) / length) as f32));
        }
        let photos = (0..rows.len()).collect();
        Ok(Embeddings { width: rows.width(), data, people: people.to_vec(), photos })
    }

    /// Numbers the photos: a photo before and after protection has one number.
    ///
    /// # Errors
    /// Not as many numbers as rows.
    pub fn with_photos(mut self, photos: &[usize]) -> Result<Embeddings, Error> {
        fits("photos' numbers", photos.len(), self.len())?;
        self.photos = photos.to_vec();
        Ok(self)
    }

    /// One row per person, by rising label: the direction of the mean of its unit vectors, as a
    /// person with several photos is usually enrolled. Photos are numbered from `usize::MAX`
    /// downwards: none is a photo of another set.
    ///
    /// # Errors
    /// [`Error::NoDirection`] of the row among the means, where a person's vectors cancel.
    pub fn means(&self) -> Result<Embeddings, Error> {
        let (labels, places) = crate::rows::places(&self.people);
        let mut sums = vec![0.0f64; labels.len() * self.width];
        for (k, &place) in places.iter().enumerate() {
            let sum = &mut sums[place as usize * self.width..][..self.width];
            sum.iter_mut().zip(self.row(k)).for_each(|(s, &x)| *s += f64::from(x));
        }
        let sums: Vec<f32> = sums.into_iter().map(|x| x as f32).collect();
        let photos: Vec<usize> = (0..labels.len()).map(|k| usize::MAX - k).collect();
        Embeddings::new(Rows::new(&sums, self.width)?, &labels)?.with_photos(&photos)
    }

    /// Rows, one or more.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Row `k`, of length 1.
    ///
    /// # Panics
    /// When there are not so many rows.
    pub fn row(&self, k: usize) -> &[f32] {
        &self.data[k * self.width..][..self.width]
    }

    /// Whose photo each row is.
    pub fn people(&self) -> &[usize] {
        &self.people
    }

    /// Each row's photo.
    pub fn photos(&self) -> &[usize] {
        &self.photos
    }

    /// Cosine of row `k` with row `j` of another set of the same width, in [−1, 1].
    pub(crate) fn cosine(&self, k: usize, other: &Embeddings, j: usize) -> f32 {
        dot(self.row(k), other.row(j)).clamp(-1.0, 1.0)
    }

    /// Refuses a set of another recogniser.
    pub(crate) fn comparable(&self, other: &Embeddings) -> Result<(), Error> {
        at_least("numbers in an embedding", self.width, 1)?;
        fits("numbers in a gallery's embedding", other.width, self.width)
    }
}

/// Inner product in eight partial sums, always in the same order.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x * y).sum();
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_directions_and_means() {
        let data = [3.0, 0.0, 0.0, 2.0, -5.0, 0.0];
        let set = Embeddings::new(Rows::new(&data, 2).unwrap(), &[4, 4, 1]).unwrap();
        assert_eq!(
            (set.row(0), set.row(1), set.row(2)),
            ([1.0, 0.0].as_slice(), [0.0, 1.0].as_slice(), [-1.0, 0.0].as_slice())
        );
        assert_eq!(set.cosine(0, &set, 2), -1.0);
        let means = set.means().unwrap();
        assert_eq!(means.people(), [1, 4]);
        assert!((means.row(1)[0] - 0.5f32.sqrt()).abs() < 1e-6);
        assert!(means.photos().iter().all(|photo| !set.photos().contains(photo)));
    }

    #[test]
    fn what_has_no_cosine_is_refused() {
        let zero = [1.0, 0.0, 0.0, 0.0];
        let error = Embeddings::new(Rows::new(&zero, 2).unwrap(), &[0, 0]).unwrap_err();
        assert_eq!(error, Error::NoDirection(1));
        let few = Embeddings::new(Rows::new(&[1.0, 1.0], 1).unwrap(), &[0]).unwrap_err();
        assert_eq!(few.to_string(), "1 people's labels do not fit: there must be 2");
        // Opposite photos of one person have no mean.
        let set = Embeddings::new(Rows::new(&[1.0, -1.0], 1).unwrap(), &[0, 0]).unwrap();
        assert_eq!(set.means().unwrap_err(), Error::NoDirection(0));
    }

    #[test]
    fn partial_sums_add_up() {
        let a: Vec<f32> = (0..19).map(|k| k as f32).collect();
        assert_eq!(dot(&a, &a), (0..19).map(|k| (k * k) as f32).sum::<f32>());
    }
}
