//! Which checkpoints stay.

use crate::toy::*;
use std::fs;
use std::path::Path;
use train::{Config, Resume};

/// Those of `steps` that there are.
fn kept(folder: &Path, steps: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    steps.filter(|step| checkpoint(folder, *step).exists()).collect()
}

#[test]
fn the_newest_are_kept_and_a_new_run_sets_the_old_aside() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { checkpoint_every: 1, keep_checkpoints: 2, ..config() };
    train(folder.path(), &config, 5).unwrap();
    assert_eq!(kept(folder.path(), 0..=6), [4, 5]);

    let places = train::Places { resume: Resume::None, ..places(folder.path(), 2) };
    let mut toy = Toy { noise: true, ..Toy::new(4) };
    assert_eq!(train_toy(&mut toy, &config, &places).unwrap().resumed, None);
    assert_eq!(kept(folder.path(), 0..=6), [1, 2]);
    assert!(folder.path().join("checkpoints_TOY/earlier_01/step_00000005/manifest.json").exists());
    assert_eq!(metrics(folder.path()).len(), 2);

    // From an explicit, older one: the later one is of a future that is given up.
    let places = train::Places { resume: Resume::Path(checkpoint(folder.path(), 1)), ..places };
    assert_eq!(train_toy(&mut toy, &config, &places).unwrap().resumed, Some(1));
    assert!(folder.path().join("checkpoints_TOY/earlier_02/step_00000002/manifest.json").exists());
}

#[test]
fn every_so_many_steps_one_is_kept_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { checkpoint_every: 1, keep_checkpoints: 2, keep_every: 3, ..config() };
    train(folder.path(), &config, 8).unwrap();
    assert_eq!(kept(folder.path(), 0..=9), [3, 6, 7, 8]);
    // Also those of an earlier run.
    train(folder.path(), &Config { keep_every: 6, ..config }, 9).unwrap();
    assert_eq!(kept(folder.path(), 0..=9), [6, 8, 9]);
}

/// Sizes and manifest of what appears are right, its bytes are not.
#[test]
fn a_good_one_stays_whatever_newer_ones_look_like() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        Config { checkpoint_every: 1, keep_checkpoints: 1, background_saves: false, ..config() };
    let (old, new) = (checkpoint(folder.path(), 2), checkpoint(folder.path(), 99));
    let at_step = move |step| {
        if step == 2 {
            fs::create_dir(&new).unwrap();
            for entry in fs::read_dir(&old).unwrap().flatten() {
                fs::copy(entry.path(), new.join(entry.file_name())).unwrap();
            }
            let model = new.join("model.safetensors");
            let mut bytes = fs::read(&model).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(model, bytes).unwrap();
        }
    };
    let mut toy = Toy { at_step: Some(Box::new(at_step)), ..Toy::new(4) };
    train_toy(&mut toy, &config, &places(folder.path(), 5)).unwrap();
    let (found, skipped) =
        train::checkpoint::newest(&folder.path().join("checkpoints_TOY")).unwrap();
    assert_eq!((found.unwrap().manifest().step, skipped.len()), (5, 0));
}
