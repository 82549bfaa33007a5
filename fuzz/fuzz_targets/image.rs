#![no_main]

#[path = "../checks/image.rs"]
mod check;

libfuzzer_sys::fuzz_target!(
    init: {
        // libFuzzer's own hook ends the process at every panic. One of a decoder is caught by
        // our code, which makes it an unreadable image; any other still reaches libFuzzer.
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map_or("", |location| location.file());
            if place.contains("crates/") || place.contains("checks/") {
                eprintln!("{panic}");
            }
        }));
    },
    |bytes: &[u8]| check::check(bytes)
);
