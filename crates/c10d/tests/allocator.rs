//! The caching allocator, in a process of its own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

use c10d::torch::cache_cpu_memory;
use tch::{Device, Kind, Tensor};

const MB: i64 = 1 << 20;

fn tensor(megabytes: i64, value: i64) -> Tensor {
    Tensor::full([megabytes * MB / 8], value, (Kind::Int64, Device::Cpu))
}

fn holds(tensor: &Tensor, value: i64) -> bool {
    let (min, max) = tensor.aminmax(None, false);
    min.int64_value(&[]) == value && max.int64_value(&[]) == value
}

/// Largest resident size so far, in MB.
fn peak() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<i64>().unwrap() / 1024
}

#[test]
fn blocks_are_reused_and_the_process_is_no_larger_than_what_it_held_at_once() {
    if !cache_cpu_memory() {
        // The environment has chosen an allocator.
        return;
    }
    let first = tensor(32, 1);
    let address = first.data_ptr();
    drop(first);
    assert_eq!(tensor(32, 2).data_ptr(), address);

    // Blocks of all sizes come and go, at most 240 MB at a time, each with its own number.
    let before = peak();
    let mut live: Vec<(Tensor, i64)> = Vec::new();
    let mut random = 7_u64;
    let mut total = 0;
    for value in 0..600 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let size = 1 + (random >> 33) as i64 % 60;
        while total + size > 240 {
            let (old, value) = live.swap_remove((random >> 40) as usize % live.len());
            assert!(holds(&old, value), "block {value} has changed");
            total -= old.numel() as i64 * 8 / MB;
        }
        live.push((tensor(size, value), value));
        total += size;
    }
    assert!(live.iter().all(|(tensor, value)| holds(tensor, *value)));
    // A block may be an eighth larger than asked for.
    assert!(peak() - before < 240 * 9 / 8 + 16, "{} MB", peak() - before);
}
