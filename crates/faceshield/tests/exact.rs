//! Training is a pure function of its configuration: run again, stopped and resumed, or spread
//! over two ranks, it arrives at the same parameters.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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

/// However many threads load the images, from files or out of memory; with two threads that
/// compute in stage I (in stage II, which is dearer, one).
#[test]
fn the_same_seed_gives_the_same_bits() {
    let place = Place::new();
    place.faces(6, 2);
    let stages = [
        ("encoder", recogniser(4)),
        ("fse", "--set threads=2 --set encoder_weights=random".to_owned()),
        ("irc", stage_one(&place)),
    ];
    for (stage, extra) in stages {
        let words = format!("{extra} --max-steps 2");
        let one = format!("{words} --set workers=1 --set prefetch=1 --set keep_decoded_mb=0");
        let one = train(&place, stage, "one", false, &one);
        let other = train(&place, stage, "other", false, &format!("{words} --set workers=4"));
        for file in ["model.safetensors", "optimizer.safetensors", "rank_0000.safetensors"] {
            let (gap, name) = difference(&one.join(file), &other.join(file));
            assert!(gap == 0.0, "{stage}: {name} differs by {gap}");
        }
    }
}

/// Words that train the recogniser, on two ranks with half of the batch each, or on one.
fn recogniser(batch: u32) -> String {
    format!("--set encoder.batch_size={batch} --set validation_people=2")
}

/// Six steps, against three, a stop, and three more: the same bits in parameters and in
/// the optimizer's state, on the CPU. The stop falls inside an epoch.
#[test]
fn a_resumed_run_equals_an_undisturbed_one() {
    let place = Place::new();
    place.faces(5, 3);
    let stages = [("encoder", recogniser(4)), ("fse", String::new()), ("irc", stage_one(&place))];
    for (stage, extra) in stages {
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

/// Layer statistics and discriminants measured by two ranks, who share the people out, against
/// those measured by one. Directions may point the other way round; what they project on may not.
#[test]
fn two_ranks_measure_what_one_measures() {
    let place = Place::new();
    place.faces(7, 3);
    let mut files = Vec::new();
    for (out, start) in [("one", &[][..]), ("two", &["launch", "--nproc-per-node", "2", "--"])] {
        let out = format!("{out}.safetensors");
        let rest = ["--data", "faces", "--set", "encoder_weights=random", "--out", &out];
        place.done(&[start, &["stats"], &TINY, &rest].concat());
        files.push(tensors(&place.path(&out)));
    }
    let [one, two] = &files[..] else { unreachable!() };
    assert!(one.keys().eq(two.keys()));
    let close = |a: &[f64], b: &[f64], name: &str| {
        let size = a.iter().fold(0.0_f64, |size, x| size.max(x.abs()));
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-4 * size), "{name}");
    };
    for (name, values) in one {
        let Some(layer) = name.strip_suffix(".filters") else {
            if !name.ends_with(".patterns") {
                close(values, &two[name], name);
            }
            continue;
        };
        // Six between seven people.
        let size = values.len() / 6;
        let project = |of: &BTreeMap<String, Vec<f64>>| -> Vec<f64> {
            let (filters, patterns) = (&of[name], &of[&format!("{layer}.patterns")]);
            let at = |row: usize, column: usize| -> f64 {
                (0..6).map(|k| patterns[k * size + row] * filters[k * size + column]).sum()
            };
            (0..40)
                .flat_map(|row| (0..size).map(move |column| (row, column)))
                .map(|(row, column)| at(row, column))
                .collect()
        };
        close(&project(one), &project(two), name);
    }
    assert!(one.keys().filter(|name| name.ends_with(".filters")).count() == 9);
}

/// Two ranks with batch 1 against one rank with batch 2, three steps: every parameter the
/// same to 1e-5. Noise follows the image; batch norms have stored statistics, or see both
/// ranks' batches.
///
/// 1e-5 alone would say little, as parameters hardly move in three steps: the difference
/// must also be small against the movement, and the first step's averaged gradients (Adam's
/// first moment) must agree group by group. Gradients that were not averaged would differ by
/// about 100 % in both.
///
/// Adam divides a gradient by its own size, so with usual settings an element whose
/// gradient is mere rounding noise moves by a whole learning rate in a direction that
/// differs between any two orders of summation. Gradients clipped to a norm far below
/// Adam's ε make it nearly linear. Batch norms over two images' few pixels amplify rounding
/// all the same (up to 2 % of a gradient in the first step, and more in each next one),
/// which is why the strict bounds are those of stored statistics.
#[test]
fn two_ranks_equal_one_with_twice_the_batch() {
    let place = Place::new();
    place.faces(6, 1);
    let irc = stage_one(&place);
    let frozen = format!("{irc} --set irc.batch_norm=frozen --set warmup=0 --set ramp=0");
    // The published terms bring the third group, and a mean over pairs of both ranks.
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/published_objective.toml");
    let published = format!("{irc} --config {file} --set irc.batch_norm=frozen");
    let sync = format!("{irc} --config {file} --set irc.batch_norm=sync");
    // Allowed: gap against movement; gap of a group's first gradient against its size. And how
    // many groups there are.
    let cases = [
        ("fse", String::new(), 0.02, 0.02, 1),
        ("irc", frozen, 0.02, 0.02, 2),
        ("irc", published, 0.02, 0.02, 3),
        ("irc", sync, f64::INFINITY, 0.2, 3),
    ];
    for (number, (stage, extra, of_movement, of_gradient, of_groups)) in
        cases.into_iter().enumerate()
    {
        let settings = "--max-steps 3 --set checkpoint_every=1 --set lr=1e-5";
        let words = format!("{extra} {settings} --set clip_grad_norm=1e-6");
        let one = train(
            &place,
            stage,
            &format!("one{number}"),
            false,
            &format!("{words} --set batch_size=2"),
        );
        let two = train(&place, stage, &format!("two{number}"), true, &words);
        let read = |last: &Path, step: &str, file: &str| {
            tensors(&last.with_file_name(format!("step_0000000{step}")).join(file))
        };

        let model = "model.safetensors";
        let (first, a, b) =
            (read(&one, "1", model), read(&one, "3", model), read(&two, "3", model));
        let mut movement = Apart::default();
        for (name, values) in &a {
            let size = values.iter().fold(1.0_f64, |size, x| size.max(x.abs()));
            // Running statistics are as large as what they measure; parameters are not.
            let running = name.contains(".running_");
            let allowed = if running { 1e-3 * size } else { 1e-5 };
            for ((a, b), before) in values.iter().zip(&b[name]).zip(&first[name]) {
                assert!((a - b).abs() <= allowed, "{stage}: {name}: {a} and {b}");
                if !running {
                    movement.add(a - b, a - before);
                }
            }
        }
        assert!(movement.share() <= of_movement, "{stage} {extra}: {movement:?}");

        let optimizer = "optimizer.safetensors";
        let (a, b) = (read(&one, "1", optimizer), read(&two, "1", optimizer));
        let mut groups: BTreeMap<&str, Apart> = BTreeMap::new();
        for (name, values) in a.iter().filter(|(name, _)| name.ends_with(".exp_avg")) {
            let group = groups.entry(name.split('.').next().unwrap()).or_default();
            for (a, b) in values.iter().zip(&b[name]) {
                group.add(a - b, *a);
            }
        }
        assert_eq!(groups.len(), of_groups, "{stage} {extra}");
        for (group, apart) in groups {
            // The only one whose norms see maps of many pixels.
            let allowed = if group == "discriminator" { 1e-3 } else { of_gradient };
            assert!(apart.share() <= allowed, "{stage} {extra}: {group}: {apart:?}");
        }
    }
}

/// The recogniser by SGD: two ranks with batch 4 against one with batch 8, batch norms over both
/// ranks' images, dropout and augmentation by image. The first step's averaged gradients (SGD's
/// running sums, but for the weight decay) agree to rounding; after three steps the parameters'
/// distance is small against their movement.
#[test]
fn two_ranks_train_the_recogniser_as_one_does() {
    let place = Place::new();
    place.faces(8, 3);
    let settings = "--max-steps 3 --set checkpoint_every=1 --set encoder.batch_norm=sync \
                    --set encoder.lr=0.001 --set encoder.warmup_steps=0";
    let run = |out, launch, batch| {
        train(&place, "encoder", out, launch, &format!("{} {settings}", recogniser(batch)))
    };
    let (one, two) = (run("one", false, 8), run("two", true, 4));
    let apart = |step: u32, file: &str, since: Option<u32>| {
        let read = |last: &Path, step: u32| {
            tensors(&last.with_file_name(format!("step_{step:08}")).join(file))
        };
        let (a, b, before) = (read(&one, step), read(&two, step), since.map(|s| read(&one, s)));
        let mut apart = Apart::default();
        for (name, values) in a.iter().filter(|(name, _)| !name.contains(".running_")) {
            for (k, (x, y)) in values.iter().zip(&b[name]).enumerate() {
                apart.add(x - y, before.as_ref().map_or(*x, |before| x - before[name][k]));
            }
        }
        apart.share()
    };
    let gradients = apart(1, "optimizer.safetensors", None);
    assert!(gradients < 0.01, "gradients {gradients}");
    let movement = apart(3, "model.safetensors", Some(1));
    assert!(movement < 0.05, "movement {movement}");
}

/// Sums of squares of a difference, and of what it is measured against.
#[derive(Debug, Default)]
struct Apart(f64, f64);

impl Apart {
    fn add(&mut self, gap: f64, size: f64) {
        self.0 += gap * gap;
        self.1 += size * size;
    }

    fn share(&self) -> f64 {
        (self.0 / self.1).sqrt()
    }
}
