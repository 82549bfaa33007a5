"""Item 7: who can read faces and what is known of them."""

import re
import stat

from attacks.material import EVALUATE, TINY
from attacks.out import SOLID, photos
from attacks.place import Harm
from attacks.rows import row

MASKS = (0o000, 0o022)
STEP = f"--data faces --max-steps 1 {TINY} --set preview_every=1 --set log_every=1"


def private(place, *names, public=()):
    """Fails when others can read what lies at or below these names; results in `public` may be
    readable, but not writable."""
    found = []
    for name in names:
        top = place / name
        if not top.exists():
            raise Harm(f"{name} was not made")
        for path in [top, *sorted(top.rglob("*"))] if top.is_dir() else [top]:
            mode = stat.S_IMODE(path.lstat().st_mode)
            shown = path.is_file() and path.name in public
            if mode & (0o022 if shown else 0o077):
                found.append(f"{path.relative_to(place.root)} {mode:04o}")
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise Harm(", ".join(found[:3]) + more)


@row(7, "protect under umask 000, 022: record, ledger, report, contact sheet", "0600, folders 0700")
def modes_protect(place):
    photos(place, "album/a.png")
    for mask in MASKS:
        place.well(f"protect in --out deep/out{mask} {SOLID}", umask=mask)
        private(place, "deep", public=("a.png",))
        if not (place / f"deep/out{mask}/.protected.jsonl").exists():
            raise Harm("no record")


@row(
    7,
    "record and ledger of an earlier version that others can read",
    "0600 once they are written to",
)
def modes_earlier(place):
    photos(place, "a.png", "b.png")
    for name in (".protected.jsonl", "ledger.jsonl"):
        place.write(f"out/{name}", "").chmod(0o644)
    place.well(f"protect in --out out {SOLID}", umask=0o022)
    private(place, "out/.protected.jsonl", "out/ledger.jsonl")


@row(7, "align under umask 000, 022: crops of faces", "0600, folders 0700")
def modes_align(place):
    photos(place, "album/a.png")
    for mask in MASKS:
        place.well(
            f"align in --out faces{mask} --detector-weights mtcnn --min-face 100 --size 64",
            umask=mask,
        )
        private(place, f"faces{mask}")


@row(
    7,
    "train under umask 000, 022: previews, event files, metrics, logs, caches",
    "0600, folders 0700",
    slow=2,
)
def modes_train(place):
    place.copy("faces")
    for mask in MASKS:
        line = f"launch --log-dir run{mask}/logs -- train all {STEP} --profile 1"
        line += f" --run-dir run{mask} --checkpoint-dir save{mask}"
        place.well(line, umask=mask)
        private(place, f"run{mask}", "cache")


@row(
    7,
    "evaluate under umask 000, 022: report and page, with originals inside",
    "0600, folder 0700",
    slow=1,
)
def modes_evaluate(place):
    place.copy("faces")
    for mask in MASKS:
        place.well(f"{EVALUATE} --out report{mask}", umask=mask)
        private(place, f"report{mask}")


@row(7, "the evaluation's page, which contains original photos", "says so at its top", slow=1)
def page_warns(place):
    place.copy("faces")
    place.well(f"{EVALUATE} --out report")
    page = (place / "report/report.html").read_text()
    first = page.find("data:image")
    if first < 0:
        return "it contains no pictures"
    text = re.sub(r"<style.*?</style>|<[^>]+>", " ", page[:first], flags=re.DOTALL)
    if not re.search(r"original", text, re.IGNORECASE) or not re.search(
        r"private|do not (share|publish)|not be (shared|published)", text, re.IGNORECASE
    ):
        raise Harm("nothing is said before the first picture")


@row(7, "caches of pictures under umask 000: data cache, index, statistics", "0600")
def modes_caches(place):
    place.copy("faces")
    place.well("data cache faces --size 64 --out decoded.safetensors", umask=0)
    place.well(f"train fse {STEP} --set preview_every=0", umask=0)
    private(place, "decoded.safetensors", "cache")


@row(7, "comparison, prototypes, statistics under umask 000", "not writable by others", slow=1)
def modes_others(place):
    for name in ("faces", "checkpoints_IRC"):
        place.copy(name)
    place.well("prototypes --data faces --out identities.safetensors", umask=0)
    place.well(
        f"stats --data faces {TINY.replace('--set batch_size=1', '')} --out statistics.safetensors",
        umask=0,
    )
    place.well(f"{EVALUATE} --out report", umask=0)
    place.well("compare a=report/report.json --out page.html --charts charts", umask=0)
    for name in ("identities.safetensors", "statistics.safetensors", "page.html", "charts"):
        if (place / name).stat().st_mode & 0o022:
            raise Harm(f"others can write {name}")


@row(7, "train --private: previews and event files", "no picture in them", slow=2)
def private_training(place):
    place.copy("faces")
    line = f"train all {STEP} --run-dir run"
    done = place.run(f"{line} --private")
    if done.code != 0:
        done = place.run(f"{line} --set private=true")
    if done.code != 0:
        raise Harm("training has no such setting")
    pictures = [path.name for path in (place / "run").rglob("*") if path.suffix in (".png", ".jpg")]
    events = [
        path.name for path in (place / "run").rglob("*tfevents*") if b"\x89PNG" in path.read_bytes()
    ]
    if pictures or events:
        raise Harm("pictures in " + ", ".join((pictures + events)[:3]))
    log = (place / "log.err").read_text() + (place / "log.out").read_text()
    if re.search(r"\bp\d/\d\.png", log):
        raise Harm("file names of people in the log")


@row(7, "checkpoints under umask 000", "not writable by others", slow=1)
def modes_checkpoints(place):
    place.copy("faces")
    place.well(f"train fse {STEP} --set preview_every=0", umask=0)
    for path in (place / "checkpoints_FSE").rglob("*"):
        if path.lstat().st_mode & 0o022:
            raise Harm(
                f"others can write {path.relative_to(place.root)} {path.stat().st_mode & 0o777:04o}"
            )
