//! What is left of the pictures.

use std::collections::BTreeMap;

use align::blend::Mask;
use faces::RgbImage;
use metrics::Picture;
use rayon::prelude::*;
use serde::Serialize;

use super::attributes::AttributesRead;
use super::finding::Findings;
use super::measure::{Intervals, Measured};

/// Smallest side that a structural similarity is defined for.
const SSIM_SIDE: u32 = 11;

/// What a protection leaves.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Utility {
    /// In dB, of the photos that changed; none where none did.
    pub(super) psnr: Option<Measured>,
    pub(super) ssim: Option<Measured>,
    /// Mean absolute difference, 1 being from black to white, where the face is not.
    pub(super) colour_change_outside: Option<Measured>,
    /// The same where it is.
    pub(super) colour_change_inside: Option<Measured>,
    #[serde(flatten)]
    pub(super) findings: Findings,
    /// R² of what a reader of other people's originals says; of synthetic data alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attributes: Option<AttributesRead>,
}

/// One photo before and after.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compared {
    psnr: Option<f64>,
    ssim: Option<f64>,
    inside: Option<f64>,
    outside: Option<f64>,
}

/// Compares pictures with their originals.
///
/// # Errors
///
/// Pictures of different sizes.
pub(super) fn compare(
    originals: &[RgbImage],
    pictures: &[RgbImage],
) -> Result<Vec<Compared>, metrics::Error> {
    let sides: BTreeMap<u32, Vec<bool>> =
        originals.iter().map(|p| (p.width(), Mask::default().covers(p.width()))).collect();
    let planes = |image: &RgbImage| {
        let (width, height) = image.dimensions();
        Picture::bytes(image.as_raw(), [3, height as usize, width as usize])
    };
    let one = |(original, picture): (&RgbImage, &RgbImage)| {
        let (before, after) = (planes(original)?, planes(picture)?);
        let face = sides.get(&original.width()).map_or(&[][..], Vec::as_slice);
        let change = metrics::colour_change(&before, &after, face)?;
        let small = original.width().min(original.height()) < SSIM_SIDE;
        Ok(Compared {
            psnr: metrics::psnr(&before, &after)?,
            ssim: if small { None } else { Some(metrics::ssim(&before, &after)?) },
            inside: change.inside,
            outside: change.outside,
        })
    };
    originals.par_iter().zip(pictures).map(one).collect()
}

/// # Errors
///
/// Numbers that are not finite.
pub(super) fn summary(
    compared: &[Compared],
    people: &[usize],
    findings: Findings,
    attributes: Option<AttributesRead>,
    intervals: &Intervals,
) -> Result<Utility, metrics::Error> {
    let mean = |of: fn(&Compared) -> Option<f64>| {
        let values: Vec<Option<f64>> = compared.iter().map(of).collect();
        intervals.mean_of_some(&values, people)
    };
    Ok(Utility {
        psnr: mean(|c| c.psnr)?,
        ssim: mean(|c| c.ssim)?,
        colour_change_outside: mean(|c| c.outside)?,
        colour_change_inside: mean(|c| c.inside)?,
        findings,
        attributes,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use image::Rgb;

    #[test]
    fn a_change_of_the_corner_is_outside_the_face() {
        let black = RgbImage::new(64, 64);
        let mut touched = black.clone();
        touched.put_pixel(0, 0, Rgb([255; 3]));
        let compared = compare(&[black.clone(), black], &[touched, RgbImage::new(64, 64)]).unwrap();
        assert!(compared[0].outside.unwrap() > 0.0 && compared[0].inside == Some(0.0));
        assert!(compared[0].psnr.unwrap() > 20.0 && compared[1].psnr.is_none());
        assert_eq!(compared[1].ssim, Some(1.0));
        let intervals = Intervals(metrics::Bootstrap::default());
        let found = Findings::default();
        let summary = summary(&compared, &[0, 1], found, None, &intervals).unwrap();
        // Of one person alone there is no interval.
        assert!(summary.psnr.is_none() && summary.ssim.unwrap().n == 2);
    }
}
