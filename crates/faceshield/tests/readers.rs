//! What others' readers make of our files: TensorBoard's, Python's safetensors.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Place, TINY, skip};

/// The Python that has `tensorboard` and `safetensors`; scripts/test.sh makes one.
fn python() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let made = root.join("target/checks-venv/bin/python");
    let given = std::env::var_os("FACESHIELD_CHECKS_PYTHON").map(PathBuf::from);
    given.or_else(|| made.is_file().then_some(made)).filter(|python| {
        let imports = ["-I", "-c", "import numpy, safetensors, tensorboard"];
        Command::new(python).args(imports).output().is_ok_and(|output| output.status.success())
    })
}

const SCRIPT: &str = r#"
import json, sys
from pathlib import Path
import numpy as np
from safetensors import safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

run, checkpoint = map(Path, sys.argv[1:])
events = EventAccumulator(str(run), size_guidance={"images": 0, "scalars": 0})
events.Reload()
tags = events.Tags()
scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags["scalars"]}
images = {tag: [(e.step, e.width, e.height) for e in events.Images(tag)] for tag in tags["images"]}
shapes, sums = {}, {}
with safe_open(checkpoint / "model.safetensors", framework="numpy") as file:
    for name in file.keys():
        tensor = file.get_tensor(name)
        shapes[name] = list(tensor.shape)
        sums[name] = float(tensor.astype(np.float64).sum())
print(json.dumps({"scalars": scalars, "images": images, "shapes": shapes, "sums": sums}))
"#;

/// What Python reads of the run `runs/demo` and of a checkpoint, and the run's own metrics.
fn read(
    python: &Path,
    place: &Place,
    checkpoint: &Path,
) -> (serde_json::Value, Vec<serde_json::Value>) {
    let run = place.path("runs/demo");
    let output = Command::new(python)
        .args(["-I", "-c", SCRIPT])
        .args([run.as_path(), checkpoint])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (serde_json::from_slice(&output.stdout).unwrap(), lines)
}

#[test]
fn tensorboard_and_python_read_what_a_run_writes() {
    let Some(python) = python() else {
        return skip(
            "tensorboard_and_python_read_what_a_run_writes",
            "no Python with numpy, safetensors and tensorboard (scripts/test.sh makes one)",
        );
    };
    let place = Place::new();
    place.faces(3, 1);
    let more = ["--data", "faces", "--set", "log_every=1", "--set", "preview_every=1"];
    place.done(&[&["train", "fse"], &TINY[..], &more, &["--max-steps", "2"]].concat());

    let checkpoint = place.path("checkpoints_FSE/step_00000002");
    let (read, lines) = read(&python, &place, &checkpoint);
    assert_eq!(lines.len(), 2);
    let tags = ["Encoder_loss", "FD_loss", "IR_loss", "pos_loss"];
    for tag in tags {
        let points = read["scalars"][format!("Loss/{tag}")].as_array().unwrap();
        assert_eq!(points.len(), 2, "{tag}");
        for (point, line) in points.iter().zip(&lines) {
            assert_eq!(point[0], line["step"]);
            let (seen, written) = (point[1].as_f64().unwrap(), line["losses"][tag].as_f64());
            assert!((seen - written.unwrap()).abs() <= 1e-6 * seen.abs(), "{tag}");
        }
    }
    // Source, target and output side by side.
    let pictures = read["images"].as_object().unwrap().values().next().unwrap();
    assert_eq!((&pictures[0][1], &pictures[0][2]), (&(3 * 256).into(), &256.into()));

    let file = checkpoint.join("model.safetensors");
    let inspected = place.done(&["weights", "inspect", file.to_str().unwrap(), "--json"]);
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    let ours = inspected["tensors"].as_object().unwrap();
    assert_eq!(ours.len(), read["shapes"].as_object().unwrap().len());
    for (name, row) in ours {
        assert_eq!(row["shape"], read["shapes"][name], "{name}");
        let (ours, theirs) = (row["sum"].as_f64().unwrap(), read["sums"][name].as_f64().unwrap());
        assert!((ours - theirs).abs() <= 1e-9 * ours.abs().max(1.0), "{name}: {ours}, {theirs}");
    }
}

#[test]
fn tensorboard_reads_what_a_recogniser_is_worth() {
    let Some(python) = python() else {
        return skip(
            "tensorboard_reads_what_a_recogniser_is_worth",
            "no Python with numpy, safetensors and tensorboard (scripts/test.sh makes one)",
        );
    };
    let place = Place::new();
    place.faces(8, 2);
    let more = ["--data", "faces", "--set", "encoder.batch_size=4", "--set", "log_every=1"];
    let validate = ["--set", "encoder.validate_every=1", "--max-steps", "2"];
    place.done(&[&["train", "encoder"], &TINY[..], &more, &validate].concat());
    let checkpoint = place.path("checkpoints_ENCODER/step_00000002");
    let (read, lines) = read(&python, &place, &checkpoint);
    assert_eq!(lines.len(), 2);
    for (step, line) in lines.iter().enumerate() {
        for (name, value) in line["validation"].as_object().unwrap() {
            let point = &read["scalars"][format!("Validation/{name}")][step];
            assert_eq!(point[0], line["step"], "{name}");
            let (seen, written) = (point[1].as_f64().unwrap(), value.as_f64().unwrap());
            assert!((seen - written).abs() <= 1e-6, "{name}: {seen} and {written}");
        }
        for name in ["AUC", "EER", "TAR_at_FAR_1e-3"] {
            assert!(line["validation"][name].is_number(), "{line}");
        }
    }
    assert!(read["shapes"]["head.weight"].is_array());
}

const CACHE_SCRIPT: &str = r#"
import json, sys
from safetensors.numpy import load_file

cache = load_file(sys.argv[1])
images, readable = cache["images"], cache["readable"]
pixel = images[3, :, 21, 40].tolist()
print(json.dumps({"shape": images.shape, "type": str(images.dtype), "pixel": pixel,
                  "readable": readable.tolist()}))
"#;

#[test]
fn python_reads_the_decoded_cache() {
    let Some(python) = python() else {
        return skip(
            "python_reads_the_decoded_cache",
            "no Python with numpy, safetensors and tensorboard (scripts/test.sh makes one)",
        );
    };
    let place = Place::new();
    let root = place.faces(2, 2);
    place.done(&["data", "cache", "faces", "--size", "64", "--out", "c.safetensors"]);
    let script = ["-I", "-c", CACHE_SCRIPT, "c.safetensors"];
    let output = Command::new(python).args(script).current_dir(place.path("")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // The index's last image, untouched: it has this size already.
    let photo = image::open(root.join("person_01/1.png")).unwrap().to_rgb8();
    let expected = serde_json::json!({
        "shape": [4, 3, 64, 64], "type": "uint8", "readable": [1, 1, 1, 1],
        "pixel": photo.get_pixel(40, 21).0,
    });
    assert_eq!(read, expected);
}
