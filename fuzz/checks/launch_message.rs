//! What ranks and launchers tell each other through the store: the messages, their seals, and the
//! requests, handshakes and frames of an authenticated store.

use c10d::fuzzing::{Request, admits, close, greets, open, pulse, report};

#[path = "../../crates/faceshield/src/commands/launch/outcome.rs"]
mod outcome;

use outcome::{Decision, Outcome};

pub(crate) fn check(bytes: &[u8]) {
    // Nobody gets in, or is believed, without the secret.
    assert!(!admits(bytes) && !greets(bytes));
    assert!(!admits(&[&b"\xf5c10d/1\n"[..], bytes].concat()));
    assert_eq!(open("key", bytes), None);
    if let Some(request) = Request::decode(bytes) {
        assert_eq!(request.encode(), bytes);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let sealed = close("key", text);
    assert_eq!(open("key", sealed.as_bytes()).as_deref(), Some(text));
    assert_eq!(open("another", sealed.as_bytes()), None);
    if let Some(found) = report(text) {
        printable(&found.what);
        assert_eq!(report(&format!("{} {}", found.rank, found.what)).as_ref(), Some(&found));
    }
    if let Some((found, written)) = pulse(text) {
        assert_eq!(pulse(&written).map(|(pulse, _)| pulse.at), Some(found.at));
    }
    if let Some(outcome) = Outcome::read(text) {
        told(&outcome);
    }
    match Decision::read(text) {
        Some(Decision::End(outcome)) => told(&outcome),
        Some(start) => assert_eq!(Decision::read(&start.write()), Some(start)),
        None => {}
    }
}

fn told(outcome: &Outcome) {
    match outcome {
        Outcome::Done => {}
        Outcome::Stopped(text) | Outcome::Failed(text) | Outcome::Misused(text) => printable(text),
    }
    assert!(Outcome::read(&outcome.write()).is_some());
}

fn printable(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.chars().count() < 12_000);
}
