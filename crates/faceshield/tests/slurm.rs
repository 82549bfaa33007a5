//! launch/slurm/train.sbatch, with stand-ins for SLURM's commands: stopped before its time
//! limit it requeues itself, and the requeued job goes on and ends well.
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Place, TINY, free_port};

/// One machine. As SLURM's own, `srun` ends with its task's exit code.
const SRUN: &str = "#!/bin/sh\necho $$ > srun.pid\nSLURM_NODEID=0 exec \"$@\"\n";
const SCONTROL: &str =
    "#!/bin/sh\nif [ \"$1\" = show ]; then echo 127.0.0.1; else echo \"$@\" >> asked; fi\n";

fn script(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn job(place: &Place, steps: u64) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let command = place.faceshield();
    let path = format!("{}:{}", place.path("bin").display(), std::env::var("PATH").unwrap());
    let mut job = Command::new("bash");
    job.current_dir(place.path("")).envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
    job.arg(root.join("launch/slurm/train.sbatch")).args(TINY).args(["--data", "faces"]);
    job.args(["--set", "preview_every=0", "--set", "log_every=1", "--set", "epochs=1000"]);
    job.args(["--max-steps", &steps.to_string()]);
    job.env("PATH", path).env("FACESHIELD_ROOT", place.path("")).env("SLURM_JOB_ID", "7");
    job.env("SLURM_JOB_NODELIST", "one").env("SLURM_NNODES", "1").env("NPROC_PER_NODE", "2");
    job.env("MASTER_PORT", free_port().to_string());
    job.stdout(Stdio::null()).stderr(std::fs::File::create(place.path("stderr")).unwrap());
    job
}

#[test]
fn a_job_requeues_itself_before_its_time_is_over_and_goes_on() {
    let place = Place::new();
    place.faces(4, 1);
    for folder in ["bin", "target/release"] {
        std::fs::create_dir_all(place.path(folder)).unwrap();
    }
    script(&place.path("bin/srun"), SRUN);
    script(&place.path("bin/scontrol"), SCONTROL);
    symlink(env!("CARGO_BIN_EXE_faceshield"), place.path("target/release/faceshield")).unwrap();
    let said = || std::fs::read_to_string(place.path("stderr")).unwrap();

    let mut first = job(&place, 100_000).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while !said().contains("step 1:") {
        assert!(Instant::now() < deadline && first.try_wait().unwrap().is_none(), "{}", said());
        std::thread::sleep(Duration::from_millis(50));
    }
    // As `--signal=TERM@300` does: the steps, not the script.
    let launcher = std::fs::read_to_string(place.path("srun.pid")).unwrap();
    assert!(Command::new("kill").args(["-TERM", launcher.trim()]).status().unwrap().success());
    assert_eq!(first.wait().unwrap().code(), Some(75), "{}", said());
    assert_eq!(std::fs::read_to_string(place.path("asked")).unwrap(), "requeue 7\n");

    let steps =
        1 + std::fs::read_to_string(place.path("runs/demo/metrics.jsonl")).unwrap().lines().count()
            as u64;
    let second = job(&place, steps).status().unwrap();
    assert!(second.success(), "{}", said());
    assert!(said().contains("resuming"), "{}", said());
    assert_eq!(std::fs::read_to_string(place.path("asked")).unwrap(), "requeue 7\n");
}
