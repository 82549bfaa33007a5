//! Every conformance case passes, and a wrong number is noticed.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};

use support::{Place, error_line};

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/conformance")
}

#[test]
fn every_case_passes() {
    let place = Place::new();
    // As many threads as the machine has: with another order of sums a hidden unit
    // near zero may change sides, and gradients behind it move by more than rounding.
    let mut command = place.faceshield();
    command.env_remove("OMP_NUM_THREADS").args(["conformance", "--json"]).arg(cases());
    let output = command.output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{report}");
    assert_eq!(report["passed"], 9, "{report}");
    assert_eq!(report["cases"].as_array().unwrap().len(), 9);
}

#[test]
fn one_number_off_by_a_thousandth_of_the_spread_fails() {
    let place = Place::new();
    let case = weights::read(&cases().join("perturb.safetensors")).unwrap();
    let expected = &case.tensors["out.perturbed"];
    let spread = expected.std(true).double_value(&[]);
    let _ = expected.get(3).get(100).g_add_scalar_(spread * 1e-3);
    let changed = place.path("changed.safetensors");
    weights::write_safetensors(&changed, &case.tensors, &case.metadata).unwrap();
    let output = place.run(&["conformance", changed.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(report.contains("FAIL") && report.contains("0 of 1 cases pass"), "{report}");
}

#[test]
fn a_file_that_is_no_case_is_named() {
    let place = Place::new();
    let file = place.path("plain.safetensors");
    weights::write_safetensors(&file, &weights::Tensors::new(), &Default::default()).unwrap();
    let output = place.run(&["conformance", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(error_line(&output).contains("plain.safetensors: no metadata key `case`"));
}
