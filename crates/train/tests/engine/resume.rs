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
