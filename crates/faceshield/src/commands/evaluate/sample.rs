//! Whose photos are measured: people of a data set, or photos and their protected counterparts.

use files::Escape;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use faces::similarity::{Similarity, warp};
use faces::{Index, Links, RgbImage, Root};
use synth::labels::{self, Label};

use crate::commands::photos;
use crate::failure::misuse;

/// One photo.
#[derive(Debug, Clone)]
pub(super) struct Photo {
    pub(super) path: PathBuf,
    /// Below the folder that was given, parts joined by `/`.
    pub(super) name: String,
    /// Its person's number, of a person that is measured.
    pub(super) person: usize,
    /// What is known of a synthetic one.
    pub(super) label: Option<Box<Label>>,
    /// The same photo, protected by somebody else.
    pub(super) protected: Option<PathBuf>,
    /// Where its face is, when the photo is no aligned crop.
    pub(super) cut: Option<Cut>,
}

/// A crop of a photo.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// The photo's pixels → the crop's.
    pub(super) transform: Similarity,
    /// Width and height of the photo.
    pub(super) size: (u32, u32),
}

impl Photo {
    /// The photo as it was, as an aligned crop of `side` pixels.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is no such photo.
    pub(super) fn original(&self, side: u32) -> anyhow::Result<RgbImage> {
        match self.protected {
            None => Ok(faces::read_image(&self.path, side)?),
            Some(_) => self.crop(&self.path, side),
        }
    }

    /// What `path`, this photo before or after protection, shows of the face: `side` pixels where
    /// it has to be cut out, else all of the photo, which must then be square.
    ///
    /// # Errors
    ///
    /// As [`Photo::original`].
    pub(super) fn crop(&self, path: &Path, side: u32) -> anyhow::Result<RgbImage> {
        let photo = faces::read_photo(path)?;
        let (width, height) = photo.dimensions();
        let at = path.escaped();
        let Some(cut) = &self.cut else {
            if width != height {
                return Err(misuse(format!(
                    "{at} has {width} × {height} pixels, so it is no aligned face crop: give \
                     --find-faces to have faces cut out of photos"
                )));
            }
            return Ok(photo);
        };
        anyhow::ensure!(
            (width, height) == cut.size,
            "{at} has {width} × {height} pixels, its original {} × {}: protect photos at their \
             size",
            cut.size.0,
            cut.size.1
        );
        Ok(warp(&photo, &cut.transform, side))
    }
}

/// The photos, person by person.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) root: PathBuf,
    pub(super) photos: Vec<Photo>,
    pub(super) people: usize,
    /// Whether every photo has its label.
    pub(super) labelled: bool,
    /// Photos that could not be taken along, and why.
    pub(super) left_out: Vec<LeftOut>,
}

/// A photo that is not measured.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct LeftOut {
    pub(super) photo: String,
    pub(super) why: String,
}

/// How many photos of whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) people: Option<usize>,
    pub(super) per_person: Option<usize>,
    pub(super) limit: Option<usize>,
    pub(super) seed: u64,
}

impl Sample {
    /// Photos of the data set in `root`, with their labels where it has some.
    ///
    /// # Errors
    ///
    /// No such data set, labels that cannot be read.
    pub(super) fn of_people(source: Root<'_>, wanted: &Wanted) -> anyhow::Result<Sample> {
        let root = source.path;
        let index = Index::build(source, None)?;
        photos::tell_links(index.links());
        let mut labels: BTreeMap<String, Label> = BTreeMap::new();
        if root.join(labels::FILE).exists() {
            labels = labels::read(root)?.into_iter().map(|l| (l.path.clone(), l)).collect();
        }
        let photo = |(path, image): (Option<PathBuf>, &faces::Image)| Photo {
            path: path.unwrap_or_default(),
            name: image.path.clone(),
            person: image.person,
            label: labels.get(&image.path).cloned().map(Box::new),
            protected: None,
            cut: None,
        };
        let paths = (0..index.images().len()).map(|k| index.path(k));
        let all = paths.zip(index.images()).map(photo).collect();
        let bad = index.bad().iter();
        let left_out =
            bad.map(|bad| LeftOut { photo: bad.path.clone(), why: bad.reason.clone() }).collect();
        Ok(Sample::of(root, all, wanted, left_out))
    }

    /// Photos of the folder `originals`, each with its counterpart in `protected`.
    ///
    /// # Errors
    ///
    /// Misuse: a folder that is not there or has no photos; not one photo in both.
    pub(super) fn of_pairs(
        originals: &Path,
        protected: &Path,
        links: Links,
        wanted: &Wanted,
    ) -> anyhow::Result<Sample> {
        let list = |folder: &Path| {
            if !folder.is_dir() {
                return Err(misuse(format!("no such folder: {}", folder.escaped())));
            }
            // Nothing lies in a folder that is not there: no photo is left out.
            photos::list(&[folder.to_path_buf()], &folder.join(".none"), links)
        };
        let mut there: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
        for photo in list(protected)? {
            there.entry(photo.relative.with_extension("")).or_default().push(photo.path);
        }
        let mut names = BTreeMap::new();
        let (mut all, mut left_out) = (Vec::new(), Vec::new());
        for photo in list(originals)? {
            let name = slashed(&photo.relative);
            let same = there.get(&photo.relative.with_extension("")).map_or(&[][..], Vec::as_slice);
            let exact = same.iter().find(|path| path.ends_with(&photo.relative));
            let Some(counterpart) = exact.or(same.first()) else {
                let why = format!("no counterpart in {}", protected.escaped());
                left_out.push(LeftOut { photo: name, why });
                continue;
            };
            // A photo beside the folders of people is one of a person of its own.
            let person = match photo.relative.parent().and_then(|p| p.components().next()) {
                Some(folder) => folder.as_os_str().to_string_lossy().into_owned(),
                None => format!("/{name}"),
            };
            let known = names.len();
            let person = *names.entry(person).or_insert(known);
            let protected = Some(counterpart.clone());
            all.push(Photo { path: photo.path, name, person, label: None, protected, cut: None });
        }
        if all.is_empty() {
            return Err(misuse(format!(
                "none of the {} photos in {} has a counterpart in {}: give folders with photos of \
                 the same names (other endings are fine)",
                left_out.len(),
                originals.escaped(),
                protected.escaped()
            )));
        }
        Ok(Sample::of(originals, all, wanted, left_out))
    }

    fn of(root: &Path, all: Vec<Photo>, wanted: &Wanted, left_out: Vec<LeftOut>) -> Sample {
        let photos = choose(all, wanted);
        let people = photos.last().map_or(0, |photo| photo.person + 1);
        let labelled = photos.iter().all(|photo| photo.label.is_some());
        Sample { root: root.to_path_buf(), photos, people, labelled, left_out }
    }

    /// With these photos alone, in the same order.
    pub(super) fn renumber(&mut self, photos: Vec<Photo>) {
        self.photos = renumbered(photos);
        self.people = self.photos.last().map_or(0, |photo| photo.person + 1);
    }

    /// Numbers of the first photos of each person, `most` in all or a few less.
    pub(super) fn some(&self, most: usize) -> Vec<usize> {
        let ranks = ranks(&self.photos);
        let mut order: Vec<usize> = (0..self.photos.len()).collect();
        order.sort_by_key(|&k| (ranks[k], k));
        order.truncate(most);
        order.sort_unstable();
        order
    }
}

/// The photos wanted, in order of person and name; people are numbered anew.
fn choose(mut all: Vec<Photo>, wanted: &Wanted) -> Vec<Photo> {
    let mut people: Vec<usize> = all.iter().map(|photo| photo.person).collect();
    people.sort_unstable();
    people.dedup();
    if let Some(most) = wanted.people.filter(|&most| most < people.len()) {
        people.sort_by_key(|&person| train::mix(wanted.seed, person as u64));
        people.truncate(most);
        people.sort_unstable();
    }
    all.retain(|photo| people.binary_search(&photo.person).is_ok());
    // Drawn by name, so that a photo more does not change which others are taken.
    let hash = |photo: &Photo| {
        photo.name.bytes().fold(wanted.seed, |hash, byte| train::mix(hash, u64::from(byte)))
    };
    all.sort_by_cached_key(|photo| (photo.person, hash(photo)));
    let of = ranks(&all);
    let mut kept: Vec<(usize, Photo)> = of.into_iter().zip(all).collect();
    if let Some(most) = wanted.per_person {
        kept.retain(|(rank, _)| *rank < most);
    }
    if let Some(most) = wanted.limit.filter(|&most| most < kept.len()) {
        kept.sort_by_key(|(rank, photo)| (*rank, photo.person));
        kept.truncate(most);
    }
    let mut photos: Vec<Photo> = kept.into_iter().map(|(_, photo)| photo).collect();
    photos.sort_by(|a, b| (a.person, &a.name).cmp(&(b.person, &b.name)));
    renumbered(photos)
}

/// Sorted photos whose people are numbered without gaps: whoever has no photo is not there.
fn renumbered(mut photos: Vec<Photo>) -> Vec<Photo> {
    let mut old: Vec<usize> = photos.iter().map(|photo| photo.person).collect();
    old.dedup();
    for photo in &mut photos {
        photo.person = old.partition_point(|&other| other < photo.person);
    }
    photos
}

/// Each photo's place among its person's.
fn ranks(photos: &[Photo]) -> Vec<usize> {
    let mut seen = BTreeMap::<usize, usize>::new();
    let mut next = |person: usize| {
        let count = seen.entry(person).or_default();
        *count += 1;
        *count - 1
    };
    photos.iter().map(|photo| next(photo.person)).collect()
}

fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn photos(people: usize, each: usize) -> Vec<Photo> {
        let photo = |k: usize| Photo {
            path: PathBuf::new(),
            name: format!("p{:02}/{:02}.png", k / each, k % each),
            person: k / each,
            label: None,
            protected: None,
            cut: None,
        };
        (0..people * each).map(photo).collect()
    }

    fn names(wanted: &Wanted) -> Vec<String> {
        choose(photos(10, 6), wanted).into_iter().map(|photo| photo.name).collect()
    }

    #[test]
    fn samples_are_drawn_by_the_seed_and_spread_over_people() {
        let all = Wanted { people: None, per_person: None, limit: None, seed: 1 };
        assert_eq!(names(&all).len(), 60);
        let some = Wanted { people: Some(4), per_person: Some(3), limit: Some(10), ..all };
        let chosen = choose(photos(10, 6), &some);
        let people: Vec<usize> = chosen.iter().map(|photo| photo.person).collect();
        assert_eq!(people.len(), 10);
        let count = |person| people.iter().filter(|&&other| other == person).count();
        assert_eq!((0..4).map(count).collect::<Vec<_>>(), [3, 3, 2, 2]);
        assert_eq!(names(&some), names(&some));
        assert_ne!(names(&some), names(&Wanted { seed: 2, ..some }));
        // Fewer photos of a person are among more.
        let more = names(&Wanted { per_person: Some(5), ..all });
        assert!(names(&Wanted { per_person: Some(2), ..all }).iter().all(|n| more.contains(n)));
    }
}
