"""Item 6: links in folders of runs and of checkpoints."""

import os
import shutil

from attacks.material import TINY
from attacks.place import Harm, Precious, same_folder, SOON
from attacks.rows import row

STEP = f"--data faces {TINY} --set preview_every=1 --set log_every=1 --set checkpoint_every=1"
FSE = f"train fse --max-steps 2 {STEP} --run-dir run"


def attacked(place, name, line=FSE, hard=False, content="precious\n", also=()):
    """Runs a command where `name` is another name of a file elsewhere, which must stay as it is."""
    if not (place / "faces").exists():
        place.copy("faces")
    precious = Precious(place / "elsewhere" / name.replace("/", "_"), content)
    target = place / name
    target.parent.mkdir(parents=True, exist_ok=True)
    (os.link if hard else os.symlink)(precious.path, target)
    done = place.run(line)
    precious.check()
    for path in also:
        if (place / path).exists():
            raise Harm(f"{path} was made")
    return done


def both(place, name, **more):
    """A symbolic link, then a hard link."""
    attacked(place, name, **more)
    for made in ("run", "checkpoints_FSE", "logs"):
        shutil.rmtree(place / made, ignore_errors=True)
    attacked(place, name, hard=True, **more)


@row(6, "run folder: config.toml is a link", "what it leads to stays as it is", slow=1)
def config_linked(place):
    both(place, "run/config.toml")


@row(6, "run folder: metrics.jsonl is a link", "what it leads to stays as it is", slow=1)
def metrics_linked(place):
    both(place, "run/metrics.jsonl")


@row(6, "run folder: .lock is a link", "what it leads to stays as it is", slow=1)
def run_lock_linked(place):
    both(place, "run/.lock")


@row(6, "checkpoint folder: .lock is a link", "what it leads to stays as it is", slow=1)
def checkpoint_lock_linked(place):
    both(place, "checkpoints_FSE/.lock")


@row(6, "run folder: a preview is a link", "what it leads to stays as it is", slow=1)
def preview_linked(place):
    both(place, "run/preview/fse_00000000.png")


@row(
    6,
    "run folder: preview, trace, logs are linked folders",
    "nothing is written where they lead",
    slow=2,
)
def folders_linked(place):
    place.copy("faces")
    (place / "run").mkdir()
    for name in ("preview", "trace", "logs"):
        (place / "elsewhere" / name).mkdir(parents=True)
        (place / "run" / name).symlink_to(place / "elsewhere" / name)
    before = ["logs", "preview", "trace"]
    place.run(f"{FSE} --profile 1")
    same_folder(place / "elsewhere", before)
    place.run(f"launch --grace 2 -- {FSE} --resume none")
    same_folder(place / "elsewhere", before)


@row(6, "run folder: a trace is a link", "what it leads to stays as it is", slow=1)
def trace_linked(place):
    both(place, "run/trace/fse_rank_0.json", line=f"{FSE} --profile 1")


@row(6, "run folder: bad_images_rank_0.txt is a link", "what it leads to stays as it is", slow=1)
def bad_images_linked(place):
    place.copy("faces")
    torn = place / "faces/p0/0.png"
    torn.write_bytes(torn.read_bytes()[:120])
    both(place, "run/bad_images_rank_0.txt", line=f"{FSE} --max-bad-images 1")


@row(6, "a rank's log is a link", "what it leads to stays as it is", slow=1)
def rank_log_linked(place):
    both(place, "logs/rank_0.log", line=f"launch --log-dir logs --grace 2 -- {FSE}")


def resumed(place, lost):
    """Resumes, a stretch of the run lost or not, where its logs have become links."""
    place.copy("faces")
    place.well(FSE.replace("--max-steps 2", "--max-steps 3"))
    if lost:
        shutil.rmtree(place / "checkpoints_FSE/step_00000003")
    logs = [
        path
        for path in (place / "run").iterdir()
        if "tfevents" in path.name or path.name == "metrics.jsonl"
    ]
    precious = []
    for path in logs:
        precious.append(Precious(place / "elsewhere" / path.name, path.read_bytes()))
        path.unlink()
        path.symlink_to(precious[-1].path)
    place.run(FSE.replace("--max-steps 2", "--max-steps 4"))
    for one in precious:
        one.check()


@row(
    6,
    "resuming before a lost stretch where metrics and event files have become links",
    "what they lead to is not cut short",
    slow=1,
)
def resumed_linked(place):
    resumed(place, lost=True)


@row(
    6,
    "resuming where nothing was lost and metrics and event files have become links",
    "nothing is appended where they lead",
    slow=1,
)
def continued_linked(place):
    resumed(place, lost=False)


@row(
    6,
    "checkpoint folder: the folder that a checkpoint is written in is a link",
    "nothing is written or deleted where it leads",
    slow=1,
)
def step_linked(place):
    place.copy("faces")
    precious = Precious(place / "elsewhere/model.safetensors")
    (place / "checkpoints_FSE").mkdir()
    names = (
        "step_00000001",
        ".step_00000001",
        ".step_00000002",
        ".step_00000001.partial",
        "earlier_01",
    )
    for name in names:
        (place / "checkpoints_FSE" / name).symlink_to(place / "elsewhere")
    place.run(FSE)
    place.run(FSE + " --resume none")
    precious.check()
    same_folder(place / "elsewhere", ["model.safetensors"])


@row(
    6,
    "a downloaded checkpoint whose files are links to files of its new owner",
    "not read through, not changed",
    slow=1,
)
def downloaded_linked(place):
    place.copy("faces")
    place.copy("checkpoints_FSE")
    step = place / "checkpoints_FSE/step_00000001"
    precious = []
    for path in sorted(step.iterdir()):
        precious.append(Precious(place / "elsewhere" / path.name, path.read_bytes()))
        path.unlink()
        path.symlink_to(precious[-1].path)
    place.run(FSE + " --keep 1")
    place.run(FSE.replace("--max-steps 2", "--max-steps 4") + " --keep 1")
    for one in precious:
        one.check()


@row(
    6,
    "encoder.safetensors, left by training the recogniser, is a link",
    "what it leads to stays as it is",
    slow=1,
)
def encoder_linked(place):
    place.copy("faces")
    line = (
        f"train encoder --data faces --max-steps 1 {TINY} --set encoder.batch_size=2 --run-dir run"
    )
    line += " --set encoder.validation_people=0 --set preview_every=0"
    place.well(line)
    made = [path for path in place.root.rglob("encoder.safetensors")]
    if not made:
        raise Harm("no encoder.safetensors was made")
    names = [str(path.relative_to(place.root)) for path in made]
    for hard in (False, True):
        for folder in ("run", "checkpoints_ENCODER"):
            shutil.rmtree(place / folder, ignore_errors=True)
        (place / names[0]).unlink(missing_ok=True)
        (place / "elsewhere" / names[0].replace("/", "_")).unlink(missing_ok=True)
        attacked(place, names[0], line=line, hard=hard)


@row(
    6,
    "run folder: metrics.jsonl, config.toml, .lock are FIFOs, devices",
    "no hang; refused or gone on without",
    slow=2,
)
def run_files_odd(place):
    place.copy("faces")
    for name in ("run/metrics.jsonl", "run/config.toml", "run/.lock", "checkpoints_FSE/.lock"):
        for kind in ("fifo", "zero"):
            shutil.rmtree(place / "run", ignore_errors=True)
            shutil.rmtree(place / "checkpoints_FSE", ignore_errors=True)
            (place / name).parent.mkdir()
            if kind == "fifo":
                os.mkfifo(place / name)
            else:
                (place / name).symlink_to("/dev/zero")
            place.run(FSE, seconds=SOON)


@row(6, "run folder: metrics.jsonl of 3 GB with nothing in it, resumed", "little memory", slow=1)
def metrics_sparse(place):
    place.copy("faces")
    place.well(FSE)
    os.truncate(place / "run/metrics.jsonl", 3 << 30)
    place.run(FSE.replace("--max-steps 2", "--max-steps 3"), memory=900)
