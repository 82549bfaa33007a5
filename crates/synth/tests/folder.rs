//! Folders of synthetic faces: complete, repeatable, gone on with.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use synth::dataset::{Settings, write};
use synth::{Error, labels};

const SETTINGS: Settings =
    Settings { people: 3, per_person: 4, size: 32, seed: 8, first_person: 5 };

/// All files below a folder, with their bytes.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

fn with_threads(threads: usize, out: &Path, settings: &Settings) -> Result<usize, Error> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| write(out, settings, None)).map(|report| report.kept)
}

#[test]
fn threads_and_interruptions_leave_no_trace() {
    let place = tempfile::tempdir().unwrap();
    let (one, four) = (place.path().join("one"), place.path().join("four"));
    assert_eq!(with_threads(1, &one, &SETTINGS).unwrap(), 0);
    assert_eq!(with_threads(4, &four, &SETTINGS).unwrap(), 0);
    let whole = tree(&one);
    assert_eq!(whole.len(), 14, "{:?}", whole.keys());
    assert_eq!(whole, tree(&four));

    // What a stop leaves: pictures missing, one cut short, one half written, no labels.
    fs::remove_file(four.join("labels.jsonl")).unwrap();
    fs::remove_dir_all(four.join("person_00007")).unwrap();
    fs::remove_file(four.join("person_00006/003.png")).unwrap();
    fs::write(four.join("person_00006/.003.png.part"), b"half").unwrap();
    let cut = &whole["person_00005/001.png"];
    fs::write(four.join("person_00005/001.png"), &cut[..cut.len() / 2]).unwrap();
    fs::write(four.join("person_00005/002.png"), b"").unwrap();
    assert_eq!(with_threads(2, &four, &SETTINGS).unwrap(), 5);
    assert_eq!(whole, tree(&four));
    assert_eq!(with_threads(2, &four, &SETTINGS).unwrap(), 12, "nothing left to do");
    assert_eq!(whole, tree(&four));
}

/// Person N is the same in every slice of a population.
#[test]
fn slices_are_of_one_population() {
    let place = tempfile::tempdir().unwrap();
    let (all, some) = (place.path().join("all"), place.path().join("some"));
    write(&all, &SETTINGS, None).unwrap();
    write(&some, &Settings { people: 1, per_person: 2, first_person: 6, ..SETTINGS }, None)
        .unwrap();
    let (all, some) = (tree(&all), tree(&some));
    assert_eq!(all["person_00006/001.png"], some["person_00006/001.png"]);
    assert!(!some.contains_key("person_00005/000.png"));
}

#[test]
fn labels_come_back() {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), &SETTINGS, None).unwrap();
    let read = labels::read(place.path()).unwrap();
    assert_eq!(read.len(), 12);
    for (i, label) in read.iter().enumerate() {
        let (person, photo) = (5 + i as u32 / 4, i as u32 % 4);
        assert_eq!(*label, labels::Label::of(8, person, photo, 32));
        let picture = image::open(place.path().join(&label.path)).unwrap().to_rgb8();
        assert_eq!(picture, synth::render(&label.identity, &label.scene, label.size));
    }
    let file = place.path().join(labels::FILE);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("\"yaw\"", "\"yam\"", 1)).unwrap();
    let error = labels::read(place.path()).unwrap_err().to_string();
    assert!(error.contains("line 1") && error.contains("yam"), "{error}");
}

#[test]
fn what_cannot_be_is_said_in_a_line() {
    let place = tempfile::tempdir().unwrap();
    let fails = |out: &Path, settings: Settings, expected: &[&str]| {
        let error = write(out, &settings, None).unwrap_err().to_string();
        assert!(!error.contains('\n') && expected.iter().all(|e| error.contains(e)), "{error}");
    };
    let new = place.path().join("new");
    fails(&new, Settings { people: 0, ..SETTINGS }, &["people = 0"]);
    fails(&new, Settings { per_person: 0, ..SETTINGS }, &["per-person = 0"]);
    fails(&new, Settings { size: 0, ..SETTINGS }, &["size = 0", "16 to 2048"]);
    fails(&new, Settings { first_person: u32::MAX, ..SETTINGS }, &["first-person", "100000"]);
    assert!(!new.exists());

    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    fails(&file.join("below"), SETTINGS, &["cannot write", "file/below"]);
    fails(place.path(), SETTINGS, &["something else (file)", "empty folder"]);
    assert_eq!(tree(place.path()).len(), 1, "nothing was touched");

    write(&new, &SETTINGS, None).unwrap();
    fails(&new, Settings { seed: 9, ..SETTINGS }, &["other settings", "\"seed\":8"]);
    fails(&new, Settings { people: 4, ..SETTINGS }, &["other settings"]);
}
