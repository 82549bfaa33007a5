//! Stops from which the same command goes on, and checkpoints on demand, of one process.
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use support::{Place, TINY, free_port, said, signal, wait_for};

/// A training run that would go on for hours; its stderr goes to a file of that name.
fn endless(place: &Place, mut command: Command, words: &[&str]) -> Child {
    place.faces(4, 1);
    command.args(["train", "fse"]).args(TINY).args(["--data", "faces", "--set", "epochs=100000"]);
    command.args(["--set", "preview_every=0", "--set", "log_every=1", "--set"]);
    command.args(["checkpoint_every=1000000"]).args(words);
    let log = std::fs::File::create(place.path("stderr")).unwrap();
    command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

fn has_said(place: &Place, text: &str) {
    wait_for(place, text, || said(place).contains(text).then_some(()));
}

fn ended(place: &Place, child: &mut Child) -> ExitStatus {
    wait_for(place, "it did not end", || child.try_wait().unwrap())
}

/// Steps of the checkpoints that there are.
fn saved(place: &Place) -> Vec<u64> {
    let names = std::fs::read_dir(place.path("checkpoints_FSE")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut steps: Vec<u64> =
        names.filter_map(|name| name.strip_prefix("step_")?.parse().ok()).collect();
    steps.sort_unstable();
    steps
}

#[test]
fn a_signal_saves_stops_and_the_run_goes_on() {
    let place = Place::new();
    let mut child = endless(&place, place.faceshield(), &[]);
    has_said(&place, "step 1:");
    signal("USR1", child.id());
    has_said(&place, "saved ");
    assert_eq!(saved(&place).len(), 1);
    // It goes on, and a second SIGTERM (the launcher's beside the scheduler's) does no harm.
    let asked = saved(&place)[0];
    has_said(&place, &format!("step {}:", asked + 1));
    signal("TERM", child.id());
    signal("TERM", child.id());
    assert_eq!(ended(&place, &mut child).code(), Some(75));
    let (text, steps) = (said(&place), saved(&place));
    let last = text.lines().last().unwrap();
    let expected = format!("error: stopped by a signal after step {} of fse, saved in", steps[1]);
    assert!(last.starts_with(&expected) && last.contains("same command"), "{text}");
    assert_eq!((steps.len(), steps[0]), (2, asked));

    let mut child = endless(&place, place.faceshield(), &[]);
    has_said(&place, &format!("at step {} ", steps[1]));
    signal("INT", child.id());
    assert_eq!(ended(&place, &mut child).code(), Some(75));
}

#[test]
fn time_that_is_over_stops_the_run() {
    // 1.8 s: some steps, or none on a busy machine. And an hour, of which the launcher has
    // spent two before it started this rank again.
    for (hours, elapsed) in [("0.0005", "0"), ("1", "7200.5")] {
        let place = Place::new();
        let mut program = place.faceshield();
        program.env("FACESHIELD_ELAPSED", elapsed);
        let mut child = endless(&place, program, &["--max-hours", hours]);
        assert_eq!(ended(&place, &mut child).code(), Some(75));
        let text = said(&place);
        let last = text.lines().last().unwrap();
        // In its first steps, or before them.
        let (over, early) =
            ("error: stopped as its time is over", "error: stopped while computing");
        assert!(last.starts_with(over) || last.starts_with(early), "{text}");
    }
}

#[test]
fn a_second_interrupt_ends_the_process_at_once() {
    let place = Place::new();
    // It waits for a rank that never comes, and so for no step boundary either.
    let mut child = endless(&place, place.rank(0, 2, free_port()), &[]);
    let status = format!("/proc/{}/status", child.id());
    wait_for(&place, "it does not listen", || {
        let status = std::fs::read_to_string(&status).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(mask.trim(), 16).unwrap();
        // SIGINT is 2, SIGUSR1, the last to be listened to, 10.
        (caught & (1 << 1) != 0 && caught & (1 << 9) != 0).then_some(())
    });
    signal("INT", child.id());
    // Until it has been taken note of: two that are pending would be one.
    wait_for(&place, "SIGINT is pending", || {
        let status = std::fs::read_to_string(&status).unwrap();
        status.lines().any(|line| line == "ShdPnd:\t0000000000000000").then_some(())
    });
    assert!(child.try_wait().unwrap().is_none());
    signal("INT", child.id());
    assert_eq!(ended(&place, &mut child).signal(), Some(2));
}
