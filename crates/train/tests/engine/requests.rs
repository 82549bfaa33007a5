//! What a run is asked for while it works: a stop, a checkpoint, an end in time.

use crate::toy::*;
use std::time::Duration;
use train::{Config, Requests, Stop};

fn toy() -> Toy {
    Toy { noise: true, ..Toy::new(4) }
}

#[test]
fn a_stop_saves_and_the_run_goes_on_later() {
    let whole = tempfile::tempdir().unwrap();
    train(whole.path(), &config(), 6).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut asked = toy().asking(2, Requests::stop);
    let summary = train_toy(&mut asked, &config(), &places(folder.path(), 6)).unwrap();
    assert!(summary.stopped == Some(Stop::Asked) && !summary.finished);
    assert_eq!((summary.steps, summary.checkpoint), (3, Some(checkpoint(folder.path(), 3))));
    assert_eq!(train(folder.path(), &config(), 6).unwrap().resumed, Some(3));
    assert_eq!(state(whole.path(), 6), state(folder.path(), 6));

    // Asked for in its last step, a stop has nothing left to stop.
    let folder = tempfile::tempdir().unwrap();
    let mut asked = toy().asking(5, Requests::stop);
    let summary = train_toy(&mut asked, &config(), &places(folder.path(), 6)).unwrap();
    assert_eq!((summary.steps, summary.stopped), (6, None));
}

#[test]
fn a_checkpoint_on_demand_disturbs_nothing() {
    let whole = tempfile::tempdir().unwrap();
    train(whole.path(), &config(), 6).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut asked = toy().asking(1, Requests::save);
    let summary = train_toy(&mut asked, &config(), &places(folder.path(), 6)).unwrap();
    assert_eq!((summary.steps, summary.stopped), (6, None));
    let there = |step| checkpoint(folder.path(), step).join("manifest.json").exists();
    assert_eq!([1, 2, 3, 4, 5, 6].map(there), [false, true, false, true, false, true]);
    assert_eq!(state(whole.path(), 6), state(folder.path(), 6));
}

#[test]
fn a_run_stops_when_its_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let endless = Config { epochs: 1_000_000, checkpoint_every: 1_000_000, ..config() };
    let until = |time: Duration| {
        let mut toy = Toy {
            time: Some(time),
            at_step: Some(Box::new(|_| std::thread::sleep(Duration::from_millis(5)))),
            ..toy()
        };
        train_toy(&mut toy, &endless, &places(folder.path(), u64::MAX)).unwrap()
    };
    // Not even one step: nothing to save.
    let summary = until(Duration::ZERO);
    assert_eq!(
        (summary.steps, summary.stopped, summary.checkpoint),
        (0, Some(Stop::OutOfTime), None)
    );
    let summary = until(Duration::from_secs(1));
    assert_eq!(summary.stopped, Some(Stop::OutOfTime));
    assert_eq!(summary.checkpoint, Some(checkpoint(folder.path(), summary.steps)));
    assert_eq!(until(Duration::from_millis(500)).resumed, Some(summary.steps));
}
