//! Crops of the faces, and the note that says they are complete.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Write};
use std::path::Path;

use files::Folder;
use image::ImageFormat;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::table::{Face, Photos, Table};
use super::{DemoError, DemoReport};
use crate::packages::{File, Kind, cached, read_cached};
use crate::picture::decode_photo;
use crate::similarity::{Similarity, reference_points, warp};

/// Side of the crops in pixels.
const SIZE: u32 = 512;
/// Raised when faces are cut in another way; older crops are then made anew.
const VERSION: u32 = 1;
/// Written last: without it a folder is not complete.
const NOTE: &str = "demo.json";
/// Bytes that are read of it; it has a fiftieth of them.
const MAX_NOTE: u64 = 1 << 17;

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
    let note = Folder::at(out).of_anybody().read(NOTE, MAX_NOTE).ok()?;
    let note: Note = serde_json::from_slice(&note).ok()?;
    let current = note.version == VERSION && note.listed == table.faces.len();
    // The note may have come with the folder: it does not decide which files belong there.
    let (all, essential) = (names(table, |_| true), names(table, |kind| kind != Kind::Npm));
    let named: BTreeSet<String> = note.crops.keys().cloned().collect();
    let enough = if note.left_out.is_empty() { &all } else { &essential };
    let listed = named.is_subset(&all) && named.is_superset(enough);
    let whole = listed
        && note.crops.iter().all(|(crop, &bytes)| {
            let metadata = out.join(crop).symlink_metadata();
            metadata.is_ok_and(|metadata| metadata.is_file() && metadata.len() == bytes)
        });
    let nothing_to_gain = note.left_out.is_empty() || !has_optional;
    (current && whole && nothing_to_gain).then(|| report(out, &note, Vec::new(), true))
}

/// The relative paths of the crops out of packages of some kinds.
fn names(table: &Table, of: impl Fn(Kind) -> bool) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for photos in table.packages.iter().filter(|photos| of(photos.package.kind)) {
        for photo in &photos.package.files {
            let faces = table.faces_of(photos).filter(|face| face.path == photo.path);
            names.extend(faces.enumerate().map(|(k, face)| name(photo, face, k)));
        }
    }
    names
}

/// The relative path of the crop of a photo's face number `k`.
fn name(photo: &File, face: &Face, k: usize) -> String {
    format!("{}/{}_{k}.png", face.person, photo.stem())
}

fn write_file(out: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = Folder::at(out).replace_public(name)?;
    file.write_all(bytes)?;
    file.commit()
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
    json.and_then(|json| write_file(out, NOTE, &json)).map_err(DemoError::io(&path))?;
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
    let path = cached(photo, cache);
    let bytes = read_cached(photo, cache).map_err(DemoError::io(&path))?;
    let image = decode_photo(&path, &bytes).map_err(|error| failed(error.to_string()))?;
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
        let name = name(photo, face, k);
        write_file(out, &name, png.get_ref()).map_err(DemoError::io(&out.join(&name)))?;
        written.push((name, png.get_ref().len() as u64));
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
