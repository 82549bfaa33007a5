//! Every input of the fuzzer's corpus through the same checks, without the fuzzer.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../../fuzz/checks/ledger.rs"]
mod ledger;

#[test]
fn ledgers() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/ledger");
    let files: Vec<_> = std::fs::read_dir(corpus).unwrap().collect();
    assert!(!files.is_empty());
    for file in files {
        let path = file.unwrap().path();
        // Shown only when the check fails.
        println!("{}", path.display());
        ledger::check(&std::fs::read(path).unwrap());
    }
}
