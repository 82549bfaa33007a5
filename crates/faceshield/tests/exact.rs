//! Training is a pure function of its configuration: stopped and resumed, or spread over
//! two ranks, it arrives at the same parameters.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::PathBuf;

use support::{Place, TINY, difference, tensors};

/// Trains one stage in `place` with further words; returns its newest checkpoint's folder.
fn train(place: &Place, stage: &str, out: &str, launch: bool, words: &str) -> PathBuf {
    let mut line: Vec<&str> = Vec::new();
    if launch {
        line.extend(["launch", "--nproc-per-node", "2", "--"]);
    }
    line.extend(["train", stage]);
    line.extend(TINY);
    line.extend(["--data", "faces", "--set", "preview_every=0", "--run-dir", out]);
    line.extend(["--checkpoint-dir", out]);
    line.extend(words.split_whitespace());
    place.done(&line);
    let folder = place.path(out).join(format!("checkpoints_{}", stage.to_uppercase()));
    let mut steps: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    steps.sort();
    steps.pop().unwrap()
}

/// Stage I's checkpoint for stage II to stand on.
fn stage_one(place: &Place) -> String {
    let found = train(place, "fse", "stage1", false, "--max-steps 1");
    format!("--set fse_checkpoint={}", found.display())
}

/// Six steps, against three, a stop, and three more: the same bits in parameters and in
/// Adam's state, on the CPU. Five people of one photo: the stop falls inside an epoch.
#[test]
fn a_resumed_run_equals_an_undisturbed_one() {
    let place = Place::new();
    place.faces(5, 1);
    for (stage, extra) in [("fse", String::new()), ("irc", stage_one(&place))] {
        let straight = train(&place, stage, "straight", false, &format!("{extra} --max-steps 6"));
        train(&place, stage, "halves", false, &format!("{extra} --max-steps 3"));
        let halves = train(&place, stage, "halves", false, &format!("{extra} --max-steps 6"));
        for file in ["model.safetensors", "optimizer.safetensors"] {
            let (gap, name) = difference(&straight.join(file), &halves.join(file));
            assert!(gap == 0.0, "{stage}: {name} differs by {gap}");
        }
        // Each step is in the metrics once.
        let metrics = std::fs::read_to_string(place.path("halves/metrics.jsonl")).unwrap();
        let mine = format!("\"stage\":\"{stage}\"");
        assert_eq!(metrics.lines().filter(|line| line.contains(&mine)).count(), 6);
    }
}

/// Two ranks with batch 1 against one rank with batch 2, three steps: the same parameters
/// to 1e-5, and to a tenth of how far the steps moved them. Noise follows the image,
/// batch norms see both ranks' batches.
///
/// Adam divides a gradient by its own size, so with usual settings an element whose
/// gradient is mere rounding noise moves by a whole learning rate in a direction that
/// differs between any two orders of summation; and stage II's batch norms over two
/// images amplify that from step to step (one rank with one thread and with two threads
/// differ by 2 % of the movement). Gradients clipped to a norm far below Adam's ε make it
/// nearly linear; gradients that were not averaged would still differ by 100 %.
#[test]
fn two_ranks_equal_one_with_twice_the_batch() {
    let place = Place::new();
    place.faces(6, 1);
    let settings = "--max-steps 3 --set lr=1e-5 --set clip_grad_norm=1e-6";
    for (stage, extra) in [("fse", String::new()), ("irc", stage_one(&place))] {
        let words = format!("{extra} {settings} --set checkpoint_every=1");
        let one = train(&place, stage, "one", false, &format!("{words} --set batch_size=2"));
        let two = train(&place, stage, "two", true, &words);
        let file = "model.safetensors";
        let (one_step, one, two) = (
            tensors(&one.with_file_name("step_00000001").join(file)),
            tensors(&one.join(file)),
            tensors(&two.join(file)),
        );
        let (mut gap, mut moved) = (0.0, 0.0);
        for (name, values) in &one {
            let size = values.iter().fold(1.0_f64, |size, x| size.max(x.abs()));
            // Running statistics are as large as what they measure; parameters are not.
            let allowed = if name.contains(".running_") { 1e-3 * size } else { 1e-5 };
            for ((a, b), before) in values.iter().zip(&two[name]).zip(&one_step[name]) {
                assert!((a - b).abs() <= allowed, "{stage}: {name}: {a} and {b}");
                if !name.contains(".running_") {
                    gap += (a - b).powi(2);
                    moved += (a - before).powi(2);
                }
            }
        }
        let (gap, moved) = (f64::sqrt(gap), f64::sqrt(moved));
        assert!(gap < 0.1 * moved, "{stage}: apart {gap}, moved {moved}");
    }
}
