#![allow(clippy::unwrap_used)]
use super::*;
use crate::config::Schedule;
use serde::Deserialize;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Loss {
    hsic: f64,
    angle: f64,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Fse {
    #[serde(flatten)]
    engine: crate::Config,
    encoder_weights: String,
    loss: Loss,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Irc {
    #[serde(flatten)]
    engine: crate::Config,
    fse_checkpoint: String,
}

fn layers() -> Layers {
    let mut layers = Layers::new();
    layers.declare::<Fse>("fse").unwrap();
    layers.declare::<Irc>("irc").unwrap();
    layers
}

#[test]
fn later_layers_win_whatever_the_order_of_calls() {
    let mut layers = layers();
    layers.flag("--seed", "seed", 4);
    layers.set("seed=3").unwrap();
    layers.set("epochs=3").unwrap();
    layers.set("lr=1").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    std::fs::write(&file, "seed = 2\nepochs = 2\nbatch_size = 2\n").unwrap();
    layers.file(&file).unwrap();
    let preset = "seed=1\nepochs=1\nbatch_size=1\nlog_every=1\n[fse]\nbatch_size=9\nlog_every=9\nloss.hsic=2";
    layers.text("demo", preset).unwrap();

    let fse: Fse = layers.resolve("fse").unwrap();
    let got = &fse.engine;
    // The preset's `[fse] batch_size` loses to the file's top-level key: a later layer.
    assert_eq!((got.seed, got.epochs, got.batch_size, got.log_every), (4, 3, 2, 9));
    assert_eq!((got.lr, fse.loss.hsic, fse.loss.angle), (1.0, 2.0, 0.0));
    assert_eq!(layers.resolve::<Irc>("irc").unwrap().engine.log_every, 1);
}

#[test]
fn a_stage_table_wins_within_its_layer() {
    let mut layers = layers();
    layers.set("fse.batch_size=7").unwrap();
    layers.set("batch_size=5").unwrap();
    layers.set("lr_schedule=cosine").unwrap();
    layers.set("encoder_weights=007").unwrap();
    layers.set("irc.fse_checkpoint=a/b c").unwrap();
    let fse: Fse = layers.resolve("fse").unwrap();
    assert_eq!((fse.engine.batch_size, fse.engine.lr_schedule), (7, Schedule::Cosine));
    assert_eq!(fse.encoder_weights, "007");
    let irc: Irc = layers.resolve("irc").unwrap();
    assert_eq!((irc.engine.batch_size, irc.fse_checkpoint.as_str()), (5, "a/b c"));
}

#[test]
fn keys_of_another_stage_pass_and_unknown_ones_are_named() {
    let mut known = layers();
    known.text("p", "fse_checkpoint = \"x\"").unwrap();
    known.resolve::<Fse>("fse").unwrap();

    let cases = [
        ("\nbatchsize = 1", "p.toml line 2: unknown key `batchsize`; did you mean `batch_size`?"),
        ("[fse]\n\nloss.hsick = 1", "p.toml line 3: unknown key `fse.loss.hsick`; did you mean"),
        ("hsic = 1", "p.toml line 1: unknown key `hsic`; did you mean `loss.hsic`?"),
        ("[fsee]\nlr = 1", "p.toml line 2: unknown key `fsee.lr`; did you mean one of `fse.lr`"),
        ("seed = 1\nlr = \"x\"", "p.toml line 2: lr must be a number, not a string"),
        ("loss = 3", "p.toml line 1: loss is a table: write loss.KEY"),
        ("seed = 1\nseed = 2", "p.toml line 2: "),
        ("seed = = 2", "p.toml line 1: "),
        ("lr_schedule = \"up\"", "p.toml line 1: lr_schedule: unknown variant `up`"),
        ("epochs = -1", "p.toml line 1: epochs: "),
        ("zzz = 1", "p.toml line 1: unknown key `zzz`"),
        (r#""a\nb" = 1"#, r"p.toml line 1: unknown key `a\nb`"),
    ];
    for (text, expected) in cases {
        let mut layers = layers();
        let message = match layers.text("p.toml", text) {
            Ok(()) => layers.resolve::<Fse>("fse").err().unwrap().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(message.starts_with(expected), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    let message = layers().set("nonsense").unwrap_err().to_string();
    assert!(message.starts_with("--set: expected key=value"), "{message}");
}

#[test]
fn an_unknown_preset_lists_the_known_ones() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("demo.toml"), "seed = 8").unwrap();
    let mut layers = layers();
    let message = layers.preset(folder.path(), "../demo").unwrap_err().to_string();
    assert!(message.contains("choose one of demo"), "{message}");
    layers.preset(folder.path(), "demo").unwrap();
    assert_eq!(layers.resolve::<Fse>("fse").unwrap().engine.seed, 8);
}
