//! Logs on a disk that fails: training goes on, and what was not written is made up for or
//! counted.

use crate::events::reproducible;
use crate::toy::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use train::{Config, Summary};

/// Trains nine steps; does something to the run's folder at the start of two of them.
fn with(folder: &Path, (at, change): (u64, fn(&Path)), (until, mend): (u64, fn(&Path))) -> Summary {
    let run = folder.join("run");
    let at_step = move |step| {
        if step == at {
            change(&run);
        }
        if step == until {
            mend(&run);
        }
    };
    let mut toy = Toy { noise: true, at_step: Some(Box::new(at_step)), ..Toy::new(4) };
    train_toy(&mut toy, &config(), &places(folder, 9)).unwrap()
}

fn logs(run: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(run).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| ["jsonl", "toy"].iter().any(|e| path.extension().is_some_and(|x| x == *e)))
        .collect()
}

/// No write succeeds: a link is not followed, and what it leads to has no room either.
fn fill(run: &Path) {
    for path in logs(run) {
        fs::rename(&path, path.with_extension("whole")).unwrap();
        symlink("/dev/full", path).unwrap();
    }
}

fn free(run: &Path) {
    for path in logs(run) {
        fs::rename(path.with_extension("whole"), path).unwrap();
    }
}

#[test]
fn a_full_disk_or_a_folder_that_vanishes_costs_nothing_if_it_comes_back() {
    let whole = tempfile::tempdir().unwrap();
    train(whole.path(), &config(), 9).unwrap();
    let vanish: fn(&Path) = |run| fs::rename(run, run.with_extension("away")).unwrap();
    let reappear: fn(&Path) = |run| fs::rename(run.with_extension("away"), run).unwrap();
    // Without the picture of step 4, which is not kept.
    let cases = [(fill as fn(&Path), free as fn(&Path), 0), (vanish, reappear, 1)];
    for (change, mend, lost) in cases {
        let folder = tempfile::tempdir().unwrap();
        let summary = with(folder.path(), (3, change), (6, mend));
        assert_eq!((summary.steps, summary.lost), (9, lost));
        assert_eq!(metrics(folder.path()), metrics(whole.path()));
        let run = |folder: &tempfile::TempDir| reproducible(&folder.path().join("run"));
        assert_eq!(run(&folder), run(&whole));
        assert_eq!(state(folder.path(), 9), state(whole.path(), 9));
    }
}

#[test]
fn what_a_full_disk_has_cost_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let summary = with(folder.path(), (3, fill), (99, free));
    // Six lines of metrics, six of scalars, three pictures.
    assert_eq!((summary.steps, summary.lost), (9, 15));
    assert_eq!(summary.checkpoint, Some(checkpoint(folder.path(), 9)));
}

/// Not a test of its own: a run in a process that may not write files of more than 8 KiB.
#[test]
fn limited() {
    let Ok(folder) = std::env::var("TOY_LIMITED") else { return };
    let config = Config { epochs: 20, log_every: 7, ..config() };
    let summary = train(Path::new(&folder), &config, 80).unwrap();
    assert!(summary.lost > 0 && summary.steps == 80);
}

/// A write that the disk takes only part of leaves whole lines behind.
#[test]
fn a_line_is_whole_or_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" --exact disk::limited --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env("TOY_LIMITED", folder.path())
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    let lines = metrics(folder.path()).len();
    assert!((10..80).contains(&lines), "{lines}");
    reproducible(&folder.path().join("run"));
}
