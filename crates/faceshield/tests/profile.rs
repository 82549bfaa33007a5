//! `train --profile N`: a Chrome trace of each stage and rank, with named ranges.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Place, TINY};

#[test]
fn both_ranks_leave_a_trace_of_a_step() {
    let place = Place::new();
    place.faces(4, 1);
    let mut words = vec!["launch", "--nproc-per-node", "2", "--", "train", "all"];
    words.extend(TINY);
    words.extend(["--data", "faces", "--run-dir", "run", "--max-steps", "2", "--profile", "1"]);
    place.done(&words);
    for rank in 0..2 {
        let log = place.path(&format!("run/logs/rank_{rank}.log"));
        let log = std::fs::read_to_string(log).unwrap();
        assert!(log.contains(" saved ") || rank == 1, "{log}");
        assert!(!log.contains("Warning:"), "libtorch's own advice is not the user's: {log}");
    }
    for (stage, ranges) in [
        ("fse", vec!["copy", "encode", "separate", "losses", "backward", "optimizer"]),
        ("irc", vec!["copy", "encode", "separate", "paint", "losses", "backward", "optimizer"]),
    ] {
        for rank in 0..2 {
            let file = place.path(&format!("run/trace/{stage}_rank_{rank}.json"));
            let trace: serde_json::Value =
                serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            let events = trace["traceEvents"].as_array().unwrap();
            let has = |name: &str| events.iter().any(|event| event["name"] == name);
            for name in ranges.iter().chain(&["gloo:all_reduce"]) {
                assert!(has(name), "{stage}, rank {rank}: no {name}");
            }
        }
    }
}
