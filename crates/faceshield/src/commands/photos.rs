//! From the files, folders and patterns that were given to photos with names of their own.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use walkdir::WalkDir;

use crate::failure::misuse;

/// Endings of files that are photos, in lower case.
const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];

/// One photo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Photo {
    pub(crate) path: PathBuf,
    /// Its name below a folder of results: below a folder that was given the path from there,
    /// else the file's name alone. Two photos may share one: see [`Names`].
    pub(crate) relative: PathBuf,
}

/// The photos that `inputs` mean, each once: files as they are, of folders every photo in them
/// and below, of patterns the photos that fit. What lies in `out`, results of an earlier run,
/// is left out.
///
/// # Errors
///
/// Misuse: an input that is not there, a folder or pattern without photos. A folder that cannot
/// be read.
pub(crate) fn list(inputs: &[PathBuf], out: &Path) -> anyhow::Result<Vec<Photo>> {
    let mut seen = BTreeSet::new();
    let mut photos = Vec::new();
    for input in inputs {
        let found = of_input(input, out)?;
        let new = |photo: &Photo| {
            seen.insert(photo.path.canonicalize().unwrap_or_else(|_| photo.path.clone()))
        };
        photos.extend(found.into_iter().filter(new));
    }
    Ok(photos)
}

fn of_input(input: &Path, out: &Path) -> anyhow::Result<Vec<Photo>> {
    if input.is_file() {
        return Ok(vec![alone(input.to_path_buf())]);
    }
    let found = if input.is_dir() {
        folder(input, out)?
    } else if input.to_string_lossy().contains(['*', '?', '[']) {
        let pattern = input.to_string_lossy();
        let paths = glob::glob(&pattern)
            .map_err(|error| misuse(format!("{pattern} is no pattern: {error}")))?;
        paths.flatten().filter(|path| path.is_file() && is_photo(path)).map(alone).collect()
    } else {
        return Err(misuse(format!("no such photo or folder: {}", input.display())));
    };
    if found.is_empty() {
        let endings = ENDINGS.join(", ");
        return Err(misuse(format!("no photos ({endings}) in {}: give others", input.display())));
    }
    Ok(found)
}

fn alone(path: PathBuf) -> Photo {
    let relative = PathBuf::from(path.file_name().unwrap_or_default());
    Photo { path, relative }
}

/// All photos in a folder and below, in order of their paths.
fn folder(root: &Path, out: &Path) -> anyhow::Result<Vec<Photo>> {
    let out = out.canonicalize().ok();
    let is_out = |entry: &walkdir::DirEntry| {
        let folder = out.is_some() && entry.depth() > 0 && entry.file_type().is_dir();
        folder && entry.path().canonicalize().ok() == out
    };
    let mut found = Vec::new();
    let walk = WalkDir::new(root).follow_links(true).sort_by_file_name().into_iter();
    for entry in walk.filter_entry(|entry| !is_out(entry)) {
        let entry = entry.map_err(|error| anyhow::anyhow!("cannot list a folder: {error}"))?;
        if entry.file_type().is_file() && is_photo(entry.path()) {
            let path = entry.into_path();
            let relative = path.strip_prefix(root).unwrap_or(&path).to_path_buf();
            found.push(Photo { path, relative });
        }
    }
    Ok(found)
}

fn is_photo(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    !hidden && ending.is_some_and(|e| ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(e)))
}

/// Names that are taken in a folder of results.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeSet<PathBuf>);

impl Names {
    /// With these already taken.
    pub(crate) fn without(taken: &[&str]) -> Self {
        Names(taken.iter().map(PathBuf::from).collect())
    }

    /// `wanted`, or `wanted` with the first number that makes it another name than all before.
    /// No name leads out of the folder, whatever `wanted` says.
    pub(crate) fn free(&mut self, wanted: &Path) -> PathBuf {
        let inside = |part: &Component<'_>| matches!(part, Component::Normal(_));
        let plain: PathBuf = wanted.components().filter(inside).collect();
        let stem = plain.file_stem().unwrap_or_default().to_os_string();
        let mut path = plain.clone();
        let mut number = 1;
        // Some file systems do not tell upper from lower case.
        while !self.0.insert(PathBuf::from(path.to_string_lossy().to_lowercase())) {
            number += 1;
            let mut name = stem.clone();
            name.push(format!("_{number}"));
            if let Some(ending) = plain.extension() {
                name.push(".");
                name.push(ending);
            }
            path = plain.with_file_name(name);
        }
        path
    }
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
        std::os::unix::fs::symlink(at("b/a.jpg"), at("in/link.jpg")).unwrap();
        let inputs = [at("in"), at("b/a.jpg"), at("in/a.jpg"), at("b/*.jpg")];
        let found = list(&inputs, &out).unwrap();
        let relative: Vec<_> = found.iter().map(|photo| photo.relative.to_str().unwrap()).collect();
        assert_eq!(relative, ["A.JPEG", "a.bmp", "a.jpg", "link.jpg", "sub/a.jpg"]);
        for (input, why) in [("none", "no such photo"), ("b/*.png", "no photos"), ("[", "pattern")]
        {
            let error = list(&[at(input)], &out).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn names_stay_inside_and_apart() {
        let mut names = Names::without(&["report.json"]);
        let wanted = ["a.jpg", "A.jpg", "sub/a.jpg", "a_2.jpg", "../../a.jpg", "/a", "report.json"];
        let free: Vec<PathBuf> = wanted.iter().map(|name| names.free(Path::new(name))).collect();
        let expected =
            ["a.jpg", "A_2.jpg", "sub/a.jpg", "a_2_2.jpg", "a_3.jpg", "a", "report_2.json"];
        assert_eq!(free, expected.map(PathBuf::from));
    }
}
