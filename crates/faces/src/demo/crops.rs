//! Crops of the faces, and the note that says they are complete.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::Path;

use image::ImageFormat;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::table::{Face, Photos, Table};
use super::{DemoError, DemoReport};
use crate::packages::{File, cached, write_whole};
use crate::read_photo;
use crate::similarity::{Similarity, reference_points, warp};

/// Side of the crops in pixels.
const SIZE: u32 = 512;
/// Raised when faces are cut in another way; older crops are then made anew.
const VERSION: u32 = 1;
/// Written last: without it a folder is not complete.
const NOTE: &str = "demo.json";

#[derive(Serialize, Deserialize)]
struct Note {
    version: u32,
    /// Faces in the list when these were cut.
    listed: usize,
    /// Crop (relative path) → size in bytes.
    crops: BTreeMap<String, u64>,
    left_out: Vec<String>,
}

/// The report for `out` when nothing is to be done: all crops there, and none left out
/// that could be had now.
pub(super) fn complete(table: &Table, out: &Path, has_optional: bool) -> Option<DemoReport> {
    let note: Note = serde_json::from_slice(&std::fs::read(out.join(NOTE)).ok()?).ok()?;
    let current = note.version == VERSION && note.listed == table.faces.len();
    let whole = note.crops.iter().all(|(crop, &bytes)| {
        out.join(crop).metadata().is_ok_and(|metadata| metadata.len() == bytes)
    });
    let nothing_to_gain = note.left_out.is_empty() || !has_optional;
    (current && whole && nothing_to_gain).then(|| report(out, &note, Vec::new(), true))
}

/// Cuts all faces in the photos of `packages`, which lie in the cache.
pub(super) fn write(
    table: &Table,
    packages: &[&Photos],
    out: &Path,
    cache: &Path,
    downloaded: Vec<String>,
    left_out: Vec<String>,
) -> Result<DemoReport, DemoError> {
    std::fs::create_dir_all(out).map_err(DemoError::io(out))?;
    let photos: Vec<(&Photos, &File)> = packages
        .iter()
        .flat_map(|&package| package.package.files.iter().map(move |photo| (package, photo)))
        .collect();
    let crops: Vec<Vec<(String, u64)>> = photos
        .par_iter()
        .map(|(package, photo)| {
            let faces: Vec<&Face> =
                table.faces_of(package).filter(|face| face.path == photo.path).collect();
            cut(photo, &faces, out, cache)
        })
        .collect::<Result<_, DemoError>>()?;
    let crops = crops.into_iter().flatten().collect();
    let note = Note { version: VERSION, listed: table.faces.len(), crops, left_out };
    let path = out.join(NOTE);
    let json = serde_json::to_vec_pretty(&note).map_err(std::io::Error::from);
    json.and_then(|json| write_whole(&path, &json)).map_err(DemoError::io(&path))?;
    Ok(report(out, &note, downloaded, false))
}

/// Cuts the faces of one photo; returns relative paths and sizes.
fn cut(
    photo: &File,
    faces: &[&Face],
    out: &Path,
    cache: &Path,
) -> Result<Vec<(String, u64)>, DemoError> {
    let failed = |reason: String| DemoError::Cut(format!("{}: {reason}", photo.path));
    let image = read_photo(&cached(photo, cache)).map_err(|error| failed(error.to_string()))?;
    let mut written = Vec::new();
    for (k, face) in faces.iter().enumerate() {
        let transform = Similarity::estimate(&face.landmarks, &reference_points(SIZE))
            .ok_or_else(|| failed(format!("landmarks of face {k} lie in one point")))?;
        let mut png = Cursor::new(Vec::new());
        warp(&image, &transform, SIZE)
            .write_to(&mut png, ImageFormat::Png)
            .map_err(|error| failed(error.to_string()))?;
        let folder = out.join(&face.person);
        std::fs::create_dir_all(&folder).map_err(DemoError::io(&folder))?;
        let name = format!("{}_{k}.png", photo.stem());
        let path = folder.join(&name);
        write_whole(&path, png.get_ref()).map_err(DemoError::io(&path))?;
        written.push((format!("{}/{name}", face.person), png.get_ref().len() as u64));
    }
    Ok(written)
}

fn report(out: &Path, note: &Note, downloaded: Vec<String>, up_to_date: bool) -> DemoReport {
    let people: BTreeSet<_> = note.crops.keys().filter_map(|crop| crop.split('/').next()).collect();
    DemoReport {
        out: out.into(),
        people: people.len(),
        faces: note.crops.len(),
        downloaded,
        left_out: note.left_out.clone(),
        up_to_date,
    }
}
