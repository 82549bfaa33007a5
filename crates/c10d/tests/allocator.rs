//! The caching allocator, in processes of its own: with tensors, and alone under what kernels and
//! limits do.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::Command;

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

const SOURCES: &str = env!("CARGO_MANIFEST_DIR");
const LIBTORCH: &str = env!("C10D_LIBTORCH");

fn compile(compiler: &str, arguments: &[&str], sources: &[&str], result: &Path) {
    let sources = sources.iter().map(|name| Path::new(SOURCES).join(name));
    let mut command = Command::new(compiler);
    command.args(["-O1", "-g"]).args(sources).args(arguments).arg("-o").arg(result);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// The program `support/allocator_stress.cpp` and the library `support/old_mremap.c`.
struct Stress {
    folder: tempfile::TempDir,
}

impl Stress {
    fn build() -> Stress {
        let stress = Stress { folder: tempfile::tempdir().unwrap() };
        let lib = format!("{LIBTORCH}/lib");
        let arguments = [
            "-std=c++20",
            "-isystem",
            &format!("{LIBTORCH}/include"),
            &format!("-L{lib}"),
            &format!("-Wl,-rpath,{lib}"),
            "-lc10",
            "-lpthread",
        ];
        let sources = ["tests/support/allocator_stress.cpp", "csrc/allocator.cpp"];
        compile("c++", &arguments, &sources, &stress.path("stress"));
        let shared = ["-shared", "-fPIC", "-lpthread"];
        compile("cc", &shared, &["tests/support/old_mremap.c"], &stress.path("old_mremap.so"));
        stress
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs it under a kernel as `fails` says (empty: this one), with so many megabytes of
    /// addresses (0: all). Returns the number of requests that were refused.
    fn run(&self, fails: &str, limit: u32) -> u32 {
        let case = format!("mremap {fails:?}, limit {limit}");
        let mut command = Command::new(self.path("stress"));
        command.args(["250", "3", "80", &limit.to_string()]);
        let report = self.path("report");
        if !fails.is_empty() {
            command.env("MREMAP_FAILS", fails).env("MREMAP_REPORT", &report);
            command.env("LD_PRELOAD", self.path("old_mremap.so"));
        }
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{case}: {:?}, {said}", done.status);
        assert!(said.starts_with("passed"), "{case}: {said}");
        if !fails.is_empty() {
            let text = std::fs::read_to_string(&report).unwrap();
            std::fs::remove_file(&report).unwrap();
            let numbers: Vec<u32> =
                text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            let [calls, crossing, failed, damaged] = numbers[..] else { panic!("{case}: {text}") };
            assert_eq!(crossing, 0, "{case}: every move is within one mapping");
            assert_eq!(damaged, 0, "{case}: memory of another's was touched");
            if limit == 0 {
                assert!(calls > 100, "{case}: {text}");
                assert_eq!(failed > 0, fails != "crossing", "{case}: {text}");
            }
        }
        let before = said.split(" refused").next().unwrap();
        before.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

#[test]
fn nothing_is_changed_or_lost_whatever_the_kernel_refuses() {
    let stress = Stress::build();
    for fails in ["", "crossing", "37"] {
        assert_eq!(stress.run(fails, 0), 0);
    }
    // Enough addresses for what is in use: what is kept beside it makes way.
    assert_eq!(stress.run("37", 340), 0);
    // Not enough.
    assert!(stress.run("", 150) > 0);
}
