#![no_main]

#[path = "../checks/weights.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::safetensors(bytes));
