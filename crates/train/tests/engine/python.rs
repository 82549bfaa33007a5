//! What others' readers say about our files: TensorBoard's own, and Python's safetensors.
//! Needs a Python with both packages (`FACESHIELD_PYTHON`, else `python3`).

use crate::toy::*;
use std::path::Path;
use std::process::Command;

fn check(module: &str, script: &str, argument: &Path) -> Option<String> {
    let python = std::env::var("FACESHIELD_PYTHON").unwrap_or_else(|_| "python3".into());
    let import = Command::new(&python).args(["-I", "-c", &format!("import {module}")]).output();
    if !import.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "SKIPPED: {python} has no package `{module}`; set FACESHIELD_PYTHON to one that has"
        );
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/checks").join(script);
    let output = Command::new(&python).arg("-I").arg(script).arg(argument).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn tensorboard_reads_the_log_of_two_stages_and_no_step_twice() {
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), &config(), 3).unwrap();
    train(folder.path(), &config(), 6).unwrap();
    let mut other = Toy { name: "other", ..Toy::new(4) };
    train_toy(&mut other, &config(), &places(folder.path(), 2)).unwrap();
    train_toy(&mut other, &config(), &places(folder.path(), 4)).unwrap();
    let run = folder.path().join("run");
    let Some(text) = check("tensorboard", "read_tensorboard.py", &run) else { return };
    for line in [
        "scalar Rate/toy 6 steps 0..5",
        "scalar Rate/other 4 steps 0..3",
        "scalar GradNorm/toy_g 6 steps 0..5",
        "scalar Loss/D_loss 10 steps 0..5",
        "image Preview/toy 3 steps 0..4",
        "image Preview/other 2 steps 0..2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
    }
}

#[test]
fn pythons_safetensors_reads_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), &config(), 1).unwrap();
    let path = checkpoint(folder.path(), 1);
    let Some(text) = check("safetensors", "read_safetensors.py", &path) else { return };
    for line in [
        "model.safetensors G.weight float32 [4, 3]",
        "model.safetensors running float32 [3]",
        "optimizer.safetensors d.D.bias.exp_avg_sq float32 [1]",
        "optimizer.safetensors g.G.weight.step float32 []",
        "rank_0000.safetensors sampler.step_epoch_batch_dealt int64 [4]",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
    }
}
