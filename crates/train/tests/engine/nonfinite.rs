//! Steps with a loss that is not finite are left out; too many of them stop the run.

use crate::toy::*;
use std::path::Path;
use train::checkpoint::Checkpoint;
use train::{Config, Error, Summary};

/// Six steps at most, the given ones of them bad.
fn poisoned(
    folder: &Path,
    steps: std::ops::Range<u64>,
    config: &Config,
    max_steps: u64,
) -> Result<Summary, Error> {
    let mut data = Data { poisoned: steps, ..Data::solo(4, 2) };
    let mut toy = Toy { noise: true, ..Toy::new(4) };
    train_on(&mut data, &mut toy, config, &places(folder, max_steps))
}

fn base(max_bad_steps: u64) -> Config {
    Config { max_bad_steps, checkpoint_every: 1, ..config() }
}

#[test]
fn a_bad_step_is_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let summary = poisoned(folder.path(), 2..3, &base(2), 6).unwrap();
    assert_eq!((summary.bad_steps, summary.steps), (1, 6));
    let lines = metrics(folder.path());
    assert!(lines[2]["losses"]["rec"].is_null() && lines[2]["grad_norm"]["g"].is_null());
    assert!(lines[3]["losses"]["rec"].is_f64());
    // After it there is nothing that the checkpoint before it does not hold.
    let there = |step| checkpoint(folder.path(), step).exists();
    assert_eq!([1, 2, 3, 4].map(there), [true, true, false, true]);
    // Bad steps that are not in a row do not stop a run.
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(poisoned(folder.path(), 2..4, &base(3), 6).unwrap().bad_steps, 2);
}

/// The same bits as a run that was to do two steps: parameters, moments, running averages,
/// generators, what is usual, position and counts.
#[test]
fn bad_steps_in_a_row_stop_the_run_with_a_checkpoint_from_before_them() {
    let two = tempfile::tempdir().unwrap();
    poisoned(two.path(), 2..6, &base(3), 2).unwrap();
    for checkpoint_every in [1, 100] {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { checkpoint_every, ..base(3) };
        let message = poisoned(folder.path(), 2..6, &config, 6).unwrap_err().to_string();
        assert!(message.starts_with("stopped at step 4: 3 steps in a row"), "{message}");
        assert!(message.contains("in g, d") && message.contains("step_00000002"), "{message}");
        assert_eq!(metrics(folder.path()).len(), 5);
        assert_eq!(state(folder.path(), 2), state(two.path(), 2));
        let newest = train::checkpoint::find(folder.path(), "toy").unwrap();
        let expected = Checkpoint::open(&checkpoint(two.path(), 2)).unwrap();
        assert_eq!(newest.manifest(), expected.manifest());

        // Nothing has changed: the same end.
        let again = poisoned(folder.path(), 2..6, &config, 6).unwrap_err().to_string();
        assert_eq!(again, message);
        // What was wrong is mended: as if it had never been.
        poisoned(folder.path(), 0..0, &config, 6).unwrap();
        let sound = tempfile::tempdir().unwrap();
        poisoned(sound.path(), 0..0, &config, 6).unwrap();
        assert_eq!(state(folder.path(), 6), state(sound.path(), 6));
        assert_eq!(metrics(folder.path()), metrics(sound.path()));
    }
}

/// A stop in the middle of bad steps loses none of them.
#[test]
fn a_run_that_is_stopped_among_bad_steps_ends_as_an_undisturbed_one() {
    let config = Config { checkpoint_every: 100, ..base(4) };
    let whole = tempfile::tempdir().unwrap();
    poisoned(whole.path(), 2..5, &config, 6).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let summary = poisoned(folder.path(), 2..5, &config, 4).unwrap();
    assert_eq!((summary.steps, summary.checkpoint), (4, Some(checkpoint(folder.path(), 2))));
    let summary = poisoned(folder.path(), 2..5, &config, 6).unwrap();
    assert_eq!((summary.resumed, summary.bad_steps), (Some(2), 3));
    assert_eq!(state(whole.path(), 6), state(folder.path(), 6));
    assert_eq!(metrics(whole.path()), metrics(folder.path()));
}
