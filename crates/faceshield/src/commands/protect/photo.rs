//! One photo: faces found, made into others, put back.

use align::blend::{self, Mask};
use align::obscure::{Area, Obscure};
use align::{Detector, Face};
use faces::RgbImage;
use faces::similarity::{Similarity, warp};
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

/// Protects all faces of `photo`, or the largest one only.
///
/// # Errors
///
/// A face that cannot be aligned, painted or put back: then nothing of the photo may be written.
pub(super) fn protect(
    mut photo: RgbImage,
    detector: &Detector,
    method: &mut Method,
    largest: bool,
) -> anyhow::Result<Done> {
    let found = detector.detect(&photo)?;
    let mut faces: Vec<FaceReport> = found.iter().map(report).collect();
    let chosen = choose(&found, largest, &mut faces);
    let side = method.side();
    let cuts = chosen
        .iter()
        .map(|&i| align::cut(&photo, &found[i], side))
        .collect::<Result<Vec<_>, _>>()?;
    let (crops, transforms): (Vec<RgbImage>, Vec<Similarity>) =
        cuts.into_iter().map(|cut| (cut.crop, cut.transform)).unzip();
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
        cosine: None,
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}
