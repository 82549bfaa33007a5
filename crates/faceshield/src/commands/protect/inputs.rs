//! Which photos are protected, and where each result goes.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use walkdir::WalkDir;

use crate::failure::misuse;

/// Endings of files that are photos, in either case.
const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];

/// In which format results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// The original's; PNG where that is not written
    Same,
    /// Lossless
    Png,
    /// At the original's quality, or 95
    Jpeg,
    /// Lossless
    Webp,
}

/// One photo and the place of its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) input: PathBuf,
    pub(super) output: PathBuf,
}

/// The photos that `inputs` (files, folders, patterns) mean, sorted, each once, and a place
/// below `out` for each: folders are mirrored, files of one name get numbers.
///
/// # Errors
///
/// Misuse: an input that is not there, a folder or pattern without photos.
pub(super) fn jobs(inputs: &[PathBuf], out: &Path, format: Format) -> anyhow::Result<Vec<Job>> {
    let mut taken = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut jobs = Vec::new();
    for input in inputs {
        for (photo, relative) in photos(input, out)? {
            if !seen.insert(photo.canonicalize().unwrap_or_else(|_| photo.clone())) {
                continue;
            }
            let output = free(&relative.with_extension(ending(&photo, format)), &mut taken);
            jobs.push(Job { input: photo, output: out.join(output) });
        }
    }
    Ok(jobs)
}

/// The photos that one input means, with their names below the results' folder.
fn photos(input: &Path, out: &Path) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
    let name = |path: &Path| PathBuf::from(path.file_name().unwrap_or_default());
    if input.is_file() {
        return Ok(vec![(input.to_path_buf(), name(input))]);
    }
    let found = if input.is_dir() {
        folder(input, out)?
    } else if input.to_string_lossy().contains(['*', '?', '[']) {
        let pattern = input.to_string_lossy();
        let paths = glob::glob(&pattern)
            .map_err(|error| misuse(format!("{pattern} is no pattern: {error}")))?;
        let files = paths.flatten().filter(|path| path.is_file() && is_photo(path));
        files.map(|path| (path.clone(), name(&path))).collect()
    } else {
        return Err(misuse(format!("no such photo or folder: {}", input.display())));
    };
    if found.is_empty() {
        return Err(misuse(format!("no photos (png, jpg, webp, bmp) in {}", input.display())));
    }
    Ok(found)
}

/// All photos in a folder and below, without those of an earlier run in `out`.
fn folder(root: &Path, out: &Path) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
    let out = out.canonicalize().ok();
    let mut found = Vec::new();
    let walk = WalkDir::new(root).sort_by_file_name().into_iter();
    let inside = |entry: &walkdir::DirEntry| {
        out.is_none() || entry.path().canonicalize().ok() != out || entry.depth() == 0
    };
    for entry in walk.filter_entry(inside) {
        let entry = entry.map_err(|error| anyhow::anyhow!("cannot list a folder: {error}"))?;
        if entry.file_type().is_file() && is_photo(entry.path()) {
            let path = entry.into_path();
            let relative = path.strip_prefix(root).unwrap_or(&path).to_path_buf();
            found.push((path, relative));
        }
    }
    Ok(found)
}

fn is_photo(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    !hidden && ending.is_some_and(|e| ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(e)))
}

fn ending(photo: &Path, format: Format) -> &'static str {
    let own = photo.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    match (format, own.as_deref()) {
        (Format::Jpeg, _) | (Format::Same, Some("jpg" | "jpeg")) => "jpg",
        (Format::Webp, _) | (Format::Same, Some("webp")) => "webp",
        _ => "png",
    }
}

/// `wanted`, or with the first number that makes it another name than all before.
fn free(wanted: &Path, taken: &mut BTreeSet<PathBuf>) -> PathBuf {
    // Nothing leads out of the results' folder.
    let plain: PathBuf =
        wanted.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let stem = plain.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let ending = plain.extension().unwrap_or_default().to_string_lossy().into_owned();
    let mut path = plain.clone();
    let mut number = 1;
    // Some file systems do not tell upper from lower case.
    while !taken.insert(PathBuf::from(path.to_string_lossy().to_lowercase())) {
        number += 1;
        path = plain.with_file_name(format!("{stem}_{number}.{ending}"));
    }
    path
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn folders_are_mirrored_and_names_never_collide() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for name in ["in/a.jpg", "in/sub/a.jpg", "in/A.JPEG", "in/a.bmp", "in/notes.txt", "b/a.jpg"]
        {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            std::fs::write(at(name), name).unwrap();
        }
        // Results of an earlier run inside the input are no photos to protect.
        let out = at("in/out");
        std::fs::create_dir_all(&out).unwrap();
        std::fs::write(out.join("old.png"), "").unwrap();
        let inputs = [at("in"), at("b/a.jpg"), at("in/a.jpg"), at("b/*.jpg")];
        let found = jobs(&inputs, &out, Format::Same).unwrap();
        let outputs: Vec<String> = found
            .iter()
            .map(|job| job.output.strip_prefix(&out).unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(outputs, ["A.jpg", "a.png", "a_2.jpg", "sub/a.jpg", "a_3.jpg"]);
        assert!(jobs(&[at("none")], &out, Format::Png).is_err());
        assert!(jobs(&[at("b/*.png")], &out, Format::Png).is_err());
    }
}
