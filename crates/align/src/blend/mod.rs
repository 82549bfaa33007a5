//! Puts a painted face back into its photo (method.md §7, point 4).
//!
//! # What of the original face can be in the result
//!
//! Let *mask* be the ellipse of [`Mask`] in the photo and *core* its inner ellipse, which holds
//! the face with a margin. Between the two the original fades in (the feather).
//!
//! - Outside the mask every pixel stays as it was, bit for bit.
//! - What is put inside is computed from the crop and from photo pixels *outside the mask*
//!   alone: gradients are always the crop's (mixed gradients would carry over the original's
//!   strongest edges), and for pyramids the original's inside is first forgotten, replaced by
//!   the membrane that its surroundings span.
//! - In the core the result is that alone. So two photos that differ only in the core give the
//!   same result, bit for bit, by either method.
//!
//! The surroundings do colour the face near the mask's edge: skin of the neck, hair and light
//! are not identity features that this step protects.

mod coarse;
mod mask;
mod membrane;
mod pyramid;
mod region;
mod resample;

use faces::similarity::Similarity;
use image::RgbImage;

pub use mask::Mask;
pub use membrane::Solved;

use region::Region;
use resample::Painted;

/// Red, green and blue from 0 to 255, not rounded, and one unused lane: a vector register.
type Colour = [f32; 4];

/// How the crop's colours are fitted to the photo's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Method {
    /// The crop's gradients, the photo's colours along the mask's edge (Pérez, Gangnet and
    /// Blake 2003, "Poisson image editing", seamless cloning).
    #[default]
    Poisson,
    /// Coarse detail blended over wide seams, fine detail over narrow ones (Burt and Adelson
    /// 1983, "A multiresolution spline with application to image mosaics"). Keeps more of the
    /// crop's own colours.
    Laplacian,
}

/// Why a face could not be put back.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The painted crop is no square.
    #[error("the painted crop has {0} × {1} pixels: it must be square and not empty")]
    Crop(u32, u32),
    /// No pixel of the photo lies in the mask's core.
    #[error(
        "the face covers no pixel of the photo of {width} × {height} pixels: check the \
         landmarks that the transform was made of"
    )]
    Nothing {
        /// The photo's width.
        width: u32,
        /// The photo's height.
        height: u32,
    },
    /// A landmark lies where the mask cannot reach.
    #[error(
        "a landmark at ({x:.0}, {y:.0}) of the crop of {size} pixels is too near its edge for a \
         mask that covers the face: align the face again, or obscure it instead of repainting it"
    )]
    Landmark {
        /// Column in the crop.
        x: f64,
        /// Row in the crop.
        y: f64,
        /// The crop's side.
        size: u32,
    },
    /// The solver did not reach its tolerance.
    #[error(
        "colours along the mask's edge could not be spread in {cycles} cycles (last change \
         {change} of 255): blend with the Laplacian method, and report the photo's size"
    )]
    NotConverged {
        /// V-cycles made.
        cycles: u32,
        /// Largest change of a value in the last one.
        change: f32,
    },
}

/// Replaces a face of `photo` by the painted `crop`.
///
/// `to_photo` takes crop pixels to photo pixels: the inverse of what the crop was cut with.
/// Only pixels under `mask` change; see the [module](self) for what they can still tell. Faces
/// may be cut by the photo's edge: along it colours are free. Where the mask covers the whole
/// photo there are no surroundings to fit to, and the crop's colours stay.
///
/// Working memory: 60 to 80 bytes for each photo pixel in the box around the mask.
///
/// # Errors
/// [`Error`]; `photo` is then as it was.
pub fn blend(
    photo: &mut RgbImage,
    crop: &RgbImage,
    to_photo: &Similarity,
    mask: &Mask,
    method: Method,
) -> Result<Solved, Error> {
    if crop.width() != crop.height() || crop.width() == 0 {
        return Err(Error::Crop(crop.width(), crop.height()));
    }
    let painted = Painted::new(crop, to_photo);
    let nothing = Error::Nothing { width: photo.width(), height: photo.height() };
    let masked = mask.in_photo(to_photo, crop.width());
    let Some(region) = Region::of(photo.dimensions(), &masked) else { return Err(nothing) };
    if !region.unknown().any(|(x, y)| masked.weight(region.in_photo(x, y)) >= 1.0) {
        return Err(nothing);
    }
    let crop_colours = region.map(|at| painted.at(at));
    let (colours, solved) = match method {
        Method::Poisson => poisson(photo, &region, crop_colours)?,
        Method::Laplacian => {
            let weights = region.map(|at| masked.weight(at));
            laplacian(photo, &region, crop_colours, weights)?
        }
    };
    for (x, y) in region.unknown() {
        let [left, top] = region.in_photo(x, y);
        let weight = masked.weight([left, top]);
        let pixel = photo.get_pixel_mut(left as u32, top as u32);
        let new = colours[region.index(x, y)];
        for (old, new) in pixel.0.iter_mut().zip(new) {
            let mixed = weight * new + (1.0 - weight) * f32::from(*old);
            *old = mixed.round().clamp(0.0, 255.0) as u8;
        }
    }
    Ok(solved)
}

/// The crop plus the membrane spanned by what the photo differs from it along the edge: the
/// function with the crop's gradients and the photo's edge, found as the solution of a
/// homogeneous problem.
fn poisson(
    photo: &RgbImage,
    region: &Region,
    mut crop: Vec<Colour>,
) -> Result<(Vec<Colour>, Solved), Error> {
    let mut difference = photo_colours(photo, region);
    for (difference, crop) in difference.iter_mut().zip(&crop) {
        *difference = std::array::from_fn(|c| difference[c] - crop[c]);
    }
    forget_inside(&mut difference, region);
    let solved = membrane::span(&mut difference, region)?;
    for (crop, difference) in crop.iter_mut().zip(&difference) {
        *crop = std::array::from_fn(|c| crop[c] + difference[c]);
    }
    Ok((crop, solved))
}

fn laplacian(
    photo: &RgbImage,
    region: &Region,
    crop: Vec<Colour>,
    weights: Vec<f32>,
) -> Result<(Vec<Colour>, Solved), Error> {
    if region.is_everything() {
        return Ok((crop, Solved::default()));
    }
    let mut surroundings = photo_colours(photo, region);
    forget_inside(&mut surroundings, region);
    let solved = membrane::span(&mut surroundings, region)?;
    pyramid::blend(&mut surroundings, crop, weights, region.width);
    Ok((surroundings, solved))
}

/// The photo's colours in the region's box.
fn photo_colours(photo: &RgbImage, region: &Region) -> Vec<Colour> {
    region.map(|[x, y]| {
        let [red, green, blue] = photo.get_pixel(x as u32, y as u32).0.map(f32::from);
        [red, green, blue, 0.0]
    })
}

/// Nothing that lies inside the mask may reach a solver, be it as a first guess.
fn forget_inside(colours: &mut [Colour], region: &Region) {
    for (x, y) in region.unknown() {
        colours[region.index(x, y)] = [0.0; 4];
    }
}

#[cfg(test)]
mod tests;
