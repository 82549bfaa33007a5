//! `faceshield align`: what it refuses, and what it makes of photos. The latter needs the
//! package registries once, for the detector's weights and a photo.
#![allow(clippy::unwrap_used)]

mod support;

use image::RgbImage;
use serde_json::Value;
use support::photos::{real_photos, save_turned};
use support::{Place, error_line};

#[test]
fn what_cannot_be_done_is_one_line() {
    let place = Place::new();
    std::fs::create_dir(place.path("empty")).unwrap();
    std::fs::create_dir(place.path("weights")).unwrap();
    std::fs::write(place.path("weights/pnet.pt"), "no weights at all").unwrap();
    std::fs::write(place.path("a.png"), "").unwrap();
    let fails = |line: &str, code: i32, expected: &[&str]| {
        let output = place.run(&line.split_whitespace().collect::<Vec<_>>());
        let error = error_line(&output);
        assert_eq!(output.status.code(), Some(code), "{line}: {error}");
        assert!(expected.iter().all(|text| error.contains(text)), "{line}: {error}");
    };
    fails("align a.png", 2, &["--out <DIR>"]);
    fails("align --out faces", 2, &["<INPUT>"]);
    fails("align a.png --out faces --size 0", 2, &["--size"]);
    let weights = "--detector-weights weights";
    fails(&format!("align a.png --out faces {weights} --min-face 3"), 2, &["min_face = 3", "12"]);
    fails(&format!("align a.png --out faces {weights} --threshold 2"), 2, &["threshold = 2"]);
    fails(&format!("align a.png --out faces {weights} --device tpu"), 2, &["tpu"]);
    fails(&format!("align a.png --out faces {weights}"), 1, &["weights/pnet.pt"]);
    fails("align empty --out faces", 2, &["no photos", "empty"]);
    fails("align b.png --out faces", 2, &["no such photo", "b.png"]);

    let mut offline = place.faceshield();
    offline.env("PYTHON", "/no/such/python").args(["align", "a.png", "--out", "faces"]);
    let output = offline.output().unwrap();
    let error = error_line(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("no working pip") && error.contains("--detector-weights"), "{error}");
}

#[test]
fn faces_out_of_photos() {
    let test = "faceshield align on photos";
    let Some((shared, cache)) = real_photos(test) else { return };
    let place = Place::new();
    for folder in ["a", "b/c"] {
        std::fs::create_dir_all(place.path(folder)).unwrap();
    }
    let photo = faces::read_photo(&cache.join("astronaut.png")).unwrap();
    photo.save(place.path("a/one.png")).unwrap();
    // As a phone held upright stores it: on its side, to be turned right by a quarter.
    save_turned(&image::imageops::rotate270(&photo), 6, &place.path("b/c/one.jpg"));
    RgbImage::from_pixel(300, 200, image::Rgb([90; 3])).save(place.path("b/nobody.png")).unwrap();
    let words = ["align", "a", "b", "--out", "b/out", "--size", "128", "--json"];
    let run = |place: &Place| {
        let mut command = place.faceshield();
        command.env("FACESHIELD_CACHE", &shared).args(words).output().unwrap()
    };
    let check = |report: &Value| {
        let names: Vec<&str> = report["photos"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["photo"].as_str().unwrap())
            .collect();
        assert!(names.starts_with(&["a/one.png", "b/c/one.jpg", "b/nobody.png"]), "{names:?}");
        assert_eq!(report["faces"], 2);
        assert_eq!(report["photos"][2]["faces"], serde_json::json!([]));
        let [one, turned] = [0, 1].map(|k| &report["photos"][k]["faces"][0]);
        assert_eq!((&one["crop"], &turned["crop"]), (&"one_0.png".into(), &"c/one_0.png".into()));
        // Upright, both are the same photo: the same face at the same place.
        for k in 0..5 {
            let at = |face: &Value| [0, 1].map(|d| face["landmarks"][k][d].as_f64().unwrap());
            let (p, q) = (at(one), at(turned));
            assert!((p[0] - q[0]).hypot(p[1] - q[1]) < 2.0, "{p:?} {q:?}");
            // The transform takes the landmarks close to where they belong in the crop.
            let row = |d: usize| [0, 1, 2].map(|c| one["transform"][d][c].as_f64().unwrap());
            let there = [0, 1].map(|d| row(d)[0] * p[0] + row(d)[1] * p[1] + row(d)[2]);
            let reference = faces::similarity::reference_points(128)[k];
            assert!((there[0] - reference[0]).hypot(there[1] - reference[1]) < 8.0);
        }
        let crop = |name: &str| faces::read_photo(&place.path("b/out").join(name)).unwrap();
        let (a, b) = (crop("one_0.png"), crop("c/one_0.png"));
        assert_eq!(a.dimensions(), (128, 128));
        let sum: u64 = a.iter().zip(b.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!((sum as f64) / (a.len() as f64) < 6.0, "the crops differ");
    };

    let output = run(&place);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    check(&serde_json::from_slice(&output.stdout).unwrap());

    // A file that is no image is told and fails the run; the others are done all the same,
    // and crops of the first run in `b/out` are no photos of the second.
    std::fs::write(place.path("b/torn.jpg"), "no image").unwrap();
    let output = run(&place);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    check(&report);
    assert_eq!((report["photos"].as_array().unwrap().len(), &report["failed"]), (4, &1.into()));
    let stderr = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<&str> = stderr.lines().filter(|line| line.contains("error: ")).collect();
    assert!(errors[0].contains("b/torn.jpg") && errors[1].contains("1 of 4 photos"), "{stderr}");
    assert_eq!(errors.len(), 2, "{stderr}");
}
