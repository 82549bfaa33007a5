//! One photo in memory: faces found, made into others, put back.

use std::time::Instant;

use align::blend::{self, Mask};
use align::obscure::{Area, Obscure};
use align::{Detector, Face};
use dpp::{Origin, Randomness};
use faces::RgbImage;
use faces::similarity::{Similarity, warp};

use super::model::cosine;
use super::repaint::Repainter;
use super::report::{FaceReport, Seconds};

/// Side of the crops of methods that need no model.
const SIDE: u32 = 512;

/// How faces are made unrecognisable.
pub(super) enum Method {
    /// Painted anew by the trained model.
    Repaint(Box<Repainter>),
    /// Covered, by what a face's width in pixels asks for.
    Cover(Box<dyn Fn(u32) -> Obscure>),
}

/// A photo in work.
pub(super) struct Done {
    pub(super) photo: RgbImage,
    pub(super) faces: Vec<FaceReport>,
    /// Releases that are shown, each with its face's number, for the ledger.
    pub(super) releases: Vec<(usize, dpp::Release)>,
    /// Crops of the protected faces, for the contact sheet.
    pub(super) crops: Vec<RgbImage>,
}

/// A face that is to be protected, and where it is.
struct Chosen {
    /// Its number in the photo.
    number: usize,
    crop: RgbImage,
    to_crop: Similarity,
    mask: Mask,
}

impl Method {
    fn side(&self) -> u32 {
        match self {
            Self::Repaint(repainter) => repainter.side(),
            Self::Cover(_) => SIDE,
        }
    }
}

/// Protects all faces of `photo`, or the largest one only.
///
/// # Errors
///
/// A face that cannot be aligned, painted or put back: then nothing of the photo may be written.
pub(super) fn protect(
    mut photo: RgbImage,
    detector: &Detector,
    method: &Method,
    randomness: &mut Randomness,
    largest: bool,
    seconds: &mut Seconds,
) -> anyhow::Result<Done> {
    let clock = Instant::now();
    let found = detector.detect(&photo)?;
    seconds.find = clock.elapsed().as_secs_f64();
    let mut faces: Vec<FaceReport> = found.iter().map(report).collect();
    let side = method.side();
    let chosen = choose(&found, largest, &mut faces)
        .into_iter()
        .map(|number| choice(&photo, &found[number], number, side))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut releases = Vec::new();
    match method {
        Method::Repaint(repainter) => {
            let clock = Instant::now();
            let crops: Vec<&RgbImage> = chosen.iter().map(|face| &face.crop).collect();
            let painted = repainter.repaint(&crops, randomness)?;
            seconds.paint = clock.elapsed().as_secs_f64();
            let clock = Instant::now();
            for (face, new) in chosen.iter().zip(&painted) {
                let to_photo = face.to_crop.inverse();
                blend::blend(&mut photo, &new.crop, &to_photo, &face.mask, repainter.blend)?;
            }
            let after: Vec<RgbImage> =
                chosen.iter().map(|face| warp(&photo, &face.to_crop, side)).collect();
            seconds.blend = clock.elapsed().as_secs_f64();
            let clock = Instant::now();
            let after = repainter.embed(&after.iter().collect::<Vec<_>>())?;
            seconds.paint += clock.elapsed().as_secs_f64();
            for ((face, new), after) in chosen.iter().zip(painted).zip(after) {
                let report = &mut faces[face.number];
                report.cosine = Some(cosine(&new.before, &after));
                report.release = Some(new.release.id().to_owned());
                report.guarantee = Some(new.release.claim());
                releases.push((face.number, new.release));
            }
        }
        Method::Cover(cover) => {
            let clock = Instant::now();
            let mut rng = randomness.generator()?;
            for face in &chosen {
                let area = Area::around(&face.mask, &face.to_crop.inverse(), side);
                let obscure = cover(area.width);
                obscure.apply(&mut photo, area, &mut rng)?;
                let seeded = randomness.origin() == Origin::Seed && obscure.is_random();
                let claim = if seeded { Origin::SEED_CLAIM.into() } else { obscure.claim() };
                faces[face.number].guarantee = Some(claim);
            }
            seconds.paint = clock.elapsed().as_secs_f64();
        }
    }
    for face in &chosen {
        faces[face.number].protected = true;
    }
    let crops = chosen.iter().map(|face| warp(&photo, &face.to_crop, side)).collect();
    Ok(Done { photo, faces, releases, crops })
}

fn choice(photo: &RgbImage, face: &Face, number: usize, side: u32) -> anyhow::Result<Chosen> {
    let cut = align::cut(photo, face, side)?;
    let mask = Mask::around(&face.landmarks.map(|point| cut.transform.apply(point)), side)?;
    Ok(Chosen { number, crop: cut.crop, to_crop: cut.transform, mask })
}

/// Numbers of the faces to protect; the others are told why not.
fn choose(found: &[Face], only_largest: bool, faces: &mut [FaceReport]) -> Vec<usize> {
    let width = |i: &usize| found[*i].bounds.width();
    if !only_largest {
        return (0..found.len()).collect();
    }
    let largest = (0..found.len()).max_by(|a, b| width(a).total_cmp(&width(b)));
    for (i, face) in faces.iter_mut().enumerate() {
        if Some(i) != largest {
            face.why = Some("not the largest face, and only that was asked for".into());
        }
    }
    largest.into_iter().collect()
}

fn report(face: &Face) -> FaceReport {
    let bounds = &face.bounds;
    FaceReport {
        bounds: [bounds.left, bounds.top, bounds.right, bounds.bottom],
        landmarks: face.landmarks,
        score: face.score,
        protected: false,
        why: None,
        release: None,
        guarantee: None,
        epsilon_in_all: None,
        cosine: None,
    }
}
