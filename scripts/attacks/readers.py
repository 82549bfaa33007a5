"""Item 3: FIFOs, devices and sparse files where a file is expected."""

import os
import shutil

from attacks.material import DETECTOR, TINY
from attacks.place import SOON, Harm, Precious
from attacks.rows import row


def fifo(path):
    os.mkfifo(path)


def device(path):
    os.symlink("/dev/zero", path)


def sparse(path):
    with open(path, "wb") as file:
        file.truncate(3 << 30)


KINDS = {"FIFO": fifo, "/dev/zero": device, "3 GB": sparse}


def each(place, target, line, may=False, kinds=KINDS, memory=900):
    """Runs a command with each kind of odd file at `target`; `may` it succeed without it?"""
    target = place / target
    said = []
    for kind, make in kinds.items():
        if target.is_symlink() or target.exists():
            target.unlink()
        target.parent.mkdir(parents=True, exist_ok=True)
        make(target)
        try:
            run = place.run if may else place.refused
            run(line, seconds=SOON, memory=memory)
        except Harm as harm:
            said.append(f"{kind}: {harm}")
    if said:
        raise Harm("; ".join(said))


@row(3, "weights inspect, convert: FIFO, /dev/zero, 3 GB sparse", "refused, little memory", slow=2)
def odd_weights(place):
    each(place, "odd.pth", "weights inspect odd.pth")
    each(place, "odd.pth", "weights convert odd.pth new.safetensors")


@row(3, "detector weights: FIFO, /dev/zero, 3 GB sparse", "refused, little memory", slow=2)
def odd_detector(place):
    place.copy("mtcnn")
    place.copy("in")
    each(place, "mtcnn/rnet.pt", f"protect in --out out --method solid {DETECTOR}")


@row(3, "a checkpoint's manifest: FIFO, /dev/zero, 3 GB sparse", "refused, little memory", slow=2)
def odd_manifest(place):
    for name in ("mtcnn", "in", "checkpoints_IRC"):
        place.copy(name)
    manifest = "checkpoints_IRC/step_00000001/manifest.json"
    each(place, manifest, f"protect in --out out --epsilon 1 {DETECTOR}")


@row(3, "a checkpoint's model: FIFO, /dev/zero, 3 GB sparse", "refused, little memory", slow=2)
def odd_model(place):
    for name in ("mtcnn", "in", "checkpoints_IRC"):
        place.copy(name)
    model = "checkpoints_IRC/step_00000001/model.safetensors"
    each(place, model, f"protect in --out out --epsilon 1 {DETECTOR}")


@row(
    3,
    "checkpoint to resume from: manifest, optimizer a FIFO, /dev/zero, 3 GB sparse",
    "refused or begun anew",
    slow=2,
)
def odd_resume(place):
    place.copy("faces")
    for name in ("manifest.json", "optimizer.safetensors"):
        shutil.rmtree(place / "checkpoints_FSE", ignore_errors=True)
        place.copy("checkpoints_FSE")
        line = f"train fse --data faces --max-steps 1 {TINY} --set preview_every=0"
        each(place, f"checkpoints_FSE/step_00000001/{name}", line, may=True)


@row(3, "identities (--prototypes): FIFO, /dev/zero, 3 GB sparse", "refused, little memory", slow=2)
def odd_prototypes(place):
    for name in ("mtcnn", "in", "checkpoints_IRC"):
        place.copy(name)
    each(
        place,
        "p.safetensors",
        f"protect in --out out --epsilon 1 --prototypes p.safetensors {DETECTOR}",
    )


@row(
    3,
    "settings (--config, --preset): FIFO, /dev/zero, 3 GB sparse",
    "refused, little memory",
    slow=2,
)
def odd_settings(place):
    place.copy("faces")
    each(place, "odd.toml", "train fse --preset demo --data faces --config odd.toml --dry-run")
    each(place, "odd.toml", "train fse --preset ./odd.toml --data faces --dry-run")


@row(
    3,
    "encoder weights, statistics, decoded cache of training: FIFO, /dev/zero, 3 GB sparse",
    "refused, little memory",
    slow=3,
)
def odd_training(place):
    place.copy("faces")
    for key in ("encoder_weights", "stats_file", "decoded_cache"):
        each(
            place,
            "odd.safetensors",
            f"train fse --data faces --max-steps 1 {TINY} --set {key}=odd.safetensors",
        )


@row(3, "reports to compare: FIFO, /dev/zero, 3 GB sparse", "refused, little memory", slow=2)
def odd_reports(place):
    each(place, "report.json", "compare a=report.json --out page.html")


@row(3, "attacker to evaluate with: FIFO, /dev/zero, 3 GB sparse", "refused, little memory", slow=1)
def odd_attacker(place):
    place.copy("faces")
    each(
        place,
        "odd.safetensors",
        "evaluate --data faces --baselines --attacker a=odd.safetensors --out report",
    )


@row(3, "labels of synthetic people: FIFO, /dev/zero, 3 GB sparse", "refused or drawn anew", slow=2)
def odd_labels(place):
    each(
        place,
        "people/labels.jsonl",
        "data synth --people 2 --per-person 1 --size 32 --out people",
        may=True,
    )


@row(3, "cached index, cached statistics: FIFO, /dev/zero, 3 GB sparse", "computed anew", slow=3)
def odd_caches(place):
    place.copy("faces")
    line = f"train fse --data faces --max-steps 1 {TINY} --resume none --set preview_every=0"
    place.well(line)
    cached = sorted(path for path in (place / "cache").rglob("*") if path.is_file())
    if not cached:
        raise Harm("nothing is cached")
    for path in cached:
        before = path.read_bytes()
        each(place, path.relative_to(place.root), line, may=True)
        if path.is_symlink() or path.exists():
            path.unlink()
        path.write_bytes(before)


@row(
    3,
    "cached index, cached statistics that are links to files elsewhere",
    "these files stay as they are",
    slow=1,
)
def linked_caches(place):
    place.copy("faces")
    line = f"train fse --data faces --max-steps 1 {TINY} --resume none --set preview_every=0"
    place.well(line)
    precious = []
    for path in sorted(path for path in (place / "cache").rglob("*") if path.is_file()):
        path.unlink()
        precious.append(Precious(place / "elsewhere" / path.name))
        path.symlink_to(precious[-1].path)
    place.run(line)
    for one in precious:
        one.check()


@row(
    3,
    "photos and pictures that are FIFOs, devices, links to /dev/zero",
    "left out, not waited for",
    slow=1,
)
def odd_photos(place):
    for name in ("mtcnn", "in", "faces"):
        place.copy(name)
    for folder in ("in", "faces/p0"):
        os.mkfifo(place / folder / "fifo.png")
        os.symlink("/dev/zero", place / folder / "zero.jpg")
    place.run(f"protect in --out out --method solid {DETECTOR}", seconds=SOON)
    place.refused(f"protect in/fifo.png --out out2 --method solid {DETECTOR}", seconds=SOON)
    place.refused("align in/zero.jpg --out out3 --detector-weights mtcnn", seconds=SOON)
    place.run("data check faces", seconds=SOON)
    place.run(f"train fse --data faces --max-steps 1 {TINY} --max-bad-images 1", seconds=SOON * 2)


@row(
    3,
    "a picture exchanged for a FIFO after the data set was indexed",
    "left out, not waited for",
    slow=1,
)
def picture_exchanged(place):
    place.copy("faces")
    place.well("data index faces")
    (place / "faces/p0/0.png").unlink()
    os.mkfifo(place / "faces/p0/0.png")
    place.run(f"train fse --data faces --max-steps 2 {TINY} --max-bad-images 1", seconds=SOON * 2)


@row(3, "conformance cases, list of a data set: FIFO, /dev/zero", "refused, little memory", slow=1)
def odd_cases(place):
    each(place, "case.safetensors", "conformance case.safetensors")
