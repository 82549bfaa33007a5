//! Every file of the fuzzing corpus `launch_message` through the fuzz target's check.
#![allow(clippy::unwrap_used)]

#[path = "../../../fuzz/checks/launch_message.rs"]
mod launch_message;

#[test]
fn launch_messages() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/launch_message");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        launch_message::check(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 20, "{count}");
}
