//! `faceshield evaluate`: nothing done is no protection, one face for all is chance, and the same
//! command says the same.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use image::{Rgb, RgbImage};
use serde_json::Value;
use support::photos::real_photos;
use support::{Place, TINY, error_line};

/// A place with synthetic people, an attacker that was hardly trained, and, with `model`, one
/// step of everything.
fn place(model: bool) -> Place {
    let place = Place::new();
    let synth = "data synth --people 6 --per-person 4 --size 64 --seed 3 --out people";
    place.done(&synth.split(' ').collect::<Vec<_>>());
    let steps = ["--data", "people", "--max-steps", "1", "--set", "image_size=128"];
    let encoder = ["train", "encoder", "--set", "encoder.batch_size=8"];
    place.done(&[&encoder[..], &TINY, &steps, &["--checkpoint-dir", "attacker"]].concat());
    if model {
        place.done(&[&["train", "all"][..], &TINY, &steps].concat());
    }
    place
}

fn report(place: &Place, out: &str) -> Value {
    let text = std::fs::read_to_string(place.path(out).join("report.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn number(value: &Value) -> f64 {
    let found = value["value"].as_f64().unwrap_or_else(|| panic!("no number in {value}"));
    let end = |name: &str| value[name].as_f64().unwrap();
    assert!(end("low") <= end("high") && value["n"].as_u64().unwrap() > 0, "{value}");
    found
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// The entry of a list whose field `key` is `value`.
fn find<'a>(list: &'a Value, key: &str, value: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|one| one[key] == value);
    found.unwrap_or_else(|| panic!("no {key} = {value} in {list}"))
}

#[test]
fn what_cannot_be_measured_is_one_line() {
    let place = Place::new();
    let faces = place.faces(4, 2);
    std::fs::create_dir(place.path("empty")).unwrap();
    std::fs::create_dir(place.path("elsewhere")).unwrap();
    std::fs::copy(faces.join("person_00/0.png"), place.path("elsewhere/x.png")).unwrap();
    std::fs::write(place.path("a.safetensors"), "none").unwrap();
    let cases = [
        ("", 2, ["--checkpoint DIR", "--protected"]),
        ("--data faces", 2, ["--checkpoint", "--baselines"]),
        ("--originals faces", 2, ["--protected", ""]),
        ("--data none --baselines", 1, ["none", ""]),
        ("--originals none --protected faces", 2, ["no such folder", "none"]),
        ("--originals faces --protected empty", 2, ["no photos", "empty"]),
        ("--originals faces --protected elsewhere", 2, ["8 photos", "same names"]),
        ("--data faces --baselines --attacker a", 2, ["NAME=FILE", ""]),
        ("--data faces --baselines --attacker encoder=a", 2, ["encoder", "taken"]),
        (
            "--data faces --baselines --attacker a=a.safetensors",
            1,
            ["--attacker a", "a.safetensors"],
        ),
        ("--data faces --checkpoint empty --mechanism codebook", 2, ["codebook", "ε"]),
        ("--data faces --checkpoint empty --mechanism laplace", 2, ["laplace", "codebook"]),
        ("--data faces --checkpoint empty --sweep cap:x", 2, ["--sweep", "cap:x"]),
        ("--data faces --checkpoint empty", 1, ["no complete checkpoint", "empty"]),
        ("--data faces --baselines --people 1", 2, ["--people", "1"]),
        ("--data faces --baselines --limit 3", 2, ["3 people", "four"]),
        ("--data faces --baselines --device tpu", 2, ["tpu", "device"]),
        ("--data faces --baselines --detector-weights empty", 1, ["empty/pnet.pt", ""]),
    ];
    for (line, code, expected) in cases {
        let output = place.run(&[&["evaluate", "--out", "out"][..], &words(line)].concat());
        let error = error_line(&output);
        assert!(expected.iter().all(|text| error.contains(text)), "{line}: {error}");
        assert_eq!(output.status.code(), Some(code), "{line}: {error}");
    }
}

/// The reports in `a`, which is `found`, and `c` beside each other.
fn compared(place: &Place, found: &Value) {
    let line = "compare one=a/report.json two=c/report.json --out comparison.html --charts charts";
    let said = place.done(&words(line));
    let independent = find(&found["protections"], "name", "independent");
    let own = independent["privacy"].as_array().unwrap().iter();
    let own = own.filter(|attack| attack["against"] == "own_photo");
    let auc = own.map(|attack| number(&attack["auc"])).fold(0.0, f64::max);
    let psnr = number(&independent["utility"]["psnr"]);
    let row = format!("independent: AUC {auc:.3}, PSNR {psnr:.1}");
    let identity = find(&found["separation"]["probes"], "features", "perception");
    let perception = format!("perception: identity {:.3}", number(&identity["identity"]));
    for text in [&row, &perception, "one:", "two:"] {
        assert!(said.contains(text), "{text}: {said}");
    }
    let page = std::fs::read_to_string(place.path("comparison.html")).unwrap();
    assert!(page.contains(&format!("{auc:.3}")) && page.contains("<svg"));
    let charts = std::fs::read_dir(place.path("charts")).unwrap().map(|one| one.unwrap().path());
    let charts: Vec<_> = charts.collect();
    assert!(charts.contains(&place.path("charts/independent-psnr.svg")), "{charts:?}");
    // Nothing was read of attributes, and original photos have no PSNR: no empty charts.
    assert!(!charts.iter().any(|chart| chart.to_str().unwrap().contains("light")), "{charts:?}");

    let report = std::fs::read_to_string(place.path("a/report.json")).unwrap();
    let later = report.replacen("\"format\": 1,", "\"format\": 9,", 1);
    std::fs::write(place.path("later.json"), later).unwrap();
    for (reports, code, expected) in [
        ("later.json", 2, "format 9"),
        ("a/report.html", 2, "no report.json"),
        ("none.json", 1, "cannot read none.json"),
        ("a/report.json a/report.json", 2, "NAME="),
        ("=a/report.json", 2, "NAME=REPORT.json"),
    ] {
        let output = place.run(&words(&format!("compare {reports} --out x.html")));
        let error = error_line(&output);
        assert!(error.contains(expected) && output.status.code() == Some(code), "{error}");
        assert!(!place.path("x.html").exists());
    }
}

/// A model of one step is no protection to speak of; that all parts work together is what counts.
#[test]
fn a_model_is_measured_and_the_same_command_says_the_same() {
    let place = place(true);
    let line = "evaluate --checkpoint checkpoints_IRC --data people --attacker \
                other=attacker/encoder.safetensors --mechanism independent --mechanism codebook:5 \
                --baselines --sweep codebook:2:9,independent --sweep-photos 12 --resamples 100 \
                --reader-steps 3 --out";
    let run = |out: &str| place.done(&[&words(line)[..], &[out]].concat());
    let said = run("a");
    for text in ["original: PSNR –", "codebook ε=5", "re-identification", "a/report.html"] {
        assert!(said.contains(text), "{text}: {said}");
    }
    let found = report(&place, "a");
    assert_eq!(
        (found["data"]["people"].as_u64(), found["data"]["photos"].as_u64()),
        (Some(6), Some(24))
    );
    let names: Vec<&str> = found["protections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    let expected =
        ["original", "own identity", "independent", "codebook ε=5", "blur", "mosaic", "dp-pix ε=1"];
    assert_eq!(names, expected);
    for protection in found["protections"].as_array().unwrap() {
        assert_eq!(protection["privacy"].as_array().unwrap().len(), 4, "{protection}");
        for attack in protection["privacy"].as_array().unwrap() {
            assert!((0.0..=1.0).contains(&number(&attack["auc"])), "{attack}");
            assert!((0.0..=1.0).contains(&number(&attack["rank1"])), "{attack}");
            assert_eq!(attack["roc"][60], serde_json::json!([1.0, 1.0]));
        }
        let utility = &protection["utility"];
        assert!((-1.0..=1.0).contains(&number(&utility["ssim"])));
        // People 3, 4 and 5 are judged by a reader of people 0, 1 and 2: too few for one.
        assert!(utility["attributes"].is_null());
        assert!(utility["face_found"].is_null());
        let model = ["own_identity", "model"].contains(&protection["kind"].as_str().unwrap());
        assert_eq!(protection["identity_painted"].is_object(), model, "{protection}");
    }
    let notes = found["notes"].to_string();
    assert!(notes.contains("3 people to fit") && notes.contains("--detector-weights"), "{notes}");
    // Nothing done: the photo itself is found without fail.
    let original = &found["protections"][0];
    for attack in original["privacy"].as_array().unwrap() {
        if attack["against"] == "own_photo" {
            assert!(
                number(&attack["auc"]) > 0.999 && number(&attack["success"]) == 0.0,
                "{attack}"
            );
            assert!(number(&attack["rank1"]) == 1.0, "{attack}");
        }
    }
    assert!(original["utility"]["psnr"].is_null());
    assert_eq!(found["sweep"].as_array().unwrap().len(), 3);
    assert!(number(&found["sweep"][0]["psnr"]).is_finite());
    assert_eq!(found["sweep"][0]["psnr"]["n"], 12);
    let controls = found["controls"].as_array().unwrap();
    assert_eq!((controls.len(), &controls[0]["attacker"]), (2, &"mean colour".into()));
    assert!((0.0..=1.0).contains(&number(&controls[1]["auc"])), "{}", controls[1]);
    let separation = &found["separation"];
    assert_eq!(separation["layers"].as_array().unwrap().len(), 9);
    assert!((-1.0..=1.0).contains(&number(&separation["retention"]["trained"])));
    assert!(number(&separation["hsic"]["ratio"]).is_finite());
    assert!(number(&separation["alignment"]["masks_alone"]).is_finite());
    let probes = separation["probes"].as_array().unwrap();
    assert_eq!(probes.len(), 4);
    assert!(probes.iter().all(|probe| (0.0..=1.0).contains(&number(&probe["identity"]))));
    // The page shows it, and fetches nothing.
    let page = std::fs::read_to_string(place.path("a/report.html")).unwrap();
    for text in ["codebook ε=5", "<svg", "data:image/png", "Separation", "Sweep"] {
        assert!(page.contains(text), "{text}");
    }

    run("b");
    let bytes = |out: &str| std::fs::read(place.path(out).join("report.json")).unwrap();
    assert!(bytes("a") == bytes("b"));
    place.done(&[&words(line)[..], &["c", "--seed", "1"]].concat());
    assert!(bytes("a") != bytes("c"));
    compared(&place, &found);
    // Other people to learn from: now attributes are read.
    let synth =
        "data synth --people 5 --first-person 6 --per-person 4 --size 64 --seed 3 --out others";
    place.done(&words(synth));
    let line = "evaluate --checkpoint checkpoints_IRC --data people --train-data others --people 5 \
                --photos-per-person 2 --resamples 100 --reader-steps 3 --out d --json";
    let printed: Value = serde_json::from_str(&place.done(&words(line))).unwrap();
    assert_eq!(printed, report(&place, "d"));
    assert_eq!(printed["data"]["photos"], 10);
    let attributes = &printed["protections"][2]["utility"]["attributes"];
    assert!(number(&attributes["pose"]).is_finite() && attributes["factors"]["smile"].is_object());
    let probe = find(&printed["separation"]["probes"], "features", "raw");
    assert!(number(&probe["attributes"]["light"]).is_finite());
}

/// Every photo below `from` to the same place below `to`, as another format if asked.
fn protect(from: &Path, to: &Path, ending: &str, change: impl Fn(RgbImage) -> RgbImage) {
    for person in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        if !person.is_dir() {
            continue;
        }
        let folder = to.join(person.file_name().unwrap());
        std::fs::create_dir_all(&folder).unwrap();
        for photo in std::fs::read_dir(person).unwrap().map(|entry| entry.unwrap().path()) {
            let name = Path::new(photo.file_name().unwrap()).with_extension(ending);
            change(faces::read_photo(&photo).unwrap()).save(folder.join(name)).unwrap();
        }
    }
}

#[test]
fn folders_are_compared_whoever_protected_them() {
    let place = place(false);
    let (people, at) = (place.path("people"), |name: &str| place.path(name));
    protect(&people, &at("same"), "png", |photo| photo);
    protect(&people, &at("grey"), "bmp", |photo| {
        RgbImage::from_pixel(photo.width(), photo.height(), Rgb([90; 3]))
    });
    let evaluate = |more: &str| {
        let line = "evaluate --attacker other=attacker/encoder.safetensors --resamples 100";
        let mut all = words(line);
        all.extend(words(more));
        place.run(&all)
    };
    let measured = |more: &str, out: &str| {
        let output = evaluate(&format!("{more} --out {out}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        report(&place, out)
    };
    let same = measured("--originals people --protected same", "a");
    let grey = measured("--originals people --protected grey", "b");
    for (found, auc, success) in [(&same, 1.0, 0.0), (&grey, 0.5, 1.0)] {
        let protected = find(&found["protections"], "kind", "folder");
        let own = find(&protected["privacy"], "against", "own_photo");
        assert!((number(&own["auc"]) - auc).abs() < 0.01, "{own}");
        assert!((number(&own["success"]) - success).abs() < 0.3, "{own}");
        assert!(found["separation"].is_null() && found["model"].is_null());
    }
    let other = find(&grey["protections"][1]["privacy"], "against", "other_photos");
    assert!((number(&other["auc"]) - 0.5).abs() < 0.01, "{other}");
    assert!(same["protections"][1]["utility"]["psnr"].is_null());
    assert!(number(&grey["protections"][1]["utility"]["colour_change_outside"]) > 0.05);

    // What is missing is told, and the others are measured.
    std::fs::remove_file(at("grey/person_00002/001.bmp")).unwrap();
    let found = measured("--originals people --protected grey", "c");
    assert_eq!(found["data"]["photos"], 23);
    assert_eq!(found["data"]["left_out"][0]["photo"], "person_00002/001.png");
    assert!(found["data"]["left_out"][0]["why"].as_str().unwrap().contains("grey"));
    // A flat folder: each photo is a person of its own, and there are no other photos.
    for (folder, ending) in [("same", "png"), ("grey", "bmp")] {
        let flat = at(&format!("flat_{folder}"));
        std::fs::create_dir(&flat).unwrap();
        for photo in std::fs::read_dir(at(folder).join("person_00000")).unwrap() {
            let photo = photo.unwrap().path();
            std::fs::copy(&photo, flat.join(photo.file_name().unwrap())).unwrap();
        }
        assert!(flat.join(format!("000.{ending}")).is_file());
    }
    let found = measured("--originals flat_same --protected flat_grey", "d");
    assert_eq!(found["data"]["people"], 4);
    let attacks = found["protections"][1]["privacy"].as_array().unwrap();
    assert_eq!((attacks.len(), &attacks[0]["against"]), (1, &"own_photo".into()));

    // Other sizes are refused, and so is what is no crop.
    for (size, why) in [((32, 32), "32 × 32"), ((64, 32), "--find-faces")] {
        RgbImage::new(size.0, size.1).save(at("flat_same/000.png")).unwrap();
        let output = evaluate("--originals flat_same --protected flat_grey --out e");
        let error = error_line(&output);
        assert!(error.contains(why) && error.contains("000."), "{error}");
    }
}

/// With a detector: photos of any size, and whether faces are still found.
#[test]
fn faces_are_cut_out_of_photos_and_looked_for() {
    let Some((shared, cache)) = real_photos("faceshield evaluate with a detector") else { return };
    let place = place(false);
    std::fs::create_dir(place.path("in")).unwrap();
    for name in ["astronaut.png", "sample1.jpg"] {
        std::fs::copy(cache.join(name), place.path("in").join(name)).unwrap();
        let turned =
            image::imageops::flip_horizontal(&faces::read_photo(&cache.join(name)).unwrap());
        turned.save(place.path("in").join(format!("turned_{name}"))).unwrap();
    }
    RgbImage::from_pixel(90, 60, Rgb([90; 3])).save(place.path("in/nobody.png")).unwrap();
    let run = |line: &str| {
        let mut command = place.faceshield();
        command.env("FACESHIELD_CACHE", &shared).args(words(line));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run("protect in --out hidden --method solid --allow-unprotected");
    run("evaluate --originals in --protected hidden --find-faces --resamples 100 --out a \
         --attacker other=attacker/encoder.safetensors");
    let found = report(&place, "a");
    assert_eq!(found["data"]["photos"], 4);
    assert_eq!(found["data"]["left_out"][0]["photo"], "nobody.png");
    let [original, hidden] = [0, 1].map(|k| &found["protections"][k]["utility"]);
    assert_eq!(number(&original["face_found"]), 1.0);
    assert_eq!((number(&hidden["face_found"]), &hidden["landmark_shift"]), (0.0, &Value::Null));
    let change = |place: &str| number(&hidden[place]);
    assert!(change("colour_change_inside") > change("colour_change_outside"), "{hidden}");

    // Of synthetic people the landmarks are known.
    run("evaluate --data people --baselines --photos-per-person 1 --resamples 100 --out b");
    let blurred = report(&place, "b");
    let blurred = &find(&blurred["protections"], "name", "original")["utility"];
    assert!((0.0..0.3).contains(&number(&blurred["landmark_error"])), "{blurred}");
}
