//! Damaged and unusual photos through `faceshield protect`: each is protected or refused with a
//! reason, and the program's memory is bounded.
#![allow(clippy::unwrap_used)]

#[path = "../../faces/tests/odd_images/build.rs"]
mod build;
#[path = "../../faces/tests/odd_images/damage.rs"]
mod damage;
#[path = "../../faces/tests/odd_images/images.rs"]
mod images;
mod support;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::process::Stdio;

use images::{Expect, odd_images};
use serde_json::Value;
use support::Place;
use support::photos::real_photos;

/// Runs `protect in --method solid --max-pixels 1000000` and more words: its report, and the
/// largest resident size that it was seen at, in MiB.
fn protect(place: &Place, shared: &std::path::Path, words: &[&str]) -> (Value, u64) {
    let mut command = place.faceshield();
    command.env("FACESHIELD_CACHE", shared);
    command.args(["protect", "in", "--method", "solid", "--max-pixels", "1000000", "--json"]);
    command.args(words);
    let stdout = std::fs::File::create(place.path("stdout")).unwrap();
    let stderr = std::fs::File::create(place.path("stderr")).unwrap();
    let mut child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) >> 10);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let said = support::said(place);
    assert!(!said.contains("panicked") && !said.contains("stack backtrace"), "{said}");
    (serde_json::from_slice(&std::fs::read(place.path("stdout")).unwrap()).unwrap(), peak)
}

/// What became of each photo, by its file's name.
fn results(report: &Value) -> BTreeMap<String, Value> {
    let results = report["results"].as_array().unwrap().iter();
    let name = |result: &Value| {
        let input = result["input"].as_str().unwrap();
        input.rsplit('/').next().unwrap().to_owned()
    };
    results.map(|result| (name(result), result.clone())).collect()
}

fn files(place: &Place, folder: &str) -> usize {
    let entries = std::fs::read_dir(place.path(folder)).unwrap();
    let photo = |name: &str| {
        !name.starts_with('.') && !name.ends_with(".json") && !name.ends_with(".jsonl")
    };
    entries.filter(|e| photo(e.as_ref().unwrap().file_name().to_str().unwrap())).count()
}

/// No face is in any of them: none is written, until that is allowed; then exactly those that
/// can be decoded.
#[test]
fn odd_images_are_refused_with_a_reason_or_written_whole() {
    let Some((shared, _)) = real_photos("odd images through faceshield protect") else { return };
    let place = Place::new();
    std::fs::create_dir(place.path("in")).unwrap();
    let mut expected = BTreeMap::new();
    for (k, image) in odd_images(20).enumerate() {
        let file = format!("{k:04}_{}", image.file);
        std::fs::write(place.path("in").join(&file), &image.bytes).unwrap();
        expected.insert(file, (image.name, image.expect));
    }
    assert!(expected.len() >= 1_000);
    let (report, peak) = protect(&place, &shared, &["--out", "out"]);
    let refused = results(&report);
    assert_eq!(report["failed"], report["photos"]);
    assert_eq!(files(&place, "out"), 0);
    let (report, more) = protect(&place, &shared, &["--out", "all", "--allow-unprotected"]);
    let written = results(&report);
    // libtorch and the networks take some 200; images of up to 16,384 pixels a side claim to be
    // in there, and one of 4,000 × 4,000 is.
    assert!(peak.max(more) < 400, "{peak} and {more} MiB");

    let (mut sound, mut wrong) = (0, Vec::new());
    for (file, (name, expect)) in &expected {
        let Some(result) = written.get(file) else {
            // Not a photo by its ending: not looked at, neither now nor before.
            assert!(!refused.contains_key(file));
            continue;
        };
        let why = refused[file]["why"].as_str().unwrap();
        if why.is_empty() || why.contains('\n') {
            wrong.push(format!("{name}: says {why:?}"));
        }
        let output = result["output"].as_str();
        let large = why.contains("more than the 1000000 allowed");
        match expect {
            Expect::Pixels(width, height) if !large => {
                let photo = faces::read_photo(&place.path(output.unwrap())).unwrap();
                assert_eq!(photo.dimensions(), (*width, *height), "{name}");
                assert!(why.contains("no face was found"), "{name}: {why}");
                sound += 1;
            }
            Expect::Refusal if output.is_some() => wrong.push(format!("{name}: was written")),
            _ => {}
        }
        if output.is_some() != why.contains("no face was found") {
            wrong.push(format!("{name}: {why}, and {output:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(files(&place, "all"), written.values().filter(|r| r["output"].is_string()).count());
    println!("{} of {}, {sound} sound, peak {peak} {more}", written.len(), expected.len());
    assert!(sound >= 40, "{sound} sound images");
}

/// A face's photo, damaged in a hundred ways: where a face is still found it is covered, and
/// nothing is written otherwise.
#[test]
fn a_damaged_face_is_protected_or_refused() {
    let Some((shared, photos)) = real_photos("damaged faces") else { return };
    let place = Place::new();
    std::fs::create_dir(place.path("in")).unwrap();
    let photo = faces::read_photo(&photos.join("astronaut.png")).unwrap();
    let face = image::imageops::crop_imm(&photo, 140, 20, 180, 200).to_image();
    let mut random = 20_u32;
    let mut draw = |below: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) as usize % below
    };
    for (k, format) in
        (0..100).zip([image::ImageFormat::Jpeg, image::ImageFormat::Png].iter().cycle())
    {
        let mut bytes = Cursor::new(Vec::new());
        face.write_to(&mut bytes, *format).unwrap();
        let mut bytes = bytes.into_inner();
        if k % 4 < 2 {
            bytes.truncate(bytes.len() / 2 + draw(bytes.len() / 2));
        } else {
            for _ in 0..1 + k % 3 {
                let at = draw(bytes.len());
                bytes[at] ^= 1 << draw(8);
            }
        }
        let ending = if *format == image::ImageFormat::Png { "png" } else { "jpg" };
        std::fs::write(place.path("in").join(format!("{k:03}.{ending}")), bytes).unwrap();
    }
    let (report, _) = protect(&place, &shared, &["--out", "out"]);
    let (mut protected, mut refused) = (0, 0);
    for (file, result) in results(&report) {
        match result["status"].as_str().unwrap() {
            "protected" => {
                let output = place.path(result["output"].as_str().unwrap());
                let covered = faces::read_photo(&output).unwrap();
                let faces = result["faces"].as_array().unwrap();
                assert!(!faces.is_empty() && faces.iter().all(|face| face["protected"] == true));
                // The nose, where nothing of it is left.
                let nose = faces[0]["landmarks"][2].as_array().unwrap();
                let [x, y] = [0, 1].map(|k| nose[k].as_f64().unwrap().round() as u32);
                let pixel = covered.get_pixel(x, y).0;
                assert!(pixel.iter().all(|&p| p.abs_diff(128) < 12), "{file}: {pixel:?}");
                protected += 1;
            }
            "failed" => {
                assert!(!result["why"].as_str().unwrap().is_empty() && result["output"].is_null());
                refused += 1;
            }
            other => panic!("{file}: {other}"),
        }
    }
    assert_eq!(files(&place, "out"), protected + 1, "the results and their contact sheet");
    assert!(protected >= 10 && refused >= 10, "{protected} protected, {refused} refused");
}
