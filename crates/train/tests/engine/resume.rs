//! An interrupted run ends where an undisturbed one does, bit for bit.

use crate::events::{read, reproducible};
use crate::toy::*;
use train::Config;

#[test]
fn interrupted_runs_end_bitwise_equal() {
    let whole = tempfile::tempdir().unwrap();
    let summary = train(whole.path(), &config(), 6).unwrap();
    assert_eq!((summary.steps, summary.finished, summary.resumed), (6, false, None));
    assert_eq!(metrics(whole.path()).len(), 6);
    // Twice without interruption first: otherwise the rest would prove nothing.
    let again = tempfile::tempdir().unwrap();
    train(again.path(), &config(), 6).unwrap();
    assert_eq!(state(whole.path(), 6), state(again.path(), 6));

    // Mid-epoch, at the end of an epoch, and more than once.
    for stops in [&[3][..], &[4], &[1, 2, 5]] {
        let folder = tempfile::tempdir().unwrap();
        for stop in stops {
            train(folder.path(), &config(), *stop).unwrap();
        }
        let summary = train(folder.path(), &config(), 6).unwrap();
        assert_eq!(summary.resumed, stops.last().copied());
        assert_eq!(state(whole.path(), 6), state(folder.path(), 6), "{stops:?}");
        assert_eq!(metrics(whole.path()), metrics(folder.path()), "{stops:?}");
        assert_eq!(
            reproducible(&whole.path().join("run")),
            reproducible(&folder.path().join("run"))
        );
    }
}

#[test]
fn what_a_run_leaves_behind() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { log_every: 3, ..config() };
    let summary = train(folder.path(), &config, 100).unwrap();
    assert!(summary.finished && summary.stopped.is_none());
    assert_eq!((summary.steps, summary.checkpoint), (12, Some(checkpoint(folder.path(), 12))));
    for step in [4, 8, 12] {
        assert!(checkpoint(folder.path(), step).join("manifest.json").exists());
    }
    let found = train::checkpoint::find(folder.path(), "toy").unwrap();
    let manifest = found.manifest();
    assert_eq!((manifest.step, manifest.epoch, manifest.batch), (12, 3, 0));
    assert_eq!((manifest.world_size, manifest.fidelity.as_str()), (1, "corrected"));
    assert_eq!(manifest.files.len(), 3);
    assert_eq!(found.model().unwrap().len(), 5);

    let run = folder.path().join("run");
    let resolved: toml::Table =
        std::fs::read_to_string(run.join("config.toml")).unwrap().parse().unwrap();
    assert_eq!(resolved["toy"]["image_size"].as_integer(), Some(4));
    assert!(run.join("preview/toy_00000010.png").exists());
    let lines = metrics(folder.path());
    let keys: Vec<_> = lines[7].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["batch", "epoch", "grad_norm", "losses", "lr", "stage", "step"]);
    assert_eq!((lines[7]["epoch"].as_u64(), lines[7]["batch"].as_u64()), (Some(1), Some(3)));

    let points = read(&run);
    let steps = |tag: &str| {
        let of_tag = points.iter().filter(|point| point.tag == tag);
        of_tag.map(|point| point.step).collect::<Vec<_>>()
    };
    for tag in ["Loss/G_loss", "Loss/D_loss", "Term/adv", "Term/rec", "Rate/toy", "GradNorm/toy_d"]
    {
        assert_eq!(steps(tag), [0, 3, 6, 9], "{tag}");
    }
    assert_eq!(steps("Preview/toy"), [0, 2, 4, 6, 8, 10]);
    assert!(steps("Loss/never").is_empty());
    let logged = points.iter().find(|point| point.tag == "Term/rec" && point.step == 3).unwrap();
    assert_eq!(logged.scalar, lines[3]["losses"]["rec"].as_f64().map(|x| x as f32));

    // Nothing left to do.
    assert_eq!(train(folder.path(), &config, 100).unwrap().steps, 12);
    assert_eq!(metrics(folder.path()), lines);
}

/// Every third step and the last one, with the same numbers after a resume; never with 0.
#[test]
fn validations_are_in_the_lines_of_their_steps() {
    let (straight, halves) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (straight, halves) = (straight.path(), halves.path());
    let config = Config { validate_every: 3, ..config() };
    let summary = train(straight, &config, 8).unwrap();
    let validated = |folder| {
        let value = |line: &serde_json::Value| {
            let size = line.get("validation").map(|found| found["size"].as_f64().unwrap());
            size.map(|size| (line["step"].as_u64().unwrap(), size))
        };
        metrics(folder).iter().filter_map(value).collect::<Vec<_>>()
    };
    let found = validated(straight);
    let points = read(&straight.join("run"));
    let shown = points.iter().filter(|point| point.tag == "Validation/size");
    let shown: Vec<_> = shown.map(|point| (point.step as u64, point.scalar.unwrap())).collect();
    assert_eq!(shown, found.iter().map(|(step, x)| (*step, *x as f32)).collect::<Vec<_>>());
    assert_eq!(found.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [2, 5, 7]);
    assert_eq!(summary.validation["size"], found[2].1);

    train(halves, &config, 4).unwrap();
    train(halves, &config, 8).unwrap();
    let resumed: Vec<_> = validated(halves).into_iter().filter(|(step, _)| *step != 3).collect();
    assert_eq!(resumed, found, "step 3 was the last of its run");

    let none = tempfile::tempdir().unwrap();
    let summary = train(none.path(), &Config { validate_every: 0, ..config }, 3).unwrap();
    assert!(validated(none.path()).is_empty() && summary.validation.is_empty());
}

/// SGD's running sums are part of a checkpoint, and penalised weights go on as they were.
#[test]
fn sgd_resumes_exactly() {
    let (straight, halves) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = Config {
        optimizer: train::config::Optimizer::Sgd,
        nesterov: true,
        weight_decay: 0.01,
        lr_schedule: train::config::Schedule::Polynomial,
        ..config()
    };
    train(straight.path(), &config, 8).unwrap();
    train(halves.path(), &config, 4).unwrap();
    train(halves.path(), &config, 8).unwrap();
    assert_eq!(state(straight.path(), 8), state(halves.path(), 8));
    let optimizer = checkpoint(straight.path(), 8).join("optimizer.safetensors");
    let names: Vec<_> = weights::read(&optimizer).unwrap().tensors.into_keys().collect();
    assert!(names.contains(&"g.G.weight.momentum_buffer".to_string()), "{names:?}");
}
