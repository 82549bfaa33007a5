"""Trains twice on the same faces, once undisturbed and once under every fault there is, and
compares what comes out, bit for bit. Called by scripts/chaos.sh; standard library only."""

import argparse
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Seconds after which something that should have happened has not: nothing here is so slow.
PATIENCE = 180
# Fields of metrics.jsonl that the clock and the machine decide.
CLOCK = ("step_seconds", "images_per_second", "peak_memory_mb")
STAGES = ("FSE", "IRC")


class Failure(Exception):
    """Something that the run should have survived, and has not."""


class Run:
    """A run of both stages on two ranks below a launcher."""

    def __init__(self, faceshield, folder, faces, steps):
        self.folder = folder
        folder.mkdir()
        self.log = folder / "log"
        self.words = [
            faceshield, "launch", "--nproc-per-node", "2", "--max-restarts", "8",
            "--log-dir", str(folder / "logs"), "--",
            "train", "all", "--preset", "demo", "--data", str(faces),
            "--run-dir", str(folder / "run"), "--checkpoint-dir", str(folder),
            "--max-steps", str(steps), "--spoil-step", "3", "--spoil-step", "8",
            "--set", "batch_size=2", "--set", "epochs=100000", "--set", "checkpoint_every=2",
            "--set", "keep_checkpoints=0", "--set", "log_every=1", "--set", "preview_every=0",
            "--set", "timeout_seconds=5", "--set", "max_bad_images=0.5",
        ]  # fmt: skip
        self.launcher = None

    def start(self):
        self.launcher = subprocess.Popen(
            self.words, stdout=subprocess.DEVNULL, stderr=self.log.open("ab"),
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def ranks(self):
        """Process ids of the ranks, in order."""
        pid = self.launcher.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in children]

    def said(self):
        return self.log.read_text(errors="replace")

    def mark(self):
        """Where the log ends now, for wait_for."""
        return self.log.stat().st_size

    def wait_for(self, pattern, since):
        """Waits until a line after `since` matches, and returns the match."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = re.search(pattern, self.log.read_bytes()[since:].decode(errors="replace"))
            if found:
                return found
            if self.launcher.poll() is not None:
                raise Failure(f"the run ended ({self.launcher.returncode}) before /{pattern}/")
            if time.monotonic() > deadline:
                raise Failure(f"no /{pattern}/ within {PATIENCE} s")
            time.sleep(0.01)

    def wait_for_step(self, since):
        self.wait_for(r"epoch \d+/\d+ batch \d+/\d+ step \d+: ", since)

    def saving(self):
        """Whether a checkpoint is being written."""
        return any(self.folder.glob("checkpoints_*/.step_*"))

    def newest(self):
        """The newest complete checkpoint: stage II's if it has any."""
        for stage in reversed(STAGES):
            complete = sorted((self.folder / f"checkpoints_{stage}").glob("step_*/manifest.json"))
            if complete:
                return complete[-1].parent
        raise Failure("there is no checkpoint")


def kill(run, chance, while_saving):
    """A random rank dies at a random moment, or while a checkpoint is being written."""
    if while_saving:
        deadline = time.monotonic() + PATIENCE
        while not run.saving():
            if time.monotonic() > deadline or run.launcher.poll() is not None:
                raise Failure("no checkpoint was being written")
    else:
        time.sleep(chance.uniform(0.0, 2.0))
    since, ranks = run.mark(), run.ranks()
    if len(ranks) != 2:
        raise Failure("the run ended before all faults were injected: give it more steps")
    os.kill(chance.choice(ranks), signal.SIGKILL)
    begin = time.monotonic()
    run.wait_for("was ended by SIGKILL", since)
    run.wait_for("started 2 ranks", since)
    run.wait_for_step(since)
    return time.monotonic() - begin


def freeze(run, chance):
    """A rank stops without ending; it is found out and all start again."""
    since = run.mark()
    os.kill(chance.choice(run.ranks()), signal.SIGSTOP)
    begin = time.monotonic()
    run.wait_for("no sign of life", since)
    run.wait_for("started 2 ranks", since)
    run.wait_for_step(since)
    return time.monotonic() - begin


def fill_disk(run):
    """Rank 0 can write no file as large as a checkpoint's, and after a while it can again."""
    # Room for the logs' growth; the smallest model file has several times as much.
    logs = max(path.stat().st_size for path in (run.folder / "run").glob("*") if path.is_file())
    _, hard = resource.prlimit(run.ranks()[0], resource.RLIMIT_FSIZE)
    since = run.mark()
    resource.prlimit(run.ranks()[0], resource.RLIMIT_FSIZE, (logs + 200_000, hard))
    run.wait_for("no checkpoint was saved; the run goes on", since)
    if run.saving():
        raise Failure("a partial checkpoint was left behind")
    since = run.mark()
    begin = time.monotonic()
    resource.prlimit(run.ranks()[0], resource.RLIMIT_FSIZE, (hard, hard))
    run.wait_for(r"saved \S*step_", since)
    run.wait_for_step(since)
    return time.monotonic() - begin


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def halve(path):
    os.truncate(path, path.stat().st_size // 2)


CORRUPTIONS = [
    ("model.safetensors", flip),
    ("optimizer.safetensors", halve),
    ("rank_0001.safetensors", Path.unlink),
    ("manifest.json", halve),
    ("manifest.json", Path.unlink),
]


def terminate(run):
    """The launcher is told to stop; all save and say that the same command goes on."""
    begin = time.monotonic()
    run.launcher.send_signal(signal.SIGTERM)
    code = run.launcher.wait(PATIENCE)
    if code != 75:
        raise Failure(f"exit code {code} instead of 75 after SIGTERM")
    return time.monotonic() - begin


def corrupt(run, which):
    """The newest checkpoint of a stopped run is damaged; the run goes on from one before."""
    file, damage = CORRUPTIONS[which % len(CORRUPTIONS)]
    checkpoint = run.newest()
    damage(checkpoint / file)
    since = run.mark()
    begin = time.monotonic()
    run.start()
    run.wait_for(re.escape(f"{checkpoint} skipped: "), since)
    run.wait_for_step(since)
    return time.monotonic() - begin


def never_join(run):
    """Only the first of two machines is started: it says which rank is missing, and ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [*run.words]
    words[words.index("2")] = "1"
    words[words.index("8")] = "0"
    more = f"--nnodes 2 --node-rank 0 --master-addr 127.0.0.1 --master-port {port} --grace 1"
    words[2:2] = more.split()
    begin = time.monotonic()
    env = os.environ | {"FACESHIELD_RUN_SECRET": "a secret of two machines"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, env=env)
    if done.returncode != 1 or "missing: rank 1" not in done.stderr.splitlines()[-1]:
        raise Failure(f"a missing rank: exit code {done.returncode}, {done.stderr}")
    return time.monotonic() - begin


def spoil_images(faces):
    """Ten files that are no images, or not what they say."""
    people = sorted(path for path in faces.iterdir() if path.is_dir())
    whole = next(people[0].glob("*.png")).read_bytes()
    huge = bytearray(whole)
    huge[16:24] = (60000).to_bytes(4, "big") * 2
    for number, content in enumerate(
        [b"", b"no image", whole[:100], whole[: len(whole) // 2], bytes(huge),
         whole[:-20], b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBP", b"BM"]
    ):  # fmt: skip
        ending = ["png", "jpg", "webp", "bmp"][number % 4]
        (people[number % len(people)] / f"bad_{number}.{ending}").write_bytes(content)


def metrics(run):
    """metrics.jsonl by stage and step, without what the clock decides."""
    lines = {}
    for line in (run.folder / "run" / "metrics.jsonl").read_text().splitlines():
        values = {key: value for key, value in json.loads(line).items() if key not in CLOCK}
        key = (values["stage"], values["step"])
        if key in lines:
            raise Failure(f"metrics.jsonl has {key} twice")
        lines[key] = values
    return lines


def compare(alone, disturbed):
    """Every checkpoint's every file, and every line of the metrics."""
    if metrics(alone) != metrics(disturbed):
        raise Failure("metrics.jsonl differs from that of the undisturbed run")
    unsaved = re.findall(r"checkpoints_(\w+)/\.?(step_\d+)\b.*no checkpoint was saved",
                         disturbed.said())  # fmt: skip
    count = 0
    for stage in STAGES:
        for wanted in sorted((alone.folder / f"checkpoints_{stage}").glob("step_*")):
            found = disturbed.folder / wanted.relative_to(alone.folder)
            if not found.exists() and (stage, wanted.name) in unsaved:
                continue
            for file in sorted(wanted.glob("*.safetensors")):
                if not (found / file.name).exists():
                    raise Failure(f"{found}/{file.name} is lost")
                if file.read_bytes() != (found / file.name).read_bytes():
                    raise Failure(f"{found}/{file.name} differs from the undisturbed run's")
            count += 1
    manifest = json.loads((disturbed.newest() / "manifest.json").read_text())
    if manifest["bad_steps"]["total"] != 2:
        raise Failure(f"bad steps: {manifest['bad_steps']} instead of 2")
    return count


def left_behind(run):
    """What no run may leave: processes, partial checkpoints, a lock that is still held."""
    name = str(run.folder).encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.name != str(os.getpid()) and name in (process / "cmdline").read_bytes():
                raise Failure(f"process {process.name} is left behind")
        except OSError:
            pass
    if run.saving():
        raise Failure("a partial checkpoint is left behind")
    run.start()
    code = run.launcher.wait(PATIENCE)
    if code != 0:
        raise Failure(f"the finished run cannot be started again: exit code {code}")


def plan(chance, short):
    """The faults that need a running run, in random order."""
    kills, writing, stops, frozen, full = (2, 1, 1, 1, 1) if short else (20, 10, 5, 3, 3)
    faults = ["kill"] * kills + ["kill while saving"] * writing + ["terminate"] * stops
    faults += ["freeze"] * frozen + ["full disk"] * full
    chance.shuffle(faults)
    return faults


def disturb(run, faults, chance, table):
    note = lambda fault, seconds: table.setdefault(fault, []).append(seconds)  # noqa: E731
    note("a rank that never joins", never_join(run))
    run.start()
    run.wait_for_step(0)
    # Every fault ends with a step after it. Before every other one the run gets as far as a
    # checkpoint: without any progress, restarts are spaced further and further apart.
    for number, fault in enumerate(faults):
        if number % 2 == 1:
            run.wait_for(r"saved \S*step_", run.mark())
        if fault == "kill":
            note("SIGKILL at a random moment", kill(run, chance, while_saving=False))
        elif fault == "kill while saving":
            note("SIGKILL while a checkpoint is written", kill(run, chance, while_saving=True))
        elif fault == "freeze":
            note("SIGSTOP", freeze(run, chance))
        elif fault == "full disk":
            note("full disk", fill_disk(run))
        else:
            note("SIGTERM", terminate(run))
            note("corrupted newest checkpoint",
                 corrupt(run, len(table.get("corrupted newest checkpoint", []))))  # fmt: skip
    code = run.launcher.wait(4 * PATIENCE)
    if code != 0:
        raise Failure(f"the run ended with exit code {code}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("faceshield")
    parser.add_argument("faces", type=Path)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, help="of each stage")
    parser.add_argument("--keep", action="store_true", help="keep the two runs' folders")
    args = parser.parse_args()
    steps = args.steps or (16 if args.short else 80)
    folder = Path(tempfile.mkdtemp(prefix="faceshield-chaos-"))
    chance = random.Random(args.seed)
    table, begin = {}, time.monotonic()
    faces = folder / "faces"
    shutil.copytree(args.faces, faces)
    spoil_images(faces)
    os.environ["FACESHIELD_CACHE"] = str(folder / "cache")

    alone = Run(args.faceshield, folder / "alone", faces, steps)
    alone.start()
    if alone.launcher.wait(10 * PATIENCE) != 0:
        sys.exit(f"the undisturbed run failed:\n{alone.said()}")
    print(f"undisturbed: {2 * steps} steps, {time.monotonic() - begin:.0f} s", flush=True)
    disturbed = Run(args.faceshield, folder / "disturbed", faces, steps)
    try:
        disturb(disturbed, plan(chance, args.short), chance, table)
        named = set(re.findall(r"bad_\d\.\w+", disturbed.said()))
        if len(named) != 10:
            raise Failure(f"of the ten bad images these were reported: {sorted(named)}")
        count = compare(alone, disturbed)
        left_behind(disturbed)
    except Failure as failure:
        if disturbed.launcher is not None and disturbed.launcher.poll() is None:
            disturbed.launcher.kill()
        print(disturbed.said()[-4000:])
        sys.exit(f"FAILED (seed {args.seed}, folders in {folder}): {failure}")

    print(f"\n{'fault':40} injected survived   recovery (median, longest)")
    for fault, seconds in table.items():
        middle = sorted(seconds)[len(seconds) // 2]
        number = len(seconds)
        print(f"{fault:40} {number:8} {number:8}   {middle:5.1f} s {max(seconds):5.1f} s")
    print(f"{'bad images':40} {10:8} {10:8}")
    print(f"{'NaN batches, per stage':40} {2:8} {2:8}")
    print(f"\n{count} checkpoints and all metrics equal those of the undisturbed run, bit for bit;")
    print("nothing was lost, doubled or left behind.")
    print(f"{time.monotonic() - begin:.0f} s in all")
    if args.keep:
        print(f"kept in {folder}")
    else:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
