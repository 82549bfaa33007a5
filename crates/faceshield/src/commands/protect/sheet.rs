//! The contact sheet: all protected faces on one picture, to look over.

use faces::RgbImage;
use faces::save::Format;
use image::imageops::{self, FilterType};

/// Side of a face on the sheet, and the gap between two, in pixels.
const SIDE: u32 = 128;
const GAP: u32 = 4;
/// Faces in a row.
const COLUMNS: u32 = 8;
/// Faces on a sheet; of more the first are shown.
const MOST: usize = 800;

/// Collects thumbnails of results. It never sees an original, so that it can be shown.
#[derive(Default)]
pub(super) struct Sheet(Vec<RgbImage>);

impl Sheet {
    pub(super) fn add(&mut self, crop: &RgbImage) {
        if self.0.len() < MOST {
            self.0.push(imageops::resize(crop, SIDE, SIDE, FilterType::Triangle));
        }
    }

    /// The sheet as a PNG file; none where there is no face.
    ///
    /// # Errors
    /// It cannot be encoded.
    pub(super) fn png(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let count = self.0.len() as u32;
        if count == 0 {
            return Ok(None);
        }
        let columns = count.min(COLUMNS);
        let step = SIDE + GAP;
        let (width, height) = (columns * step + GAP, count.div_ceil(columns) * step + GAP);
        let mut sheet = RgbImage::from_pixel(width, height, image::Rgb([255; 3]));
        for (k, face) in self.0.iter().enumerate() {
            let k = k as u32;
            let (x, y) = (GAP + k % columns * step, GAP + k / columns * step);
            imageops::replace(&mut sheet, face, i64::from(x), i64::from(y));
        }
        let (source, options) = Default::default();
        Ok(Some(faces::save::encode(&sheet, Format::Png, &source, &options)?.bytes))
    }
}
