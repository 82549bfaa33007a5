//! The decoded cache and `bench loader`, from the command line.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Place, TINY, difference, error_line};

const CACHE: [&str; 7] =
    ["data", "cache", "faces", "--size", "256", "--out", "store/decoded.safetensors"];
const CACHED: [&str; 2] = ["--set", "decoded_cache=store/decoded.safetensors"];

/// Statistics and two steps of stage I: the same bits from files and from the cache, with an
/// unreadable photo among them.
#[test]
fn a_run_on_the_decoded_cache_is_the_run_on_the_files() {
    let place = Place::new();
    let root = place.faces(3, 2);
    let torn = root.join("person_01/1.png");
    let bytes = std::fs::read(&torn).unwrap();
    std::fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
    let report = place.done(&CACHE);
    assert!(report.contains("unreadable: person_01/1.png"), "{report}");
    assert!(report.contains("6 images of 256 pixels") && report.contains("1 unreadable"));

    let train = |out: &str, more: &[&str]| {
        // The statistics of the other run are not to be found.
        let _ = std::fs::remove_dir_all(place.path("cache"));
        let words = [&["train", "fse"], &TINY[..], &["--data", "faces", "--max-steps", "2"]];
        place.done(&[&words.concat()[..], &["--checkpoint-dir", out][..], more].concat());
        place.path(out).join("checkpoints_FSE/step_00000002/model.safetensors")
    };
    let (files, cache) = (train("files", &[]), train("cached", &CACHED));
    let (gap, name) = difference(&files, &cache);
    assert!(gap == 0.0, "{name} differs by {gap}");
}

#[test]
fn caches_that_do_not_fit_are_one_line() {
    let place = Place::new();
    let root = place.faces(2, 1);
    let fails = |words: &[&str], code: i32, expected: &[&str]| {
        let output = place.run(words);
        let error = error_line(&output);
        assert_eq!(output.status.code(), Some(code), "{error}");
        for text in expected {
            assert!(error.contains(text), "{error}");
        }
    };
    let train = [&["train", "fse"], &TINY[..], &["--data", "faces"], &CACHED].concat();
    fails(&train, 1, &["store/decoded.safetensors", "No such file", "faceshield data cache"]);
    let mut small = CACHE;
    small[4] = "64";
    place.done(&small);
    fails(&train, 1, &["64 pixels", "256 are wanted", "--size 256"]);
    place.done(&CACHE);
    std::fs::copy(root.join("person_00/0.png"), root.join("person_00/1.png")).unwrap();
    fails(&train, 1, &["have changed", "faceshield data cache"]);
    std::fs::write(place.path("store/decoded.safetensors"), "garbage").unwrap();
    fails(&train, 1, &["store/decoded.safetensors", "faceshield data cache"]);
    fails(&["data", "cache", "faces", "--size", "0", "--out", "x"], 1, &["image_size = 0"]);
    let into = ["data", "cache", "faces", "--size", "8", "--out", "faces/person_00/0.png/x"];
    fails(&into, 1, &["cannot write faces/person_00/0.png/x"]);
}

#[test]
fn bench_loader_counts_two_images_a_pair() {
    let place = Place::new();
    place.faces(2, 2);
    place.done(&CACHE);
    let words = ["bench", "loader", "--preset", "demo", "--data", "faces", "--batch", "3"];
    for more in [&[][..], &CACHED] {
        let text =
            place.done(&[&words[..], &["--images", "20", "--set", "workers=1"], more].concat());
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        let number = |name: &str| report[name].as_f64().unwrap();
        // Epochs of four pairs in batches of three and one: 8, 14, 16 images, then 22.
        assert_eq!((number("image_size"), number("batch"), number("workers")), (256.0, 3.0, 1.0));
        assert_eq!(number("images") % 2.0, 0.0);
        assert!((20.0..26.0).contains(&number("images")), "{text}");
        let rate = number("images") / number("seconds");
        assert!((number("images_per_second") / rate - 1.0).abs() < 1e-9, "{text}");
        assert!(number("cpu_ms_per_image") > 0.0 && number("peak_memory_mb") > 1.0, "{text}");
        assert!(number("memory_growth_mb").is_finite());
    }
}
