//! `bench perturb`, from the command line.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::Value;
use support::{Place, error_line};

const HEURISTIC: &str = "no differential-privacy guarantee";

#[test]
fn speeds_are_one_object_with_every_mechanisms_claim() {
    let place = Place::new();
    let words = ["bench", "perturb", "--dims", "16", "--prototypes", "8", "--seconds", "0.01"];
    let report: Value =
        serde_json::from_str(&place.done(&[&words[..], &["--json"]].concat())).unwrap();
    let mechanisms = report["mechanisms"].as_array().unwrap();
    let names: Vec<_> = mechanisms.iter().filter_map(|row| row["mechanism"].as_str()).collect();
    assert_eq!(names, ["codebook", "cap", "purkayastha", "vmf", "independent", "angular"]);
    for row in mechanisms {
        for figure in ["samples_per_second", "vectors_per_second"] {
            assert!(row[figure].as_f64().unwrap() > 0.0, "{row}");
        }
        let heuristic = row["claim"].as_str().unwrap().contains(HEURISTIC);
        assert_eq!(heuristic, row["mechanism"] == "angular", "{row}");
    }
    assert!(place.done(&words).contains(HEURISTIC));
}

/// The same seed, the same table. The means themselves are held by the tests of `dpp`.
#[test]
fn the_table_repeats_itself_and_says_what_angular_is() {
    let place = Place::new();
    let words = ["bench", "perturb", "--table", "--dims", "64", "--samples", "200"];
    let text = place.done(&words);
    assert_eq!(text, place.done(&words));
    assert!(text.contains(HEURISTIC), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with('|')).count(), 10, "{text}");
    let report: Value =
        serde_json::from_str(&place.done(&[&words[..], &["--json"]].concat())).unwrap();
    assert_eq!(report["rows"].as_array().unwrap().len(), 8);
    assert!(report["rows"][7]["cap"]["mean"].as_f64().unwrap() > 0.99);
}

#[test]
fn numbers_out_of_range_are_one_line() {
    let place = Place::new();
    for (words, expected) in [
        (["--epsilon", "-1"], "epsilon = -1"),
        (["--dims", "2"], "3 or more"),
        (["--prototypes", "1"], "2 or more"),
    ] {
        let output = place.run(&[&["bench", "perturb", "--seconds", "0.01"][..], &words].concat());
        let error = error_line(&output);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}
