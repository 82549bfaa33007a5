//! Every input of the fuzzer's corpus through the same checks, without the fuzzer.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../../fuzz/checks/weights.rs"]
mod checks;

/// Runs `check` on the files of `fuzz/corpus/TARGET`.
fn each(target: &str, check: fn(&[u8])) {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let files: Vec<_> = std::fs::read_dir(corpus.join(target)).unwrap().collect();
    assert!(!files.is_empty());
    for file in files {
        let path = file.unwrap().path();
        // Shown only when the check fails.
        println!("{}", path.display());
        check(&std::fs::read(path).unwrap());
    }
}

#[test]
fn pth() {
    each("pth", checks::pth);
}

#[test]
fn safetensors() {
    each("safetensors", checks::safetensors);
}
