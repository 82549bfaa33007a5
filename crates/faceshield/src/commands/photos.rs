//! From the files, folders and patterns that were given to photos with names of their own.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use faces::{FoundLinks, Links};
use files::Escape;
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

/// What commands that look for photos say about symbolic links.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct LinkArgs {
    /// Skip symbolic links, and name them; else they are followed, also out of the folders given
    #[arg(long)]
    no_follow: bool,
}

impl LinkArgs {
    /// What is done with links.
    pub(crate) fn links(self) -> Links {
        if self.no_follow { Links::Skip } else { Links::Follow }
    }

    /// The data set in the folder `path`.
    pub(crate) fn root(self, path: &Path) -> faces::Root<'_> {
        faces::Root { path, links: self.links() }
    }
}

/// Says which links were found, once for a folder.
pub(crate) fn tell_links(found: &FoundLinks) {
    if let Some(note) = found.note() {
        tracing::warn!("{note}");
    }
}

/// The photos that `inputs` mean, each once: files as they are, of folders every photo in them
/// and below, of patterns the photos that fit. What lies in `out`, results of an earlier run,
/// is left out. Links that lead out of a folder, and those that are skipped, are told of.
///
/// # Errors
///
/// Misuse: an input that is not there, a folder or pattern without photos. A folder that cannot
/// be read.
pub(crate) fn list(inputs: &[PathBuf], out: &Path, links: Links) -> anyhow::Result<Vec<Photo>> {
    let mut seen = BTreeSet::new();
    let mut photos = Vec::new();
    for input in inputs {
        let mut found_links = FoundLinks::new(root_of(input), links);
        let found = of_input(input, out, &mut found_links)?;
        tell_links(&found_links);
        if found.is_empty() && found_links.count() == 0 {
            let endings = ENDINGS.join(", ");
            let input = input.escaped();
            return Err(misuse(format!("no photos ({endings}) in {input}: give others")));
        }
        let new = |photo: &Photo| {
            seen.insert(photo.path.canonicalize().unwrap_or_else(|_| photo.path.clone()))
        };
        photos.extend(found.into_iter().filter(new));
    }
    if photos.is_empty() {
        return Err(misuse("all photos are behind symbolic links, and --no-follow skips these"));
    }
    Ok(photos)
}

/// The folder that an input names: of a pattern, the one before its first wildcard.
fn root_of(input: &Path) -> &Path {
    let plain = |path: &&Path| !path.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let root = if input.is_dir() { Some(input) } else { input.ancestors().skip(1).find(plain) };
    root.filter(|root| !root.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn of_input(input: &Path, out: &Path, links: &mut FoundLinks) -> anyhow::Result<Vec<Photo>> {
    if input.is_file() {
        // What is named is wanted, wherever it lies; but a shell's pattern names what it finds.
        if !links.followed() && input.is_symlink() {
            links.add(input);
            return Ok(Vec::new());
        }
        return Ok(vec![alone(input.to_path_buf())]);
    }
    if input.is_dir() {
        return folder(input, out, links);
    }
    let pattern = input.to_string_lossy();
    if !pattern.contains(['*', '?', '[']) {
        return Err(misuse(format!("no such photo or folder: {}", input.escaped())));
    }
    let paths = glob::glob(&pattern)
        .map_err(|error| misuse(format!("{pattern} is no pattern: {error}")))?;
    let mut found = Vec::new();
    for path in paths.flatten().filter(|path| path.is_file() && is_photo(path)) {
        // The photo itself, or a folder on the way that a wildcard stands for.
        let below = path.ancestors().take_while(|part| *part != root_of(input));
        let link = below.filter(|part| part.is_symlink()).last().map(Path::to_path_buf);
        if let Some(link) = &link {
            links.add(link);
        }
        if links.followed() || link.is_none() {
            found.push(alone(path));
        }
    }
    Ok(found)
}

fn alone(path: PathBuf) -> Photo {
    let relative = PathBuf::from(path.file_name().unwrap_or_default());
    Photo { path, relative }
}

/// All photos in a folder and below, in order of their paths.
fn folder(root: &Path, out: &Path, links: &mut FoundLinks) -> anyhow::Result<Vec<Photo>> {
    let out = out.canonicalize().ok();
    let is_out = |entry: &walkdir::DirEntry| {
        let folder = out.is_some() && entry.depth() > 0 && entry.file_type().is_dir();
        folder && entry.path().canonicalize().ok() == out
    };
    let mut found = Vec::new();
    let walk = WalkDir::new(root).follow_links(links.followed()).sort_by_file_name().into_iter();
    for entry in walk.filter_entry(|entry| !is_out(entry)) {
        let entry = entry.map_err(|error| anyhow::anyhow!("cannot list a folder: {error}"))?;
        if entry.depth() > 0
            && entry.path_is_symlink()
            && (is_photo(entry.path()) || entry.path().is_dir())
        {
            links.add(entry.path());
        }
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
        let found = list(&inputs, &out, Links::Follow).unwrap();
        let relative: Vec<_> = found.iter().map(|photo| photo.relative.to_str().unwrap()).collect();
        assert_eq!(relative, ["A.JPEG", "a.bmp", "a.jpg", "link.jpg", "sub/a.jpg"]);
        for (input, why) in [("none", "no such photo"), ("b/*.png", "no photos"), ("[", "pattern")]
        {
            let error = list(&[at(input)], &out, Links::Follow).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn links_are_followed_and_counted_or_skipped() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for name in ["in/a.jpg", "in/sub/b.jpg", "away/c.jpg", "away/d/e.jpg"] {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            std::fs::write(at(name), name).unwrap();
        }
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(at(to), at(name)).unwrap();
        link("away/c.jpg", "in/c.jpg");
        link("away/d", "in/d");
        link("in/a.jpg", "in/within.jpg");
        let relative = |inputs: &[PathBuf], links| -> anyhow::Result<Vec<String>> {
            let photos = list(inputs, &at("out"), links)?.into_iter();
            Ok(photos.map(|photo| photo.relative.to_string_lossy().into_owned()).collect())
        };
        let all = relative(&[at("in")], Links::Follow).unwrap();
        assert_eq!(all, ["a.jpg", "c.jpg", "d/e.jpg", "sub/b.jpg"]);
        assert_eq!(relative(&[at("in")], Links::Skip).unwrap(), ["a.jpg", "sub/b.jpg"]);
        let counted = |input: &str, links| {
            let mut found = FoundLinks::new(root_of(&at(input)), links);
            of_input(&at(input), &at("out"), &mut found).unwrap();
            found.count()
        };
        assert_eq!((counted("in", Links::Follow), counted("in", Links::Skip)), (2, 3));
        // Patterns, and files that a shell's pattern has named.
        let pattern = [at("in/*.jpg"), at("in/*/*.jpg")];
        assert_eq!(relative(&pattern, Links::Skip).unwrap(), ["a.jpg", "b.jpg"]);
        let pattern = ["in/*.jpg", "in/*/*.jpg"].map(|input| counted(input, Links::Follow));
        assert_eq!(pattern, [1, 1]);
        let error = relative(&[at("in/c.jpg")], Links::Skip).unwrap_err().to_string();
        assert!(error.contains("--no-follow"), "{error}");
        assert_eq!(relative(&[at("in/c.jpg")], Links::Follow).unwrap(), ["c.jpg"]);
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
