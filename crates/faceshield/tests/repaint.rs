//! `faceshield protect` with a model, and `faceshield prototypes`. Photos and the detector's
//! weights come from the package registries, once; the model is trained here for a step.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::Value;
use support::photos::real_photos;
use support::{Place, TINY, error_line};

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

#[test]
fn faces_get_other_identities_and_the_ledger_says_which() {
    let test = "faceshield protect with a model";
    let Some((shared, cache)) = real_photos(test) else { return };
    let place = Place::new();
    let data = place.faces(3, 2);
    let mut train = vec!["train", "all", "--data", data.to_str().unwrap(), "--max-steps", "1"];
    train.extend(TINY);
    place.done(&train);
    std::fs::create_dir(place.path("in")).unwrap();
    // One face, then three.
    for name in ["astronaut.png", "sample1.jpg"] {
        std::fs::copy(cache.join(name), place.path("in").join(name)).unwrap();
    }
    let run = |line: &str| {
        let mut command = place.faceshield();
        command.env("FACESHIELD_CACHE", &shared).args(line.split_whitespace());
        command.output().unwrap()
    };
    let protect = |line: &str| -> Value {
        let output = run(&format!("protect in {line} --json"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let ledger = |out: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(place.path(out).join("ledger.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };

    // What is printed is what the mechanism proves, and what it does not.
    let report = protect("--out codebook --epsilon 2");
    let faces: Vec<&Value> = report["results"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|photo| photo["faces"].as_array().unwrap())
        .collect();
    assert_eq!((report["faces"].as_u64(), faces.len()), (Some(4), 4));
    assert_eq!(report["mechanism"], "codebook");
    assert_eq!(report["claims"][0], "pure differential privacy at ε = 2, exact on a computer");
    assert_eq!(report["claims"][1], dpp::IMAGE_CLAIM);
    let entries = ledger("codebook");
    assert_eq!(entries.len(), 4);
    for (face, entry) in faces.iter().zip(&entries) {
        assert_eq!(face["release"], entry["release"]);
        assert_eq!(face["guarantee"], report["claims"][0]);
        assert!((-1.0..=1.0).contains(&face["cosine"].as_f64().unwrap()), "{face}");
    }
    // Done is done: nothing more is released.
    protect("--out codebook --epsilon 2");
    assert_eq!(ledger("codebook").len(), 4);
    // Other settings are another draw of the same faces: budgets add up.
    let report = protect("--out codebook --epsilon 3");
    assert_eq!((ledger("codebook").len(), report["faces"].as_u64()), (8, Some(4)));
    assert_eq!(report["results"][0]["faces"][0]["epsilon_in_all"], 5.0);
    assert_eq!(ledger("codebook")[4]["subject"], entries[0]["subject"]);
    // The heuristic says so.
    let report = protect("--out angular --mechanism angular --epsilon 2");
    assert!(report["claims"][0].as_str().unwrap().contains("no differential-privacy guarantee"));
    // A seed repeats itself; without one, no two runs are alike.
    let pixels = |out: &str| {
        let photo = |name: &str| faces::read_photo(&place.path(out).join(name)).unwrap();
        [photo("astronaut.png"), photo("sample1.jpg")]
    };
    let seeded = protect("--out s1 --mechanism independent --seed 7");
    assert!(seeded["claims"][0].as_str().unwrap().contains("no privacy"));
    assert_eq!(seeded["results"][0]["faces"][0]["guarantee"], seeded["claims"][0]);
    protect("--out s2 --mechanism independent --seed 7");
    assert!(pixels("s1") == pixels("s2"));
    protect("--out r1 --mechanism independent");
    protect("--out r2 --mechanism independent");
    assert!(pixels("r1") != pixels("r2"));
    // Far from any face nothing changes, whatever the model paints.
    let original = faces::read_photo(&place.path("in/astronaut.png")).unwrap();
    let bounds = numbers(&faces[0]["bounds"]);
    let side = (bounds[2] - bounds[0]).max(bounds[3] - bounds[1]);
    let repainted = &pixels("r1")[0];
    for (x, y, pixel) in original.enumerate_pixels() {
        let near = (bounds[0] - side..bounds[2] + side).contains(&f64::from(x))
            && (bounds[1] - side..bounds[3] + side).contains(&f64::from(y));
        assert!(near || pixel == repainted.get_pixel(x, y), "({x}, {y}) changed");
    }
    assert!(original != *repainted);

    // Public identities of other people.
    let made = run(&format!("prototypes --data {} --out p.safetensors --json", data.display()));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!((&made["people"], &made["images"]), (&3.into(), &6.into()));
    let table = weights::read(&place.path("p.safetensors")).unwrap();
    assert_eq!(table.tensors["prototypes"].size()[0], 3);
    let line = "--out p --mechanism independent --prototypes p.safetensors";
    protect(line);
    // Three identities for four faces: with the same people, draws repeat.
    assert_eq!(ledger("p").len(), 4);
    // Of another model they are refused.
    let metadata = [("model_sha256".to_owned(), "0".repeat(64))].into();
    weights::write_safetensors(&place.path("p.safetensors"), &table.tensors, &metadata).unwrap();
    let output = run(&format!("protect in {line}"));
    let error = error_line(&output);
    assert!(error.contains("another model") && error.contains("p.safetensors"), "{error}");
}
