//! What a run refuses, each in one line.

use crate::toy::*;
use std::fs;
use train::{Config, Places, Resume};

#[test]
fn checkpoints_of_another_kind_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder, &config(), 1).unwrap();
    let good = places(folder, 2);
    let refuse = |toy: &mut Toy, places: &Places, expected: &str| {
        let message = train_toy(toy, &config(), places).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    };
    let path = Resume::Path(checkpoint(folder, 1));
    let mut other = Toy { name: "other", ..Toy::new(4) };
    refuse(&mut other, &Places { resume: path, ..good.clone() }, "belongs to stage toy");
    // Copied into the other stage's folder.
    let copy = folder.join("checkpoints_OTHER/step_00000001");
    fs::create_dir_all(&copy).unwrap();
    for entry in fs::read_dir(checkpoint(folder, 1)).unwrap().flatten() {
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    refuse(&mut other, &good, "trained with stage = toy, this run has other");

    refuse(&mut Toy::new(5), &good, "G.weight is [4, 3] in the file and [5, 3] in the model");
    let mut configuration = good.configuration.clone();
    configuration.insert("image_size".into(), 8.into());
    let places = Places { configuration, ..good.clone() };
    refuse(&mut Toy::new(4), &places, "trained with image_size = 4, this run has 8");
    let places = Places { fidelity: "published".into(), ..good.clone() };
    refuse(&mut Toy::new(4), &places, "trained with fidelity = corrected, this run has published");
    let places = Places { resume: Resume::Path(folder.join("nowhere")), ..good.clone() };
    refuse(&mut Toy::new(4), &places, "no complete checkpoint of stage toy");
}

#[test]
fn a_run_that_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let bad = Config { lr: -1.0, ..config() };
    let message = train(folder.path(), &bad, 1).unwrap_err().to_string();
    assert_eq!(message, "configuration: lr must be a positive number");
    // What a folder that cannot be written looks like to root, too.
    for (place, flag) in [("run", "--run-dir"), ("checkpoints_TOY", "--checkpoint-dir")] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(place), "a file").unwrap();
        let message = train(folder.path(), &config(), 1).unwrap_err().to_string();
        assert!(message.starts_with("cannot use ") && message.contains(flag), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}
