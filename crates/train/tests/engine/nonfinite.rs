//! Steps with a loss that is not finite are left out; too many of them stop the run.

use crate::toy::*;
use train::{Config, Error, Summary};

fn poisoned(
    folder: &std::path::Path,
    steps: std::ops::Range<u64>,
    max_bad_steps: u64,
) -> Result<Summary, Error> {
    let config = Config { max_bad_steps, checkpoint_every: 1, ..config() };
    let mut data = Data { poisoned: steps, ..Data::solo(4, 2) };
    train_on(&mut data, &mut Toy::new(4), &config, &places(folder, 6))
}

#[test]
fn a_bad_step_changes_nothing_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let summary = poisoned(folder.path(), 2..3, 2).unwrap();
    assert_eq!((summary.bad_steps, summary.steps), (1, 6));
    // Neither parameters, moments nor running averages.
    let (before, after) = (state(folder.path(), 2), state(folder.path(), 3));
    let tensors = |step: u64| {
        let path = checkpoint(folder.path(), step).join("model.safetensors");
        weights::read(&path).unwrap().tensors
    };
    for (name, tensor) in tensors(2) {
        assert!(tensor.equal(&tensors(3)[&name]), "{name}");
        assert!(!tensor.equal(&tensors(4)[&name]), "{name}");
    }
    assert_eq!(before["optimizer.safetensors"], after["optimizer.safetensors"]);
    let lines = metrics(folder.path());
    assert!(lines[2]["losses"]["rec"].is_null() && lines[2]["grad_norm"]["g"].is_null());
    assert!(lines[3]["losses"]["rec"].is_f64());
}

#[test]
fn bad_steps_in_a_row_stop_the_run_with_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let message = poisoned(folder.path(), 2..6, 3).unwrap_err().to_string();
    assert!(message.starts_with("stopped at step 4: 3 steps in a row"), "{message}");
    assert!(message.contains("in g, d") && message.contains("step_00000005"), "{message}");
    assert_eq!(metrics(folder.path()).len(), 5);
    // The count survives a resume.
    let message = poisoned(folder.path(), 2..6, 4).unwrap_err().to_string();
    assert!(message.starts_with("stopped at step 5: 4 steps in a row"), "{message}");
    // Bad steps that are not in a row do not stop it.
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(poisoned(folder.path(), 2..4, 3).unwrap().bad_steps, 2);
}
