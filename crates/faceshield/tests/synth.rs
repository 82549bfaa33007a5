//! `data synth`: a folder of faces that the other commands read, gone on with, and refusals.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Place, error_line};

const DRAW: [&str; 11] = [
    "data",
    "synth",
    "--people",
    "3",
    "--per-person",
    "2",
    "--size",
    "64",
    "--out",
    "faces",
    "--json",
];

#[test]
fn a_folder_is_drawn_once_and_read_by_others() {
    let place = Place::new();
    let report: serde_json::Value = serde_json::from_str(&place.done(&DRAW)).unwrap();
    assert_eq!((report["images"].as_u64(), report["kept"].as_u64()), (Some(6), Some(0)));
    let labels = synth::labels::read(&place.path("faces")).unwrap();
    assert_eq!(labels.len(), 6);
    assert!(place.path("faces").join(&labels[5].path).is_file());

    let index = place.done(&["data", "index", "faces", "--json"]);
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    assert_eq!((index["people"].as_u64(), index["images"].as_u64()), (Some(3), Some(6)));
    assert_eq!(index["bad"].as_array().map(Vec::len), Some(0));

    std::fs::remove_file(place.path("faces").join(&labels[2].path)).unwrap();
    let report: serde_json::Value = serde_json::from_str(&place.done(&DRAW)).unwrap();
    assert_eq!((report["images"].as_u64(), report["kept"].as_u64()), (Some(6), Some(5)));
}

#[test]
fn refusals_are_one_line() {
    let place = Place::new();
    place.done(&DRAW);
    std::fs::write(place.path("file"), "").unwrap();
    let fails = |people: &str, rest: &str, code: i32, expected: &str| {
        let line = format!("data synth --people {people} --per-person 2 {rest}");
        let output = place.run(&line.split_whitespace().collect::<Vec<_>>());
        let error = error_line(&output);
        assert_eq!(output.status.code(), Some(code), "{line}: {error}");
        assert!(error.contains(expected), "{line}: {error}");
    };
    fails("0", "--out new", 2, "--people = 0: use 1 or more");
    fails("3", "--size 0 --out new", 2, "--size = 0: use 16 to 2048 pixels");
    fails("three", "--out new", 2, "'three'");
    fails("3", "", 2, "--out <DIR>");
    fails("3", "--size 64 --seed 2 --out faces", 1, "synthetic faces of other settings");
    fails("3", "--out .", 1, "holds something else");
    fails("3", "--out file/below", 1, "cannot write or read file/below");
    assert!(!place.path("new").exists());
}
