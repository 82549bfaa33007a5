//! One photo: faces found, made into others, put back.

use align::blend::{self, Mask};
use align::obscure::{Area, Obscure};
use align::{Detector, Face};
use faces::RgbImage;
use faces::similarity::{Similarity, reference_points, warp};
use rand::Rng;

use super::repaint::Repainter;
use super::report::FaceReport;

/// Side of the crops of methods that need no model.
const SIDE: u32 = 512;

/// How faces are made unrecognisable.
pub(super) enum Method {
    /// Painted anew by the trained model.
    Repaint(Box<Repainter>),
    /// Covered.
    Obscure(Obscure, Box<dyn Rng>),
}

/// Which faces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// The largest one only.
    pub(super) largest: bool,
    /// Faces narrower than this, in pixels, are left alone.
    pub(super) min_face: f64,
}

/// A photo in work.
pub(super) struct Done {
    pub(super) photo: RgbImage,
    pub(super) faces: Vec<FaceReport>,
    /// Releases that are shown, for the ledger.
    pub(super) releases: Vec<dpp::Release>,
    /// Crops of the protected faces, for the contact sheet.
    pub(super) crops: Vec<RgbImage>,
}

impl Method {
    fn side(&self) -> u32 {
        match self {
            Self::Repaint(repainter) => repainter.side(),
            Self::Obscure(..) => SIDE,
        }
    }
}

/// Protects the faces of `photo` that are wanted.
///
/// # Errors
///
/// A face that cannot be aligned, painted or put back: then nothing of the photo may be written.
pub(super) fn protect(
    mut photo: RgbImage,
    detector: &Detector,
    method: &mut Method,
    wanted: Wanted,
) -> anyhow::Result<Done> {
    let found = detector.detect(&photo)?;
    let mut faces: Vec<FaceReport> = found.iter().map(report).collect();
    let chosen = choose(&found, wanted, &mut faces);
    let side = method.side();
    let reference = reference_points(side);
    let mut transforms = Vec::with_capacity(chosen.len());
    for &i in &chosen {
        let transform = Similarity::estimate(&found[i].landmarks, &reference);
        let [x, y] = found[i].bounds.centre();
        transforms.push(transform.ok_or_else(|| {
            anyhow::anyhow!("the landmarks of the face at ({x:.0}, {y:.0}) are one point")
        })?);
    }
    let crops: Vec<RgbImage> = transforms.iter().map(|t| warp(&photo, t, side)).collect();
    let masks = chosen
        .iter()
        .zip(&transforms)
        .map(|(&i, t)| Mask::around(&found[i].landmarks.map(|point| t.apply(point)), side))
        .collect::<Result<Vec<_>, _>>()?;
    let mut releases = Vec::new();
    match method {
        Method::Repaint(repainter) => {
            let before = repainter.embed(&crops)?;
            let painted = repainter.repaint(&crops)?;
            for ((transform, mask), new) in transforms.iter().zip(&masks).zip(&painted) {
                let to_photo = transform.inverse();
                blend::blend(&mut photo, &new.crop, &to_photo, mask, blend::Method::Poisson)?;
            }
            let after: Vec<RgbImage> = transforms.iter().map(|t| warp(&photo, t, side)).collect();
            let after = repainter.embed(&after)?;
            for (k, (&i, new)) in chosen.iter().zip(painted).enumerate() {
                faces[i].cosine = Some(cosine(&before[k], &after[k]));
                faces[i].release = Some(new.release.id().to_owned());
                faces[i].guarantee = Some(new.release.claim());
                releases.push(new.release);
            }
        }
        Method::Obscure(obscure, rng) => {
            for ((transform, mask), &i) in transforms.iter().zip(&masks).zip(&chosen) {
                let area = Area::around(mask, &transform.inverse(), side);
                obscure.apply(&mut photo, area, &mut **rng)?;
                faces[i].guarantee = Some(obscure.claim());
            }
        }
    }
    for &i in &chosen {
        faces[i].protected = true;
    }
    let crops = transforms.iter().map(|t| warp(&photo, t, side)).collect();
    Ok(Done { photo, faces, releases, crops })
}

/// Numbers of the faces to protect; the others are told why not.
fn choose(found: &[Face], wanted: Wanted, faces: &mut [FaceReport]) -> Vec<usize> {
    let largest = (0..found.len())
        .max_by(|&a, &b| found[a].bounds.width().total_cmp(&found[b].bounds.width()));
    let mut chosen = Vec::new();
    for (i, face) in found.iter().enumerate() {
        let width = face.bounds.width();
        if wanted.largest && Some(i) != largest {
            faces[i].why = Some("not the largest face, and only that was asked for".into());
        } else if width < wanted.min_face {
            let min = wanted.min_face;
            faces[i].why = Some(format!("{width:.0} pixels wide, below --min-face {min}"));
        } else {
            chosen.push(i);
        }
    }
    chosen
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
        cosine: None,
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}
