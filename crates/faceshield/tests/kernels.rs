//! Training and protecting where mremap(2) behaves as in Linux before 6.17, and where it fails now
//! and then: the results are the same byte for byte, and no more memory is taken.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::photos::real_photos;
use support::{Place, TINY};

/// What to preload, and the modes to run it in besides none (see its source).
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../c10d/tests/support/old_mremap.c");
const MODES: [&str; 2] = ["crossing", "5"];

/// The largest memory under one of them against that without; threads never do all the same twice.
const MOST: f64 = 1.15;

fn preloaded(place: &Place) -> PathBuf {
    let library = place.path("old_mremap.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", SOURCE, "-lpthread", "-o"]).arg(&library);
    let done = compiler.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    library
}

/// Runs the program under a kernel as `mode` says; it must succeed, after moving memory.
fn run(place: &Place, library: &Path, mode: Option<&str>, line: &[&str], cache: Option<&Path>) {
    let report = place.path("report");
    let mut command = place.faceshield();
    command.args(line);
    if let Some(cache) = cache {
        command.env("FACESHIELD_CACHE", cache);
    }
    if let Some(mode) = mode {
        command.env("LD_PRELOAD", library);
        command.env("MREMAP_FAILS", mode).env("MREMAP_REPORT", &report);
    }
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{mode:?}: {:?}, {stderr}", output.status);
    let Some(mode) = mode else { return };
    let text = std::fs::read_to_string(&report).unwrap();
    std::fs::remove_file(&report).unwrap();
    let numbers: Vec<u32> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [calls, crossing, failed, damaged] = numbers[..] else { panic!("{text}") };
    assert!(calls > 4, "nothing was moved: {text}");
    assert_eq!((crossing, damaged), (0, 0), "{mode}: {text}");
    assert_eq!(failed > 0, mode != "crossing", "{mode}: {text}");
}

/// The largest memory that a run's log tells of, in MB.
fn peak(folder: &Path) -> f64 {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|line| line["peak_memory_mb"].as_f64()).fold(0.0, f64::max)
}

/// The newest checkpoint's files of both stages, by name.
fn checkpoints(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for stage in ["FSE", "IRC"] {
        for name in ["model.safetensors", "optimizer.safetensors"] {
            let path = folder.join(format!("checkpoints_{stage}/step_00000002")).join(name);
            files.push((format!("{stage} {name}"), std::fs::read(path).unwrap()));
        }
    }
    files
}

#[test]
fn training_both_stages_is_the_same_on_every_kernel() {
    let place = Place::new();
    let library = preloaded(&place);
    place.faces(3, 2);
    let train = |mode: Option<&str>| {
        let out = mode.unwrap_or("plain");
        let mut line = vec!["train", "all", "--data", "faces", "--max-steps", "2"];
        line.extend(TINY);
        line.extend(["--set", "log_every=1", "--run-dir", out, "--checkpoint-dir", out]);
        run(&place, &library, mode, &line, None);
        (checkpoints(&place.path(out)), peak(&place.path(out)))
    };
    let (plain, memory) = train(None);
    assert!(memory > 0.0);
    for mode in MODES {
        let (files, more) = train(Some(mode));
        for ((name, plain), (_, other)) in plain.iter().zip(&files) {
            assert!(plain == other, "{mode}: {name} differs");
        }
        assert!(more <= MOST * memory, "{mode}: {more} MB against {memory} MB");
    }
}

#[test]
fn so_is_protecting_with_a_model() {
    let test = "faceshield protect on kernels before Linux 6.17";
    let Some((shared, photos)) = real_photos(test) else { return };
    let place = Place::new();
    let library = preloaded(&place);
    let data = place.faces(3, 2);
    let mut train = vec!["train", "all", "--data", data.to_str().unwrap(), "--max-steps", "1"];
    train.extend(TINY);
    place.done(&train);
    std::fs::copy(photos.join("sample1.jpg"), place.path("photo.jpg")).unwrap();
    let protect = |mode: Option<&str>| {
        let out = mode.unwrap_or("plain");
        let line = ["protect", "photo.jpg", "--out", out, "--mechanism", "independent"];
        let line = [&line[..], &["--seed", "7"]].concat();
        run(&place, &library, mode, &line, Some(&shared));
        std::fs::read(place.path(out).join("photo.jpg")).unwrap()
    };
    let plain = protect(None);
    for mode in MODES {
        assert!(plain == protect(Some(mode)), "{mode}: the photo differs");
    }
}
