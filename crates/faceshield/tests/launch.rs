//! `faceshield launch`: ranks started, stopped together, none left behind.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::Duration;

use support::{Place, TINY, said, signal, wait_for};

/// A training run of two ranks that would go on for hours; `how` are words for the launcher.
fn endless(place: &Place, how: &str) -> Child {
    place.faces(4, 1);
    machine(place, &format!("--nproc-per-node 2 --log-dir logs {how}"), "stderr")
}

/// One machine's launcher of such a run, what it says in the file `stderr`.
fn machine(place: &Place, how: &str, stderr: &str) -> Child {
    let mut command = place.faceshield();
    command.arg("launch").args(how.split_whitespace()).args(["--", "train", "fse"]);
    command.args(TINY).args(["--data", "faces", "--set", "epochs=100000"]);
    command.args(["--set", "preview_every=0", "--set", "log_every=1"]);
    command.args(["--set", "timeout_seconds=4"]);
    if how.contains("--nnodes") {
        command.env("FACESHIELD_RUN_SECRET", "a secret of two machines");
    }
    let log = std::fs::File::create(place.path(stderr)).unwrap();
    command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

fn training(place: &Place) {
    training_again(place, 1);
}

/// Waits until step 1 has been done so many times.
fn training_again(place: &Place, times: usize) {
    // Not the "in step 1: …" of a rank's last words.
    let done = || said(place).matches(" step 1: Encoder_loss").count() >= times;
    wait_for(place, "no step was done", || done().then_some(()));
}

fn ended(place: &Place, launcher: &mut Child) -> Option<i32> {
    wait_for(place, "the launcher did not end", || launcher.try_wait().unwrap()).code()
}

/// Processes whose parent is `parent` and that are no zombies.
fn children(parent: u32) -> Vec<u32> {
    let list = format!("/proc/{parent}/task/{parent}/children");
    let text = std::fs::read_to_string(list).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn running(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

/// The process among `ranks` that is rank `rank`.
fn which(ranks: &[u32], rank: usize) -> u32 {
    let wanted = rank.to_string();
    *ranks.iter().find(|pid| variable(**pid, "RANK") == wanted).unwrap()
}

/// A variable in the environment of a process.
fn variable(pid: u32, name: &str) -> String {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let environment = String::from_utf8(environment).unwrap();
    let entries = environment.split('\0').filter_map(|entry| entry.split_once('='));
    let mut values = entries.filter(|(found, _)| *found == name).map(|(_, value)| value);
    values.next_back().unwrap_or_default().to_owned()
}

/// A process's memory in MiB.
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
}

#[test]
fn a_killed_rank_is_named_and_the_other_stopped() {
    let place = Place::new();
    let mut launcher = endless(&place, "");
    training(&place);
    let ranks = children(launcher.id());
    assert_eq!(ranks.len(), 2);
    signal("KILL", which(&ranks, 1));
    assert_eq!(ended(&place, &mut launcher), Some(1));
    let text = said(&place);
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("error: rank 1 was ended by SIGKILL"), "{text}");
    assert!(last.contains("logs/rank_1.log"), "{text}");
    assert!(!ranks.iter().any(|&rank| running(rank)));
}

#[test]
fn sigint_reaches_the_ranks_which_save_and_end() {
    let place = Place::new();
    let mut launcher = endless(&place, "");
    training(&place);
    let ranks = children(launcher.id());
    signal("INT", launcher.id());
    assert_eq!(ended(&place, &mut launcher), Some(75));
    let text = said(&place);
    assert!(text.lines().last().unwrap().contains("stopped by SIGINT"), "{text}");
    assert!(!ranks.iter().any(|&rank| running(rank)));
    let saved = std::fs::read_dir(place.path("checkpoints_FSE")).unwrap();
    let names: Vec<_> = saved.map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().any(|name| name.to_string_lossy().starts_with("step_")), "{names:?}");
}

/// A stopped process ends nothing and closes nothing: only its silence tells.
#[test]
fn a_frozen_rank_is_named_with_its_last_step() {
    let place = Place::new();
    let mut launcher = endless(&place, "");
    training(&place);
    let ranks = children(launcher.id());
    // Until it has said that it trains.
    std::thread::sleep(Duration::from_millis(1500));
    signal("STOP", which(&ranks, 1));
    assert_eq!(ended(&place, &mut launcher), Some(1));
    let text = said(&place);
    let last = text.lines().last().unwrap();
    // Found out by the other rank or by the launcher, who has waited as long.
    assert!(last.starts_with("error: rank 1 ") && last.contains("no sign of life"), "{text}");
    assert!(last.contains(" step ") && last.contains("logs/rank_1.log"), "{text}");
    assert!(!ranks.iter().any(|&rank| running(rank)));
}

#[test]
fn failed_ranks_start_again_until_that_leads_nowhere() {
    let place = Place::new();
    let mut launcher = endless(&place, "--max-restarts 1");
    training(&place);
    signal("KILL", which(&children(launcher.id()), 1));
    training_again(&place, 2);
    assert!(said(&place).contains("restart 1 of 1 without progress in 1 s"), "{}", said(&place));
    // A checkpoint is progress, though the restart before is used up.
    signal("USR1", launcher.id());
    wait_for(&place, "no checkpoint", || said(&place).contains("saved ").then_some(()));
    signal("KILL", which(&children(launcher.id()), 0));
    wait_for(&place, "no resume", || said(&place).contains("resuming").then_some(()));
    signal("KILL", which(&children(launcher.id()), 1));
    assert_eq!(ended(&place, &mut launcher), Some(1));
    let text = said(&place);
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("error: rank 0 was ended by SIGKILL"), "{text}");
    assert!(last.contains("1 restarts after it came no further"), "{text}");
    // The log of the first attempt is still there.
    let log = std::fs::read_to_string(place.path("logs/rank_0.log")).unwrap();
    assert!(
        log.contains("---- restart 2 ----") && log.matches(" step 0: Encoder_loss").count() == 2,
        "{log}"
    );
}

/// Two launchers, as on two machines: a failure on one restarts both, a stop ends both.
#[test]
fn machines_fail_restart_and_stop_together() {
    let place = Place::new();
    place.faces(4, 1);
    let port = support::free_port();
    let how = format!(
        "--nnodes 2 --master-addr 127.0.0.1 --master-port {port} --max-restarts 1 --run-id seven"
    );
    // The second one first: it waits.
    let mut second = machine(&place, &format!("{how} --node-rank 1 --log-dir logs1"), "stderr1");
    let mut first = machine(&place, &format!("{how} --node-rank 0 --log-dir logs0"), "stderr");
    training(&place);
    signal("KILL", children(second.id())[0]);
    training_again(&place, 2);
    assert!(said(&place).contains("error: rank 1 was ended by SIGKILL"), "{}", said(&place));
    signal("TERM", second.id());
    for launcher in [&mut first, &mut second] {
        assert_eq!(ended(&place, launcher), Some(75));
    }
    let stranger = format!("{how} --node-rank 1 --log-dir logs1").replace("seven", "eight");
    let mut third = machine(&place, &stranger, "stderr1");
    assert_eq!(ended(&place, &mut third), Some(1));
    let text = std::fs::read_to_string(place.path("stderr1")).unwrap();
    assert!(text.contains("error: machine 1 found no launcher of machine 0 at"), "{text}");
}

/// A process on the same machine that reaches the run's port but does not know its secret: it
/// cannot say that a rank was missed, fill the launcher's memory, or get a word into the log.
#[test]
fn a_stranger_does_not_control_a_run() {
    let place = Place::new();
    let mut launcher = endless(&place, "");
    training(&place);
    let rank = which(&children(launcher.id()), 0);
    let port: u16 = variable(rank, "MASTER_PORT").parse().unwrap();
    let (run, secret) =
        (variable(rank, "TORCHELASTIC_RUN_ID"), variable(rank, "FACESHIELD_RUN_SECRET"));
    assert!(secret.len() == 64 && !run.is_empty());
    let before = resident(launcher.id());
    let second = Duration::from_secs(1);
    assert!(c10d::Store::connect("127.0.0.1", port, &run, second, None).is_err());
    let large = vec![b'1'; 64 << 20];
    for key in ["missed", "failed", "progress", "pulse/1", "launch/0/broken", "launch/0/verdict"] {
        for prefix in ["", "/", &format!("/c10d/{run}/0/0/")] {
            let key = format!("{prefix}{key}");
            for value in [&b"1 forged words"[..], &large] {
                let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
                // libtorch's own protocol: is this a store, then the value of a key.
                let mut words = [&[0][..], &0x3C85_F7CE_u32.to_le_bytes(), &[1]].concat();
                for part in [key.as_bytes(), value] {
                    words.extend((part.len() as u64).to_le_bytes());
                    words.extend(part);
                }
                // The launcher hangs up.
                let _ = stream.write_all(&words);
            }
        }
    }
    let grown = resident(launcher.id()).saturating_sub(before);
    assert!(grown < 64, "{grown} MiB");
    // Longer than the launcher takes to look, twice.
    std::thread::sleep(Duration::from_secs(3));
    signal("INT", launcher.id());
    assert_eq!(ended(&place, &mut launcher), Some(75));
    let mut text = said(&place);
    for rank in 0..2 {
        text += &std::fs::read_to_string(place.path(&format!("logs/rank_{rank}.log"))).unwrap();
    }
    assert!(!text.contains("forged words") && !text.contains(&secret), "{text}");
    assert_eq!(text.matches("came to this run's store").count(), 1, "{text}");
}

/// A machine with another secret is told so, and what to do.
#[test]
fn machines_with_different_secrets_say_so() {
    let place = Place::new();
    place.faces(4, 1);
    let how = format!("--nnodes 2 --master-addr 127.0.0.1 --master-port {}", support::free_port());
    let mut first = machine(&place, &format!("{how} --node-rank 0 --log-dir logs0"), "stderr");
    wait_for(&place, "no launcher", || said(&place).contains("started 1 ranks").then_some(()));
    let output = place
        .faceshield()
        .arg("launch")
        .args(how.split(' '))
        .args(["--node-rank", "1", "--", "train", "fse", "--preset", "demo", "--data", "faces"])
        .env("FACESHIELD_RUN_SECRET", "another one than that of machine 0")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = text.lines().last().unwrap();
    assert!(last.contains("has another secret than this process"), "{text}");
    assert!(last.contains("FACESHIELD_RUN_SECRET") && output.status.code() == Some(1), "{text}");
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(said(&place).contains("has another secret"), "{}", said(&place));
}

#[test]
fn ranks_end_when_their_launcher_is_killed() {
    let place = Place::new();
    let mut launcher = endless(&place, "");
    training(&place);
    let ranks = children(launcher.id());
    launcher.kill().unwrap();
    launcher.wait().unwrap();
    wait_for(&place, "ranks live on", || (!ranks.iter().any(|&rank| running(rank))).then_some(()));
}

#[test]
fn a_rank_that_fails_is_named_with_its_exit_code_and_words() {
    let place = Place::new();
    place.faces(2, 1);
    let words = ["launch", "--nproc-per-node", "2", "--", "train", "fse"];
    let words = [&words[..], &TINY, &["--data", "faces", "--set", "encoder_weights=no.pth"]];
    let output = place.run(&words.concat());
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("error: rank "), "{text}");
    assert!(last.contains("failed with exit code 1"), "{text}");
    assert!(last.contains("rank_") && text.contains("no.pth: cannot be opened"), "{text}");
    // A name from elsewhere does not reach the terminal as it is.
    let name = "encoder_weights=no\u{1b}[2J.pth";
    let words = ["launch", "--nproc-per-node", "2", "--", "train", "fse"];
    let words = [&words[..], &TINY, &["--data", "faces", "--set", name]].concat();
    let text = String::from_utf8_lossy(&place.run(&words).stderr).into_owned();
    let mut told = text.lines().filter(|line| line.starts_with("error: rank "));
    assert!(told.next_back().is_some_and(|line| !line.contains('\u{1b}')), "{text}");
    // The logs lie where the run's folder is.
    assert!(place.path("runs/demo/logs/rank_1.log").is_file());
}
