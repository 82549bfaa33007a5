//! Configuration: TOML text, then after a zero byte assignments as for `--set`, one a line,
//! resolved for two stages.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use train::config::Layers;

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
    engine: train::Config,
    encoder_weights: String,
    loss: Loss,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Irc {
    #[serde(flatten)]
    engine: train::Config,
    same_share: f64,
}

/// Layers that know the two stages; made once, for it takes longer than most inputs.
static STAGES: LazyLock<Layers> = LazyLock::new(|| {
    let mut layers = Layers::new();
    one_line(layers.declare::<Fse>("fse"));
    one_line(layers.declare::<Irc>("irc"));
    layers
});

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (file, settings) = text.split_once('\0').unwrap_or((text, ""));
    let mut layers = STAGES.clone();
    one_line(layers.text("file.toml", file));
    for setting in settings.lines() {
        one_line(layers.set(setting));
    }
    one_line(layers.resolve::<Fse>("fse").map(|fse| fse.engine.validate()));
    one_line(layers.resolve::<Irc>("irc").map(|irc| irc.engine.validate()));
}

fn one_line<T>(outcome: Result<T, train::Error>) {
    if let Err(error) = outcome {
        assert!(!error.to_string().contains('\n'), "not one line: {error}");
    }
}
