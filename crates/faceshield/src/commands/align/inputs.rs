//! From the files and folders that were given to photos with names of their own.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Endings of image files, in lower case.
const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];

/// A photo, and what its faces are called: `<name>_<number>.png`.
#[derive(Debug, PartialEq)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) name: String,
}

/// The photos that `given` names: files as they are, of folders every image file below, in
/// order of their paths. `out` and what is in it is left out, or crops would be cut again.
/// A photo is named after its file, a later one of the same name `<name>-2` and so on (on some
/// systems `A` and `a` are the same).
///
/// # Errors
/// A folder that cannot be read. Files are not looked at.
pub(super) fn list(given: &[PathBuf], out: &Path) -> anyhow::Result<Vec<Input>> {
    let out = std::fs::canonicalize(out).ok();
    let mut paths = Vec::new();
    for path in given {
        if path.is_dir() {
            let is_out = |entry: &walkdir::DirEntry| {
                entry.file_type().is_dir() && std::fs::canonicalize(entry.path()).ok() == out
            };
            let walk = walkdir::WalkDir::new(path).sort_by_file_name();
            for entry in walk.into_iter().filter_entry(|entry| out.is_none() || !is_out(entry)) {
                let entry = entry.with_context(|| format!("cannot read {}", path.display()))?;
                if !entry.file_type().is_dir() && is_image(entry.path()) {
                    paths.push(entry.into_path());
                }
            }
        } else {
            paths.push(path.clone());
        }
    }
    let mut taken = HashSet::new();
    let name = |path: PathBuf| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut name = stem.clone();
        let mut number = 2;
        while !taken.insert(name.to_lowercase()) {
            name = format!("{stem}-{number}");
            number += 1;
        }
        Input { path, name }
    };
    Ok(paths.into_iter().map(name).collect())
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_never_collide_and_crops_are_not_cut_again() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["a", "b", "out"] {
            std::fs::create_dir(at(folder)).unwrap();
        }
        for file in ["a/x.jpg", "a/x-2.png", "b/X.JPG", "b/x.webp", "b/notes.txt", "out/x_0.png"] {
            std::fs::write(at(file), "").unwrap();
        }
        let given = [dir.path().to_path_buf(), at("b/notes.txt"), at("missing.png")];
        let inputs = list(&given, &at("out")).unwrap();
        let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
        assert_eq!(names, ["x-2", "x", "X-3", "x-4", "notes", "missing"]);
        assert_eq!(inputs[0].path, at("a/x-2.png"));
    }
}
