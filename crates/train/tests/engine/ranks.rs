//! Two processes, started by running this test binary again.

use crate::toy::*;
use c10d::{Backend, World};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tch::Tensor;
use train::{Config, Error, Requests, Summary};

const FOLDER: &str = "TOY_FOLDER";

fn base() -> Config {
    Config { batch_size: 2, ..config() }
}

/// What each rank does: batch 2 each; `noise` off, since it would be a rank's own.
fn as_rank(world: &World, folder: &Path, max_steps: u64) -> Result<Summary, Error> {
    let poison = std::env::var("TOY_POISON").is_ok() && world.rank() == 1;
    let mut data = Data {
        rank: world.rank() as u64,
        world_size: world.size() as u64,
        batch_size: 2,
        poisoned: if poison { 1..2 } else { 0..0 },
        ..Data::solo(4, 4)
    };
    // Rank 1 starts from something else, and must get rank 0's parameters.
    let mut toy = Toy { seen: Some(folder.join("items")), ..Toy::new(4) };
    if world.rank() == 1 {
        use train::Stage;
        for (_, tensor) in toy.state() {
            let _ = tensor.shallow_clone().fill_(7.0);
        }
        for (name, ask) in [("TOY_STOP", Requests::stop as fn(&_)), ("TOY_SAVE", Requests::save)] {
            if std::env::var(name).is_ok() {
                toy = toy.asking(1, ask);
            }
        }
    }
    let requests = toy.requests.clone();
    train::run(&mut toy, &mut data, &base(), world, &places(folder, max_steps), &requests)
}

/// Not a test of its own: the part of one rank.
#[test]
fn one_rank() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let steps: u64 = std::env::var("TOY_STEPS").unwrap().parse().unwrap();
    tch::set_num_threads(1);
    let world = World::from_env(Backend::Gloo, Duration::from_secs(60)).unwrap();
    assert_eq!(world.size(), 2);
    let summary = as_rank(&world, Path::new(&folder), steps).unwrap();
    if std::env::var("TOY_POISON").is_ok() {
        assert_eq!(summary.bad_steps, 1);
    }
    assert_eq!(summary.stopped.is_some(), std::env::var("TOY_STOP").is_ok());
}

/// Kills what is left if the test fails in between.
struct Rank(Child);

impl Drop for Rank {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn two_ranks(folder: &Path, steps: u64, extra: &[&str]) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let start = |rank: usize| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "ranks::one_rank", "--nocapture"])
            .env(FOLDER, folder)
            .env("TOY_STEPS", steps.to_string())
            .env("RANK", rank.to_string())
            .env("LOCAL_RANK", rank.to_string())
            .env("WORLD_SIZE", "2")
            .env("MASTER_ADDR", "127.0.0.1")
            .env("MASTER_PORT", port.to_string())
            .stdout(Stdio::null());
        for name in extra {
            command.env(name, "1");
        }
        Rank(command.spawn().unwrap())
    };
    let mut ranks = [start(0), start(1)];
    for rank in &mut ranks {
        assert!(rank.0.wait().unwrap().success());
    }
}

fn model(folder: &Path, step: u64) -> weights::Tensors {
    weights::read(&checkpoint(folder, step).join("model.safetensors")).unwrap().tensors
}

/// Items (k·b + j)·w + r: two ranks with batch 2 see what one sees with batch 4.
#[test]
fn two_ranks_equal_one_with_twice_the_batch() {
    let (two, one) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (two, one) = (two.path(), one.path());
    two_ranks(two, 3, &[]);
    let config = Config { batch_size: 4, ..base() };
    train_toy(&mut Toy::new(4), &config, &places(one, 3)).unwrap();
    for (name, expected) in model(one, 3) {
        let difference: Tensor = (&model(two, 3)[&name] - expected).abs().max();
        let difference = f64::try_from(difference).unwrap();
        assert!(difference < 1e-5, "{name} differs by {difference}");
    }
    for (a, b) in metrics(two).iter().zip(&metrics(one)) {
        for part in ["losses", "grad_norm"] {
            for (name, x) in a[part].as_object().unwrap() {
                let (x, y) = (x.as_f64().unwrap(), b[part][name].as_f64().unwrap());
                assert!((x - y).abs() < 1e-5, "{name}: {x} and {y}");
            }
        }
    }
    assert!(checkpoint(two, 3).join("rank_0001.safetensors").exists());

    // Two ranks, interrupted: the same bits.
    two_ranks(two, 6, &[]);
    let whole = tempfile::tempdir().unwrap();
    two_ranks(whole.path(), 6, &[]);
    assert_eq!(state(two, 6), state(whole.path(), 6));
    assert_eq!(metrics(two), metrics(whole.path()));

    // One rank goes on with the checkpoint of two, at the same items.
    let summary = train_toy(&mut Toy::new(4), &config, &places(two, 7)).unwrap();
    assert_eq!((summary.resumed, summary.steps), (Some(6), 7));
    assert_eq!(metrics(two)[6]["batch"], 2);
}

#[test]
fn what_one_rank_meets_or_is_asked_is_everyones() {
    let folder = tempfile::tempdir().unwrap();
    two_ranks(folder.path(), 3, &["TOY_POISON"]);
    let after = model(folder.path(), 3);
    assert!(after.values().all(|tensor| bool::try_from(tensor.isfinite().all()).unwrap()));
    let folder = tempfile::tempdir().unwrap();
    two_ranks(folder.path(), 9, &["TOY_STOP"]);
    assert!(checkpoint(folder.path(), 2).join("manifest.json").exists());
    assert!(!checkpoint(folder.path(), 3).exists());
    let folder = tempfile::tempdir().unwrap();
    two_ranks(folder.path(), 3, &["TOY_SAVE"]);
    let there = |step| checkpoint(folder.path(), step).join("manifest.json").exists();
    assert_eq!([1, 2, 3].map(there), [false, true, true]);
}

/// Two ranks of batch 2, then one of batch 3, then two again, all within an epoch of 16 items.
#[test]
fn other_ranks_go_on_with_the_items_that_are_left() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    two_ranks(folder, 2, &[]);
    let three = Config { batch_size: 3, ..base() };
    let mut toy = Toy { seen: Some(folder.join("items")), ..Toy::new(4) };
    let mut data = Data { batch_size: 3, ..Data::solo(4, 4) };
    let summary = train_on(&mut data, &mut toy, &three, &places(folder, 3)).unwrap();
    assert_eq!((summary.resumed, summary.steps), (Some(2), 3));
    two_ranks(folder, 99, &[]);

    let text = std::fs::read_to_string(folder.join("items")).unwrap();
    let mut seen: Vec<&str> = text.lines().collect();
    seen.sort_unstable();
    let all = seen.len();
    seen.dedup();
    assert_eq!(seen.len(), all, "an item came twice: {text}");
    // 8 items, 3, and 4 of the 5 that were left: one for each rank is wanted.
    for (epoch, items) in [(0, 15), (1, 16), (2, 16)] {
        let of_epoch = |line: &&&str| line.starts_with(&format!("epoch {epoch} "));
        assert_eq!(seen.iter().filter(of_epoch).count(), items, "epoch {epoch}: {text}");
    }
    // Its third step and its fourth end that epoch; the others have four each.
    let lines = metrics(folder);
    let at = |step: usize| (lines[step]["epoch"].as_u64(), lines[step]["batch"].as_u64());
    assert_eq!([2, 3, 4].map(at), [(0, 0), (0, 0), (1, 0)].map(|(e, b)| (Some(e), Some(b))));
    let manifest = train::checkpoint::find(folder, "toy").unwrap().manifest().clone();
    assert_eq!((manifest.step, manifest.epoch, manifest.dealt), (12, 3, 0));
}
