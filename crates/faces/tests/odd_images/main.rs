//! Damaged and unusual images are decoded or refused with a reason, in bounded memory.
#![allow(clippy::unwrap_used, missing_docs)]

mod build;
mod damage;
mod images;

use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};

use faces::save::{Format, SaveOptions, Source, encode};
use faces::{read_image, read_photo};

use images::{Expect, odd_images};

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Peak resident size of this process since the last call of [`forget_peak`], in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() >> 10
}

fn forget_peak() {
    // Where the kernel does not allow it, peaks add up and the bounds are still those below.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// One test, so that no other one's memory is measured.
///
/// The largest picture that is sound has 4,000 × 4,000 pixels, 46 MiB; larger ones are claimed
/// by files that must be refused. Each image may take 400 MiB at most: were a claim of
/// 16,384 × 16,384 pixels believed, it would be exceeded.
#[test]
fn each_is_decoded_or_refused_with_a_reason() {
    const MOST: u64 = 400;
    let report = panic::take_hook();
    panic::set_hook(Box::new(|_| {
        PANICS.fetch_add(1, Ordering::Relaxed);
    }));
    let dir = tempfile::tempdir().unwrap();
    let (mut count, mut decoded, mut worst) = (0, 0, (0, String::new()));
    let mut wrong = Vec::new();
    for image in odd_images(20) {
        let path = dir.path().join(&image.file);
        std::fs::write(&path, &image.bytes).unwrap();
        forget_peak();
        let before = peak();
        let panics = PANICS.load(Ordering::Relaxed);
        let outcome = read_photo(&path);
        let small = read_image(&path, 48);
        let source = Source::of(&image.bytes);
        let grown = peak().saturating_sub(before);
        let case = format!("{} ({})", image.name, image.file);
        if PANICS.load(Ordering::Relaxed) > panics {
            wrong.push(format!("{case}: a decoder panicked"));
        }
        if grown > worst.0 {
            worst = (grown, case.clone());
        }
        if grown > MOST {
            wrong.push(format!("{case}: took {grown} MiB"));
        }
        match (&outcome, image.expect) {
            (Err(error), Expect::Pixels(..)) => wrong.push(format!("{case}: {error}")),
            (Ok(photo), Expect::Pixels(width, height)) if photo.dimensions() != (width, height) => {
                wrong.push(format!("{case}: has {:?} pixels", photo.dimensions()));
            }
            (Ok(_), Expect::Refusal) => wrong.push(format!("{case}: was decoded")),
            _ => {}
        }
        for error in [outcome.as_ref().err(), small.as_ref().err()].into_iter().flatten() {
            let message = error.to_string();
            if !message.contains(&image.file) || message.contains('\n') || message.ends_with(": ") {
                wrong.push(format!("{case}: says {message:?}"));
            }
        }
        if let Ok(photo) = outcome {
            decoded += 1;
            // What could be read can be written.
            if photo.width() * photo.height() < 100_000 {
                encode(&photo, Format::Jpeg, &source, &SaveOptions::default()).unwrap();
            }
        }
        count += 1;
        std::fs::remove_file(&path).unwrap();
    }
    panic::set_hook(report);
    println!("{count} images, {decoded} decoded; at most {} MiB: {}", worst.0, worst.1);
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 1_000 && decoded >= 100 && decoded <= count - 400);
}

#[test]
fn a_seed_always_gives_the_same_images() {
    let bytes = |seed| odd_images(seed).map(|image| image.bytes).collect::<Vec<_>>();
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}
