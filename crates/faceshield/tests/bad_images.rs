//! Images that turn bad: how many a run bears, what it says, and where it lists them.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use support::{Place, TINY, error_line};

const LIST: &str = "runs/demo/bad_images_rank_0.txt";

fn words(more: &str) -> Vec<&str> {
    let train = [&["train", "fse"], &TINY[..], &["--data", "faces"]].concat();
    [train, more.split(' ').collect()].concat()
}

fn truncate(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

#[test]
fn above_the_share_a_run_stops_and_below_it_goes_on() {
    let place = Place::new();
    let root = place.faces(3, 2);
    fs::write(root.join("person_00/0.png"), "no image").unwrap();
    truncate(&root.join("person_01/1.png"));

    // The default bears one of six.
    let output = place.run(&words("--set epochs=1"));
    assert_eq!(output.status.code(), Some(1));
    let error = error_line(&output);
    for part in ["2 of 6 images", "allows 1", "person_00/0.png", LIST, "--max-bad-images"] {
        assert!(error.contains(part), "{error}");
    }

    // The flag wins over every file and --set.
    let more = "--set epochs=2 --set keep_decoded_mb=0 --set max_bad_images=0 \
                --max-bad-images 0.34";
    let output = place.run(&words(more));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    for name in ["person_00/0.png", "person_01/1.png"] {
        assert_eq!(stderr.matches(name).count(), 1, "told once: {stderr}");
    }
    assert!(stderr.contains(&format!("2 of 6 images were left out: see {LIST}")), "{stderr}");
    let list = fs::read_to_string(place.path(LIST)).unwrap();
    let listed: Vec<_> = list.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(listed.len(), 2, "not also the first run's: {list}");
    assert!(listed.iter().all(|path| Path::new(path).is_file()), "{list}");

    let output = place.run(&words("--max-bad-images 1.5"));
    assert_eq!(output.status.code(), Some(2));
    assert!(error_line(&output).contains("max_bad_images = 1.5"));
}

/// As when a mount goes away under a run.
#[test]
fn a_run_whose_images_vanish_stops_and_says_so() {
    let place = Place::new();
    let root = place.faces(3, 2);
    let more = "--set keep_decoded_mb=0 --set epochs=100000 --set preview_every=0";
    let mut command = place.faceshield();
    let mut run = command.args(words(more)).stderr(Stdio::piped()).spawn().unwrap();
    let metrics = place.path("runs/demo/metrics.jsonl");
    while fs::read(&metrics).unwrap_or_default().is_empty() {
        assert!(run.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    fs::rename(&root, place.path("gone")).unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = error_line(&output);
    for part in ["data, epoch", "of 6 images", "No such file", LIST, "run again"] {
        assert!(error.contains(part), "{error}");
    }
}
