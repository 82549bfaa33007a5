//! What the tests of the program share: a clean command, tiny faces, weight files compared.
#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod photos;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use image::RgbImage;
use tempfile::TempDir;

/// A folder of its own for one test, with the program's cache inside.
pub(crate) struct Place(TempDir);

/// Settings that make a step as cheap as the model allows.
pub(crate) const TINY: [&str; 6] =
    ["--preset", "demo", "--set", "width_divisor=16", "--set", "batch_size=1"];

impl Place {
    pub(crate) fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program, started in this folder, one thread, no rank of anything.
    pub(crate) fn faceshield(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_faceshield"));
        let ranks = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"];
        for name in ranks.into_iter().chain(["MASTER_ADDR", "MASTER_PORT"]) {
            command.env_remove(name);
        }
        command
            .current_dir(self.0.path())
            .env("FACESHIELD_CACHE", self.path("cache"))
            .env("FACESHIELD_STATE", self.path("state"))
            .env("OMP_NUM_THREADS", "1")
            // Threads that wait leave the cores to tests beside them.
            .env("OMP_WAIT_POLICY", "passive");
        command
    }

    /// Runs the program with these words.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.faceshield().args(words).output().unwrap()
    }

    /// Runs it, and fails the test with its stderr when it does not succeed.
    pub(crate) fn done(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// `people` folders of `each` pictures below `faces`, a pure function of their
    /// numbers.
    pub(crate) fn faces(&self, people: u32, each: u32) -> PathBuf {
        let root = self.path("faces");
        for person in 0..people {
            let folder = root.join(format!("person_{person:02}"));
            std::fs::create_dir_all(&folder).unwrap();
            for photo in 0..each {
                picture(person, photo).save(folder.join(format!("{photo}.png"))).unwrap();
            }
        }
        root
    }

    /// The environment of one rank, for ranks started by hand.
    pub(crate) fn rank(&self, rank: usize, size: usize, port: u16) -> Command {
        let mut command = self.faceshield();
        command
            .env("RANK", rank.to_string())
            .env("LOCAL_RANK", rank.to_string())
            .env("WORLD_SIZE", size.to_string())
            .env("MASTER_ADDR", "127.0.0.1")
            .env("MASTER_PORT", port.to_string());
        command
    }
}

/// Cells of 8×8 pixels whose colours are a hash of person, photo, place and channel.
fn picture(person: u32, photo: u32) -> RgbImage {
    RgbImage::from_fn(64, 64, |x, y| {
        let cell = |channel: u32| {
            let mut hash = 0x811c_9dc5_u32;
            for word in [person, photo, x / 8, y / 8, channel] {
                hash = (hash ^ word).wrapping_mul(0x0100_0193).rotate_left(13);
                hash ^= hash >> 15;
            }
            (hash.wrapping_mul(0x9e37_79b1) >> 24) as u8
        };
        image::Rgb([cell(0), cell(1), cell(2)])
    })
}

/// Long enough for anything here on a busy machine; only a broken test waits so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a process that writes to the file `stderr` has said.
pub(crate) fn said(place: &Place) -> String {
    std::fs::read_to_string(place.path("stderr")).unwrap()
}

/// Waits until `ready`, else fails with what the process said.
pub(crate) fn wait_for<T>(place: &Place, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: {}", said(place));
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.unwrap().success());
}

/// The one line that an error is, and no backtrace.
pub(crate) fn error_line(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<&str> = stderr.lines().filter(|line| line.contains("error: ")).collect();
    assert_eq!(errors.len(), 1, "{stderr}");
    for trace in ["panicked", "frame #", "stack backtrace"] {
        assert!(!stderr.contains(trace), "{stderr}");
    }
    errors[0].to_owned()
}

/// A port that nobody holds now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Says past the test harness, which hides what passing tests print, that a test was
/// not run.
pub(crate) fn skip(test: &str, why: &str) {
    // Not `eprintln!`, which the harness catches.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "\nSKIPPED: {test}: {why}").unwrap();
}

/// All tensors of a safetensors file as float64, by name.
pub(crate) fn tensors(file: &Path) -> BTreeMap<String, Vec<f64>> {
    let archive = weights::read(file).unwrap();
    let numbers = |tensor: &tch::Tensor| -> Vec<f64> {
        Vec::try_from(tensor.to_kind(tch::Kind::Double).flatten(0, -1)).unwrap()
    };
    archive.tensors.iter().map(|(name, tensor)| (name.clone(), numbers(tensor))).collect()
}

/// The largest difference between two files' tensors, and the tensor's name.
pub(crate) fn difference(a: &Path, b: &Path) -> (f64, String) {
    let (a, b) = (tensors(a), tensors(b));
    assert!(a.keys().eq(b.keys()), "the files hold other names");
    let mut worst = (0.0, String::new());
    for (name, values) in &a {
        for (x, y) in values.iter().zip(&b[name]) {
            // NaN differs from everything.
            let gap = if x == y { 0.0 } else { (x - y).abs() };
            if gap > worst.0 || gap.is_nan() {
                worst = (gap, name.clone());
            }
        }
    }
    worst
}
