//! The contact sheet: all protected faces on one picture, to look over.

use std::path::Path;

use faces::RgbImage;
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

    /// Writes `DIR/contact_sheet.png`; nothing where there is no face.
    pub(super) fn write(&self, out: &Path) -> anyhow::Result<()> {
        let count = self.0.len() as u32;
        if count == 0 {
            return Ok(());
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
        let path = out.join("contact_sheet.png");
        let options = faces::save::SaveOptions { replace: true, ..Default::default() };
        let (source, inputs) = Default::default();
        faces::save::save(&sheet, &path, &source, &inputs, &options)?;
        Ok(())
    }
}
