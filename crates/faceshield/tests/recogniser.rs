//! `train encoder`: people it has never seen are told apart, and the stages use what it learnt.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use image::{Rgb, RgbImage};
use support::{Place, TINY, error_line};

/// People as patterns: four blobs whose places and colours say who, on a background whose colour
/// and slope do not; each photo is shifted and lit otherwise.
fn people(root: &Path, people: std::ops::Range<u32>, each: u32) {
    let draw = |words: [u32; 3], range: f32| {
        let mut hash = 0x811c_9dc5_u32;
        for word in words {
            hash = (hash ^ word).wrapping_mul(0x0100_0193).rotate_left(13);
            hash ^= hash >> 15;
        }
        hash = hash.wrapping_mul(0x9e37_79b1);
        ((hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b) >> 8) as f32 / (1 << 24) as f32 * range
    };
    for person in people {
        let folder = root.join(format!("person_{person:03}"));
        std::fs::create_dir_all(&folder).unwrap();
        for photo in 0..each {
            let own = |k: u32, range| draw([person + 1, k, 0], range);
            let now = |k: u32, range| draw([person + 1, k, photo + 1], range);
            let (shift, light) = ([now(0, 8.0) - 4.0, now(1, 8.0) - 4.0], 0.7 + now(2, 0.5));
            let image = RgbImage::from_fn(64, 64, |x, y| {
                let mut colour =
                    [0, 1, 2].map(|c| 60.0 + now(3 + c, 90.0) + now(6, 1.0) * x as f32);
                for blob in 0..4 {
                    let at =
                        [0, 1].map(|axis| 14.0 + own(8 * blob + axis, 36.0) + shift[axis as usize]);
                    let far = (x as f32 - at[0]).hypot(y as f32 - at[1]);
                    if far < 5.0 + own(8 * blob + 2, 6.0) {
                        colour = [3, 4, 5].map(|c| own(8 * blob + c, 255.0));
                    }
                }
                Rgb(colour.map(|x| (x * light).clamp(0.0, 255.0) as u8))
            });
            image.save(folder.join(format!("{photo}.png"))).unwrap();
        }
    }
}

fn lines(place: &Place, run: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(place.path(run).join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Some 200 steps of a model of the narrowest widths.
#[test]
fn people_never_seen_are_told_apart_and_the_stages_use_it() {
    let place = Place::new();
    people(&place.path("people"), 0..100, 8);
    let tiny = ["--preset", "demo", "--set", "width_divisor=16"];
    let train = ["--data", "people", "--set", "validation_people=20", "--set", "batch_size=32"];
    let more =
        ["--set", "encoder.epochs=10", "--set", "validate_every=50", "--set", "log_every=10"];
    let report = place.done(&[&["train", "encoder"], &tiny[..], &train, &more].concat());
    assert!(report.contains("validation: ") && report.contains("AUC"), "{report}");

    let lines = lines(&place, "runs/demo");
    let validated: Vec<_> = lines.iter().filter(|line| line.get("validation").is_some()).collect();
    let last = &validated[validated.len() - 1];
    assert_eq!((validated.len(), last["step"].as_u64()), (4, Some(199)));
    let value = |name: &str| last["validation"][name].as_f64().unwrap();
    println!("{}", last["validation"]);
    assert!(value("AUC") > 0.9, "{}", last["validation"]);
    assert!(value("EER") < 0.2 && value("accuracy") > 0.8, "{}", last["validation"]);
    assert!(value("genuine") > value("impostor") && value("TAR_at_FAR_1e-3") > 0.0);
    assert!(lines[0]["losses"]["margin"].as_f64().unwrap() == 0.0);
    assert!(last["losses"]["margin"].as_f64().unwrap() > 0.0);

    // Stage I takes the newest checkpoint unless told otherwise, and says so in one line.
    let stage = [&["train", "fse"], &tiny[..], &["--data", "people", "--set", "preview_every=0"]];
    let stage = stage.concat();
    let said = |more: &[&str]| {
        let output = place.run(&[&stage[..], &["--max-steps", "1"], more].concat());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stderr}");
        let about = |line: &&str| line.contains("identity encoder");
        let about: Vec<String> = stderr.lines().filter(about).map(str::to_owned).collect();
        assert_eq!(about.len(), 1, "{stderr}");
        about[0].clone()
    };
    let newest = "checkpoints_ENCODER/step_00000200/model.safetensors";
    assert!(said(&[]).contains(newest));
    let trained = support::tensors(&place.path("encoder.safetensors"));
    let used = support::tensors(&place.path("checkpoints_FSE/step_00000001/model.safetensors"));
    assert!(trained.keys().all(|name| !name.starts_with("head")));
    for (name, numbers) in &trained {
        assert_eq!(&used[&format!("encoder.{name}")], numbers, "{name}");
    }
    // A run that goes on keeps the encoder it has begun with.
    assert!(said(&["--max-steps", "2"]).contains("checkpoints_FSE/step_00000001"));
    let anew = ["--resume", "none"];
    let given = [&anew[..], &["--set", "encoder_weights=encoder.safetensors"]].concat();
    assert!(said(&given).contains("from encoder.safetensors"));
    let folder = [&anew[..], &["--set", "encoder_weights=checkpoints_ENCODER"]].concat();
    assert!(said(&folder).contains(newest));
    let random = [&anew[..], &["--set", "encoder_weights=random"]].concat();
    assert!(said(&random).contains("randomly initialised"));
    // Stage II lets it judge, or learn beside it, whatever its width.
    let irc = ["train", "irc", "--preset", "demo", "--data", "people", "--max-steps", "1"];
    let judged = ["--set", "judges=[\"encoder.safetensors\"]", "--set", "width_divisor=16"];
    let chased = ["--set", "adversary=encoder.safetensors", "--set", "warmup=0"];
    place.done(&[&irc[..], &judged, &chased].concat());
    let model = support::tensors(&place.path("checkpoints_IRC/step_00000001/model.safetensors"));
    assert!(trained.keys().all(|name| model.contains_key(&format!("adversary.{name}"))));
    let judged = |line: &&serde_json::Value| line["losses"].get("judged_push").is_some();
    assert_eq!(self::lines(&place, "runs/demo").iter().filter(judged).count(), 1);
    for (judges, why) in [
        ("[\"s.safetensors\"]", "s.safetensors"),
        ("[\"people/person_000/0.png\"]", "0.png"),
        ("\"encoder.safetensors\"", "judges must be a list"),
    ] {
        let judges = format!("judges={judges}");
        let words = ["--set", &judges, "--set", "width_divisor=16", "--resume", "none"];
        let line = error_line(&place.run(&[&irc[..], &words].concat()));
        assert!(line.contains(why), "{line}");
    }
    for (file, why) in [("none.safetensors", "adversary: "), ("people", "people")] {
        let adversary = format!("adversary={file}");
        let words = ["--set", &adversary, "--set", "width_divisor=16", "--resume", "none"];
        let line = error_line(&place.run(&[&irc[..], &words].concat()));
        assert!(line.contains(why), "{line}");
    }
    let stats = ["stats", "--preset", "demo", "--data", "people", "--out", "s.safetensors"];
    let other = place.run(&stats);
    let line = error_line(&other);
    assert!(line.contains("width_divisor = 16, this run has 8"), "{line}");
    assert!(line.contains("encoder_weights=random"), "{line}");
    place.done(&[&stats[..], &["--set", "width_divisor=16"]].concat());
}

#[test]
fn wrong_people_and_settings_are_refused_in_one_line() {
    let place = Place::new();
    people(&place.path("three"), 0..3, 2);
    people(&place.path("one"), 0..1, 3);
    people(&place.path("single"), 0..6, 1);
    let fails = |data: &str, words: &[&str], code: i32, expected: &[&str]| {
        let line = [&["train", "encoder"], &TINY[..], &["--set", "encoder.batch_size=4"]].concat();
        let output = place.run(&[&line[..], &["--data", data], words].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        let line = error_line(&output);
        for part in expected {
            assert!(line.contains(part), "{line}");
        }
    };
    fails("three", &[], 1, &["of its 3 people", "validation_people = 0"]);
    fails("one", &[], 1, &["only one person"]);
    fails("one", &["--validation", "three"], 1, &["only one person"]);
    fails("single", &[], 1, &["only 0 people have two images", "--validation"]);
    fails("three", &["--validation", "single"], 1, &["validation needs two people", "single"]);
    fails("three", &["--validation", "nowhere"], 1, &["no such folder of faces: nowhere"]);
    fails("three", &["--set", "encoder.validation_people=2.5"], 1, &["validation_people = 2.5"]);
    fails("three", &["--set", "encoder.batch_size=1"], 2, &["batch_size = 1", "two images"]);
    fails("three", &["--set", "encoder.margin_value=2"], 2, &["margin_value = 2"]);
    fails("three", &["--set", "encoder.margin=arc"], 2, &["encoder.margin", "arcface"]);
    fails("three", &["--set", "encoder.augment.gain=7"], 2, &["augment.gain = 7"]);
    fails("three", &["--set", "encoder.momentum=1.5"], 2, &["momentum must be"]);
    // Without validation three people are enough.
    let tiny = [&["train", "encoder"], &TINY[..], &["--set", "encoder.batch_size=4"]].concat();
    let none = ["--data", "three", "--set", "validation_people=0", "--max-steps", "1"];
    let report = place.done(&[&tiny[..], &none].concat());
    assert!(!report.contains("validation:"), "{report}");
}
