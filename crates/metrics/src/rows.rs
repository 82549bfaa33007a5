//! Tables of single-precision numbers: one row per photo.

use crate::Error;
use crate::error::at_least;

/// A table of numbers, row after row: features or embeddings of one photo each.
///
/// # Shapes
/// N rows of `width` numbers, all finite.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    data: &'a [f32],
    width: usize,
}

impl<'a> Rows<'a> {
    /// `data` holds whole rows of `width` numbers.
    ///
    /// # Errors
    /// No row, a row that is not whole, a number that is not finite.
    pub fn new(data: &'a [f32], width: usize) -> Result<Rows<'a>, Error> {
        at_least("numbers in a row", width, 1)?;
        at_least("numbers of a table", data.len(), width)?;
        let whole = data.len() / width * width;
        if whole != data.len() {
            let needed = whole + width;
            return Err(Error::Length { what: "numbers of a table", found: data.len(), needed });
        }
        match data.iter().position(|x| !x.is_finite()) {
            None => Ok(Rows { data, width }),
            Some(place) => Err(Error::NotFinite { what: "row", place: place / width }),
        }
    }

    /// Rows, one or more.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.data.len() / self.width
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Row `k`.
    ///
    /// # Panics
    /// When there are not so many rows.
    pub fn row(&self, k: usize) -> &'a [f32] {
        &self.data[k * self.width..][..self.width]
    }
}

/// Distinct labels in rising order, and each row's place among them.
pub fn places(labels: &[usize]) -> (Vec<usize>, Vec<u32>) {
    let mut distinct = labels.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let place = |label: &usize| distinct.partition_point(|other| other < label) as u32;
    let of_rows = labels.iter().map(place).collect();
    (distinct, of_rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_whole_and_finite() {
        let rows = Rows::new(&[1.0, 2.0, 3.0, 4.0], 2).unwrap();
        assert_eq!((rows.len(), rows.width(), rows.row(1)), (2, 2, [3.0, 4.0].as_slice()));
        let error = |data: &[f32], width| Rows::new(data, width).unwrap_err().to_string();
        assert!(error(&[], 2).starts_with("0 numbers of a table are too few"));
        assert_eq!(error(&[1.0; 5], 2), "5 numbers of a table do not fit: there must be 6");
        assert!(error(&[1.0, 1.0, f32::NAN, 1.0], 2).starts_with("row 1 is or holds a number"));
        assert!(error(&[1.0], 0).starts_with("0 numbers in a row are too few"));
    }

    #[test]
    fn labels_become_places() {
        assert_eq!(places(&[7, 3, 7, 9]), (vec![3, 7, 9], vec![1, 0, 1, 2]));
    }
}
