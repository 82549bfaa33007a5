//! Checkpoints that are written while the run goes on.

use crate::toy::*;
use train::{Config, Error, Summary};

/// What is saved is the state of its step, though training has gone on since, and the run
/// is the same as one that waits for the disk.
#[test]
fn saving_in_the_background_saves_the_same() {
    let run = |background_saves| {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { checkpoint_every: 1, background_saves, ..config() };
        train(folder.path(), &config, 9).unwrap();
        folder
    };
    let (waiting, background) = (run(false), run(true));
    for step in 1..=9 {
        assert_eq!(state(waiting.path(), step), state(background.path(), step), "step {step}");
    }
    assert_eq!(metrics(waiting.path()), metrics(background.path()));
}

/// Trains nine steps with a checkpoint after each, while a file stands where the checkpoints'
/// folder should be, from step `from` to step `to`.
fn blocked(folder: &std::path::Path, from: u64, to: u64) -> Result<Summary, Error> {
    let at = folder.join("checkpoints_TOY");
    let mut toy = Toy {
        at_step: Some(Box::new(move |step| {
            if step == from {
                std::fs::rename(&at, at.with_extension("away")).unwrap();
                std::fs::write(&at, "no folder").unwrap();
            }
            if step == to {
                std::fs::remove_file(&at).unwrap();
                std::fs::rename(at.with_extension("away"), &at).unwrap();
            }
        })),
        ..Toy::new(4)
    };
    let config = Config { checkpoint_every: 1, background_saves: false, ..config() };
    train_toy(&mut toy, &config, &places(folder, 9))
}

#[test]
fn a_save_that_fails_does_not_end_the_run_but_the_last_one_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let summary = blocked(folder.path(), 4, 6).unwrap();
    assert_eq!((summary.steps, summary.checkpoint), (9, Some(checkpoint(folder.path(), 9))));
    let there: Vec<bool> = (1..=9).map(|k| checkpoint(folder.path(), k).exists()).collect();
    assert_eq!(there, [true, true, true, true, false, false, true, true, true]);
    assert_eq!(metrics(folder.path()).len(), 9);

    let folder = tempfile::tempdir().unwrap();
    let message = blocked(folder.path(), 7, 99).unwrap_err().to_string();
    assert!(
        message.starts_with("the run went on to step 9, but its checkpoint was not"),
        "{message}"
    );
    assert!(message.contains("checkpoints_TOY") && message.contains("step_00000007"), "{message}");
    assert!(!message.contains('\n'), "{message}");
    assert_eq!(metrics(folder.path()).len(), 9);
}
