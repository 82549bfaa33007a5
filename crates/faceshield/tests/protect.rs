//! `faceshield protect` without a model: what it refuses, what it writes, what it never touches.
//! Photos and the detector's weights come from the package registries, once.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use image::RgbImage;
use serde_json::Value;
use support::photos::{real_photos, save_turned};
use support::{Place, error_line};

#[test]
fn what_cannot_be_done_is_one_line() {
    let place = Place::new();
    std::fs::create_dir(place.path("empty")).unwrap();
    std::fs::write(place.path("a.png"), "no photo").unwrap();
    let fails = |line: &str, expected: &[&str]| {
        let output = place.run(&line.split_whitespace().collect::<Vec<_>>());
        let error = error_line(&output);
        assert!(expected.iter().all(|text| error.contains(text)), "{line}: {error}");
        assert!(!place.path("out").exists(), "{line}");
        output.status.code()
    };
    let misused = [
        ("protect a.png", ["--out <DIR>", ""]),
        ("protect --out out", ["<INPUT>", ""]),
        ("protect none.png --out out --method solid", ["no such photo", "none.png"]),
        ("protect empty --out out --method solid", ["no photos", "empty"]),
        ("protect *.gif --out out --method solid", ["no photos", "*.gif"]),
        ("protect a.png --out out", ["needs --epsilon", "independent"]),
        ("protect a.png --out out --method pixelate", ["pixelate", "mosaic"]),
        ("protect a.png --out out --mechanism laplace", ["laplace", "codebook"]),
        ("protect a.png --out out --method dp-pix", ["dp-pix", "--epsilon"]),
        ("protect a.png --out out --method dp-pix --epsilon -1", ["epsilon = -1", "2⁻²⁰"]),
        ("protect a.png --out out --method mosaic --squares 0", ["--squares", "0"]),
        ("protect a.png --out out --method solid --device tpu", ["tpu", "device"]),
        ("protect a.png --out out --method solid --min-face 3", ["min_face = 3", "12"]),
        ("prototypes --data empty --out p.npz", ["p.npz", ".safetensors"]),
    ];
    for (line, expected) in misused {
        assert_eq!(fails(line, &expected), Some(2), "{line}");
    }
    let line = "protect a.png --out out --epsilon 1 --checkpoint empty";
    assert_eq!(fails(line, &["no complete checkpoint", "empty"]), Some(1));
    let line = "protect a.png --out out --method solid --detector-weights empty";
    assert_eq!(fails(line, &["empty/pnet.pt"]), Some(1));
}

/// Every file below a folder, by its name there.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                all.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    all
}

struct Photos {
    place: Place,
    shared: std::path::PathBuf,
}

impl Photos {
    /// A tree of photos, two of them with a face, one of these in three ways:
    /// `in/a.png`, `in/sub/a.png` (another one), `in/turned.jpg`, `in/nobody.png`.
    fn new(test: &str) -> Option<Photos> {
        let (shared, cache) = real_photos(test)?;
        let place = Place::new();
        std::fs::create_dir_all(place.path("in/sub")).unwrap();
        let photo = faces::read_photo(&cache.join("astronaut.png")).unwrap();
        photo.save(place.path("in/a.png")).unwrap();
        let other = image::imageops::flip_horizontal(&photo);
        other.save(place.path("in/sub/a.png")).unwrap();
        save_turned(&image::imageops::rotate270(&photo), 6, &place.path("in/turned.jpg"));
        RgbImage::from_pixel(90, 60, image::Rgb([90; 3]))
            .save(place.path("in/nobody.png"))
            .unwrap();
        Some(Photos { place, shared })
    }

    fn run(&self, line: &str) -> Output {
        let mut command = self.place.faceshield();
        command.env("FACESHIELD_CACHE", &self.shared).arg("protect").args(line.split_whitespace());
        command.output().unwrap()
    }

    fn report(&self, line: &str, code: i32) -> Value {
        let output = self.run(&format!("{line} --json"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {stderr}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[test]
fn every_baseline_hides_the_face_and_nothing_else() {
    let Some(photos) = Photos::new("the baselines of faceshield protect") else { return };
    let original = faces::read_photo(&photos.place.path("in/a.png")).unwrap();
    let before = files(&photos.place.path("in"));
    for method in ["blur", "mosaic", "solid", "dp-pix --epsilon 50", "dp-blur --epsilon 50"] {
        let name = method.split(' ').next().unwrap();
        let report = photos.report(&format!("in/a.png --out {name} --method {method}"), 0);
        assert_eq!((&report["protected"], &report["faces"]), (&1.into(), &1.into()), "{method}");
        assert_eq!(report["method"], name);
        let face = &report["results"][0]["faces"][0];
        let claim = report["claims"][0].as_str().unwrap();
        assert_eq!(face["guarantee"], claim, "{method}");
        let private = name.starts_with("dp-");
        assert_eq!(claim.contains("differential privacy"), private, "{method}: {claim}");
        let result = faces::read_photo(&photos.place.path(&format!("{name}/a.png"))).unwrap();
        let bounds: Vec<f64> =
            face["bounds"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        let (width, height) = (bounds[2] - bounds[0], bounds[3] - bounds[1]);
        let (mut inside, mut outside, mut pixels) = (0.0, 0, 0.0);
        for (x, y, pixel) in original.enumerate_pixels() {
            let (x, y) = (f64::from(x), f64::from(y));
            let other = result.get_pixel(x as u32, y as u32);
            let gap: u32 = (0..3).map(|c| u32::from(pixel.0[c].abs_diff(other.0[c]))).sum();
            let within = |margin: f64| {
                (bounds[0] - margin * width..bounds[2] + margin * width).contains(&x)
                    && (bounds[1] - margin * height..bounds[3] + margin * height).contains(&y)
            };
            if within(0.0) {
                inside += f64::from(gap) / 3.0;
                pixels += 1.0;
            }
            outside += u32::from(gap > 0 && !within(0.8));
        }
        assert!(inside / pixels > 5.0, "{method}: {} a pixel", inside / pixels);
        assert_eq!(outside, 0, "{method}: pixels far from the face changed");
    }
    let seeded = photos.report("in/a.png --out s --method dp-pix --epsilon 1 --seed 1", 0);
    assert!(seeded["claims"][0].as_str().unwrap().contains("no privacy"));
    assert_eq!(seeded["results"][0]["faces"][0]["guarantee"], seeded["claims"][0]);
    assert!(before == files(&photos.place.path("in")), "an original was touched");
}

#[test]
fn a_folder_is_mirrored_and_a_photo_without_a_face_is_not_written() {
    let Some(photos) = Photos::new("faceshield protect on a folder") else { return };
    let before = files(&photos.place.path("in"));
    let out = photos.place.path("out");
    let line = "in in/sub/a.png --out out --method mosaic";
    let report = photos.report(line, 1);
    let names = |out: &Path| files(out).into_keys().collect::<Vec<_>>();
    let always = [".protected.jsonl", "contact_sheet.png", "ledger.jsonl", "report.json"];
    let mut expected = vec!["a.png", "sub/a.png", "turned.jpg"];
    expected.extend(always);
    expected.sort_unstable();
    assert_eq!(names(&out), expected);
    let count = |report: &Value| {
        ["photos", "protected", "unprotected", "failed", "faces"]
            .map(|key| report[key].as_u64().unwrap())
    };
    assert_eq!(count(&report), [4, 3, 0, 1, 3]);
    assert_eq!(report, serde_json::from_slice::<Value>(&files(&out)["report.json"]).unwrap());
    let nobody = &report["results"][1];
    assert!(nobody["input"].as_str().unwrap().contains("nobody"), "{nobody}");
    assert!(nobody["why"].as_str().unwrap().contains("no face was found"));
    assert_eq!(nobody["output"], Value::Null);
    // Turned upright by its EXIF, which is gone.
    let turned = &files(&out)["turned.jpg"];
    assert!(!turned.windows(4).any(|four| four == b"Exif"));
    let upright = faces::read_photo(&photos.place.path("in/turned.jpg")).unwrap();
    assert_eq!(
        faces::read_photo(&out.join("turned.jpg")).unwrap().dimensions(),
        upright.dimensions()
    );

    // It is written when that is allowed, and taken away when it is no longer.
    let allowed = photos.report(&format!("{line} --allow-unprotected"), 0);
    assert_eq!(count(&allowed), [4, 3, 1, 0, 3]);
    assert_eq!(allowed["results"][1]["status"], "unprotected");
    assert_eq!(names(&out).len(), expected.len() + 1);
    photos.report(line, 1);
    assert_eq!(names(&out), expected);

    // Into its own folder: refused before anything is written.
    let output = photos.run("in --out in --method solid");
    assert_eq!(output.status.code(), Some(2));
    assert!(error_line(&output).contains("written over"));
    assert!(before == files(&photos.place.path("in")), "an original was touched");
}

#[test]
fn a_run_goes_on_where_it_stopped() {
    let Some(photos) = Photos::new("faceshield protect going on") else { return };
    let line = "in/a.png in/sub/a.png in/turned.jpg --method dp-pix --epsilon 9 --seed 4";
    photos.report(&format!("{line} --out whole"), 0);
    let whole = files(&photos.place.path("whole"));
    // Stopped after one photo, in the middle of the record's line for the second.
    photos.report("in/turned.jpg --method dp-pix --epsilon 9 --seed 4 --out parts", 0);
    let record = photos.place.path("parts/.protected.jsonl");
    let mut text = std::fs::read_to_string(&record).unwrap();
    text.push_str("{\"input\":\"in/a.p");
    std::fs::write(&record, text).unwrap();
    let stamp =
        |name: &str| std::fs::metadata(photos.place.path(name)).unwrap().modified().unwrap();
    let first = stamp("parts/turned.jpg");
    photos.report(&format!("{line} --out parts"), 0);
    assert_eq!(stamp("parts/turned.jpg"), first, "it was done already");
    let parts = files(&photos.place.path("parts"));
    for name in ["a.png", "a_2.png", "turned.jpg"] {
        assert!(parts[name] == whole[name], "{name} depends on where the run stopped");
    }
    // Other settings, another photo under the same name, a result that is gone: done anew.
    let again = |line: &str, name: &str, changes: bool| {
        let before = stamp(name);
        photos.report(&format!("{line} --out parts"), 0);
        assert_eq!(stamp(name) != before, changes, "{line}");
    };
    again(line, "parts/a.png", false);
    again(&line.replace("--epsilon 9", "--epsilon 8"), "parts/a.png", true);
    std::fs::copy(photos.place.path("in/sub/a.png"), photos.place.path("in/a.png")).unwrap();
    again(&line.replace("--epsilon 9", "--epsilon 8"), "parts/a.png", true);
    // A file that is no result of ours stays.
    std::fs::create_dir(photos.place.path("taken")).unwrap();
    std::fs::write(photos.place.path("taken/a.png"), "mine").unwrap();
    let report = photos.report("in/a.png --out taken --method solid", 1);
    assert!(report["results"][0]["why"].as_str().unwrap().contains("exists"));
    assert_eq!(std::fs::read(photos.place.path("taken/a.png")).unwrap(), b"mine");
}

#[test]
fn metadata_goes_and_the_format_can_be_chosen() {
    let Some(photos) = Photos::new("formats of faceshield protect") else { return };
    for (format, file, start) in [
        ("png", "a.png", &b"\x89PNG"[..]),
        ("jpeg", "a.jpg", &b"\xff\xd8"[..]),
        ("webp", "a.webp", &b"RIFF"[..]),
    ] {
        let line = format!("in/a.png --out {format} --method solid --format {format} --largest");
        photos.report(&line, 0);
        let bytes = std::fs::read(photos.place.path(format).join(file)).unwrap();
        assert!(bytes.starts_with(start));
        assert_eq!(faces::read_photo(&photos.place.path(format).join(file)).unwrap().width(), 512);
    }
    let report = photos.report("in/a.png --out small --method solid --max-pixels 1000", 1);
    let why = report["results"][0]["why"].as_str().unwrap();
    assert!(why.contains("512 × 512") && why.contains("1000"), "{why}");
}
