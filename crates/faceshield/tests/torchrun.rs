//! torchrun starts the program's ranks as it starts any other's.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::PathBuf;
use std::process::Command;

use support::{Place, TINY, free_port, skip};

/// `torchrun` of a PyTorch 2.13: the one named by TORCHRUN, the one of
/// `scripts/setup.sh --cuda`, or the one on the PATH.
fn torchrun() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let candidates = [
        std::env::var_os("TORCHRUN").map(PathBuf::from),
        Some(root.join(".venv/bin/torchrun")),
        Some(PathBuf::from("torchrun")),
    ];
    candidates.into_iter().flatten().find(|torchrun| {
        // Its Python says which version it belongs to.
        let python = torchrun.with_file_name("python");
        let python = if python.is_file() { python } else { PathBuf::from("python3") };
        let version = ["-I", "-c", "import torch; print(torch.__version__)"];
        Command::new(torchrun).arg("--help").output().is_ok_and(|help| help.status.success())
            && Command::new(python)
                .args(version)
                .output()
                .is_ok_and(|output| output.stdout.starts_with(b"2.13."))
    })
}

#[test]
fn torchrun_starts_two_ranks() {
    let Some(torchrun) = torchrun() else {
        return skip(
            "torchrun_starts_two_ranks",
            "no torchrun of a PyTorch 2.13 (name one with TORCHRUN, or scripts/setup.sh --cuda)",
        );
    };
    let place = Place::new();
    place.faces(4, 1);
    let program = place.faceshield();
    let mut command = Command::new(torchrun);
    command
        .args(["--no-python", "--nproc_per_node=2", "--master_addr=127.0.0.1"])
        .arg(format!("--master_port={}", free_port()))
        .arg(program.get_program())
        .args(["train", "fse"])
        .args(TINY)
        .args(["--data", "faces", "--set", "device=cpu", "--max-steps", "2"])
        .current_dir(place.path(""))
        .env("OMP_NUM_THREADS", "1")
        .env("FACESHIELD_CACHE", place.path("cache"));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let manifest =
        std::fs::read_to_string(place.path("checkpoints_FSE/step_00000002/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["world_size"], 2);
}
