//! Images that turn bad while a run goes on: left out, listed, and not too many.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::{data_set, truncate};
use faces::{BadFile, BadImages, Error, Faces, Index, PairConfig, PairLoader};

/// Four people with five images each, indexed, and a loader that bears `share` of bad ones.
struct Run {
    dir: tempfile::TempDir,
    loader: PairLoader,
}

impl Run {
    fn new(share: f64) -> Run {
        Run::keeping(share, 0)
    }

    fn keeping(share: f64, bytes: usize) -> Run {
        let dir = tempfile::tempdir().unwrap();
        data_set(&dir.path().join("faces"), 4, 5);
        let faces = open(dir.path(), share).unwrap().keeping(bytes);
        let config = PairConfig { batch_size: 4, seed: 5, workers: 2, ..PairConfig::default() };
        Run { loader: PairLoader::new(Arc::new(faces), config, 0, 1).unwrap(), dir }
    }

    fn image(&self, name: &str) -> PathBuf {
        self.dir.path().join("faces").join(name)
    }

    /// The images that an epoch uses.
    fn epoch(&self, epoch: u64) -> Result<Vec<usize>, Error> {
        let mut used = Vec::new();
        for batch in self.loader.epoch(epoch, 0) {
            used.extend(batch?.items.iter().flat_map(|item| [item.source, item.target]));
        }
        Ok(used)
    }

    fn bad(&self) -> Vec<BadFile> {
        self.loader.faces().bad().files()
    }

    fn list(&self) -> String {
        fs::read_to_string(list(self.dir.path())).unwrap_or_default()
    }
}

fn list(dir: &Path) -> PathBuf {
    dir.join("run/bad.txt")
}

fn open(dir: &Path, share: f64) -> Result<Faces, Error> {
    let index = Arc::new(Index::build(&dir.join("faces"), None)?);
    let bad = Arc::new(BadImages::new(index.clone(), Some(list(dir))));
    Faces::new(index, 16, None)?.bearing(bad, share)
}

/// Five ways to become another file than was indexed. Each is left out from the next epoch on,
/// in favour of the same stand-ins as on every other run, and stays out when it comes back.
#[test]
fn vanished_and_changed_images_are_left_out_and_listed() {
    let spoil = |run: &Run| {
        fs::remove_file(run.image("p00/1.png")).unwrap();
        truncate(&run.image("p01/0.png"));
        fs::copy(run.image("p03/2.png"), run.image("p01/4.png")).unwrap(); // a good image
        let later = File::options().append(true).open(run.image("p02/2.png")).unwrap();
        let modified = later.metadata().unwrap().modified().unwrap();
        later.set_modified(modified + Duration::from_nanos(1)).unwrap();
        fs::remove_file(run.image("p03/3.png")).unwrap();
        fs::create_dir(run.image("p03/3.png")).unwrap();
    };
    let bad = [1, 5, 9, 12, 18];
    let run = |threads| {
        let mut run = Run::new(0.25);
        let config = PairConfig { batch_size: 4, seed: 5, workers: threads, ..Default::default() };
        let faces = Arc::new(open(run.dir.path(), 0.25).unwrap());
        run.loader = PairLoader::new(faces, config, 0, 1).unwrap();
        assert!(run.epoch(0).unwrap().contains(&1) && run.bad().is_empty());
        assert!(!list(run.dir.path()).exists());
        spoil(&run);
        let used = run.epoch(1).unwrap();
        assert!(!used.iter().any(|image| bad.contains(image)), "{used:?}");
        let found = run.bad();
        let names: Vec<_> = found.iter().map(|bad| bad.path.as_str()).collect();
        assert_eq!(names, ["p00/1.png", "p01/0.png", "p01/4.png", "p02/2.png", "p03/3.png"]);
        for (file, reason) in found.iter().zip(["No such", "chang", "chang", "chang", "ordinary"]) {
            assert!(file.reason.contains(reason), "{file:?}");
        }
        fs::write(run.image("p00/1.png"), fs::read(run.image("p00/0.png")).unwrap()).unwrap();
        assert!(!run.epoch(2).unwrap().contains(&1), "once bad, always bad");

        let list = run.list();
        assert_eq!(list.lines().count(), 5, "each once: {list}");
        for file in &found {
            let line = format!("/faces/{}\t{}\n", file.path, file.reason);
            assert!(list.contains(&line), "{list}");
        }
        used
    };
    assert_eq!(run(1), run(4));
}

/// A rewritten file that kept size and time is told by its dimensions at least.
#[test]
fn other_dimensions_under_the_same_stamp_are_a_change() {
    let run = Run::new(1.0);
    let path = run.image("p00/0.png");
    let (bytes, before) = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap());
    let mut other = Vec::new();
    let image = image::RgbImage::new(4, 4);
    image.write_to(&mut std::io::Cursor::new(&mut other), image::ImageFormat::Png).unwrap();
    assert!(other.len() < bytes.len(), "what follows a PNG image's end is not read");
    other.resize(bytes.len(), 0);
    fs::write(&path, other).unwrap();
    let file = File::options().append(true).open(&path).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    let error = run.loader.faces().read(0).unwrap_err().to_string();
    assert!(error.contains("has changed since it was indexed"), "{error}");
}

#[test]
fn one_image_too_many_stops_the_run() {
    // 20 images, a tenth: two.
    let run = Run::new(0.1);
    for name in ["p01/3.png", "p02/0.png"] {
        truncate(&run.image(name));
    }
    run.epoch(0).unwrap();
    assert_eq!(run.bad().len(), 2);
    fs::remove_file(run.image("p00/2.png")).unwrap();
    let error = run.epoch(1).unwrap_err();
    assert!(matches!(error, Error::TooManyBad { bad: 3, of: 20, allowed: 2, .. }), "{error}");
    let message = error.to_string();
    let list = list(run.dir.path()).display().to_string();
    let parts = ["3 of 20", "max_bad_images = 0.1", "p00/2.png (No such file", &list, "run again"];
    for part in parts.iter().chain(&["--max-bad-images"]) {
        assert!(message.contains(part) && !message.contains('\n'), "{message}");
    }
    assert!(run.epoch(2).is_err(), "and it does not go on");
}

/// The folder goes away in the middle of an epoch: the batches that were decoded come, then
/// the error, after no more failed reads than are borne and one for each thread.
#[test]
fn a_vanished_folder_stops_the_run_at_once() {
    let run = Run::new(0.1);
    let mut epoch = run.loader.epoch(0, 0);
    assert_eq!(epoch.next().unwrap().unwrap().items.len(), 4);
    fs::rename(run.dir.path().join("faces"), run.dir.path().join("gone")).unwrap();
    // The first epoch may be decoded already, the second cannot.
    let error = epoch.chain(run.loader.epoch(1, 0)).find_map(Result::err).unwrap();
    assert!(matches!(error, Error::TooManyBad { .. }), "{error}");
    assert!(run.bad().len() <= 4, "{:?}", run.bad());
}

/// What is in memory already is the indexed content: it goes on being used.
#[test]
fn images_kept_in_memory_survive_their_files() {
    let run = Run::keeping(0.0, usize::MAX);
    let before: Vec<_> = (0..20).map(|image| run.loader.faces().read(image).unwrap()).collect();
    fs::remove_dir_all(run.dir.path().join("faces")).unwrap();
    run.epoch(1).unwrap();
    let after: Vec<_> = (0..20).map(|image| run.loader.faces().read(image).unwrap()).collect();
    assert_eq!(before, after);
}

#[test]
fn files_left_out_by_the_index_count_and_the_share_is_checked() {
    let run = Run::new(0.0);
    for name in ["p00/0.png", "p00/1.png"] {
        fs::write(run.image(name), "no image").unwrap();
    }
    let open = |share| open(run.dir.path(), share).map(|faces| faces.bad().count());
    assert_eq!(open(0.1).unwrap(), 2);
    assert!(run.list().contains("p00/0.png\tit is no PNG"), "{}", run.list());
    for share in [0.0, 0.09] {
        assert!(matches!(open(share), Err(Error::TooManyBad { bad: 2, of: 20, .. })));
    }
    for share in [-0.1, 1.1, f64::NAN] {
        let error = open(share).unwrap_err().to_string();
        assert!(error.contains("max_bad_images") && !error.contains('\n'), "{error}");
    }
}
