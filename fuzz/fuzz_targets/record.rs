#![no_main]
// Of the program, which is no library, the files that are fuzzed, and what they print paths with.
#![allow(dead_code)]

#[path = "../checks/record.rs"]
mod check;
#[path = "../../crates/faceshield/src/output.rs"]
mod output;
#[path = "../../crates/faceshield/src/commands/protect/record.rs"]
mod record;
#[path = "../../crates/faceshield/src/commands/protect/report.rs"]
mod report;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));
