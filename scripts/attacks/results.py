"""Item 3: links, and other things, under the names of results."""

import ctypes
import os
import shutil
import threading

from attacks.material import EVALUATE
from attacks.out import SOLID, photos
from attacks.place import Harm, Precious, same_folder, Skipped, SOON
from attacks.rows import row


@row(3, "linked folder in --out of protect", "nothing is written where it leads")
def protect_linked_folder(place):
    photos(place, "album/a.png", "b.png")
    (place / "elsewhere").mkdir()
    (place / "out").mkdir()
    (place / "out/album").symlink_to(place / "elsewhere")
    place.run(f"protect in --out out {SOLID}")
    same_folder(place / "elsewhere", [])
    if not (place / "out/b.png").exists():
        raise Harm("the other photo was not written either")


@row(3, "linked folder in --out of align", "nothing is written where it leads")
def align_linked_folder(place):
    photos(place, "album/a.png")
    (place / "elsewhere").mkdir()
    (place / "out").mkdir()
    (place / "out/album").symlink_to(place / "elsewhere")
    place.run("align in --out out --detector-weights mtcnn --min-face 100 --size 64")
    same_folder(place / "elsewhere", [])


@row(
    3,
    "result, report, contact sheet that are links to files elsewhere",
    "these files stay as they are",
)
def results_linked(place):
    photos(place, "a.png")
    (place / "out").mkdir()
    precious = []
    for name in ("a.png", "report.json", "contact_sheet.png"):
        precious.append(Precious(place / "elsewhere" / name))
        (place / "out" / name).symlink_to(precious[-1].path)
    place.run(f"protect in --out out {SOLID}")
    for one in precious:
        one.check()


@row(
    3,
    "result, report, contact sheet that are FIFOs, hard links, dangling links",
    "no hang, nothing written elsewhere",
    slow=1,
)
def results_odd(place):
    photos(place, "a.png")
    for number, name in enumerate(("a.png", "report.json", "contact_sheet.png")):
        for kind in ("fifo", "hard", "dangling"):
            out = place / f"out{number}{kind}"
            out.mkdir()
            precious = Precious(place / f"elsewhere/{number}{kind}")
            if kind == "fifo":
                os.mkfifo(out / name)
            elif kind == "hard":
                os.link(precious.path, out / name)
            else:
                (out / name).symlink_to(place / "home/new")
            place.run(f"protect in --out {out.name} {SOLID}", seconds=SOON)
            precious.check()
            if (place / "home/new").exists():
                raise Harm(f"{name}: a file was made where a dangling link leads")


@row(3, "crops of align that are links to files elsewhere", "these files stay as they are")
def crops_linked(place):
    photos(place, "a.png")
    (place / "out").mkdir()
    precious = [Precious(place / f"elsewhere/{kind}") for kind in ("soft", "hard")]
    (place / "out/a_0.png").symlink_to(precious[0].path)
    os.link(precious[1].path, place / "out/a_1.png")
    place.run("align in --out out --detector-weights mtcnn --min-face 100 --size 64")
    for one in precious:
        one.check()


@row(
    3, "report.json, report.html of evaluate that are links", "these files stay as they are", slow=1
)
def evaluation_linked(place):
    place.copy("faces")
    (place / "out").mkdir()
    precious = []
    for name in ("report.json", "report.html"):
        precious.append(Precious(place / "elsewhere" / name))
        (place / "out" / name).symlink_to(precious[-1].path)
    place.run(f"{EVALUATE} --out out")
    for one in precious:
        one.check()


@row(
    3,
    "labels.jsonl and folders of people in --out of data synth that are links",
    "files elsewhere stay as they are",
)
def synth_linked(place):
    precious = Precious(place / "elsewhere/labels.jsonl", "")
    (place / "out").mkdir()
    (place / "out/labels.jsonl").symlink_to(precious.path)
    place.run("data synth --people 2 --per-person 1 --size 32 --out out")
    precious.check()
    place.well("data synth --people 2 --per-person 1 --size 32 --out other")
    people = sorted(path.name for path in (place / "other").iterdir() if path.is_dir())
    shutil.rmtree(place / "other")
    (place / "other").mkdir()
    (place / "aside").mkdir()
    (place / "other" / people[0]).symlink_to(place / "aside")
    place.run("data synth --people 2 --per-person 1 --size 32 --out other")
    same_folder(place / "aside", [])


@row(
    3,
    "a folder in --out exchanged for a link again and again while photos are written",
    "nothing is written where it leads",
    slow=3,
)
def folder_exchanged(place):
    photos(place, *(f"album/{number}.png" for number in range(25)))
    (place / "elsewhere").mkdir()
    (place / "out/album").mkdir(parents=True)
    (place / "link").symlink_to(place / "elsewhere")
    rename = ctypes.CDLL(None, use_errno=True).renameat2
    paths = [os.fsencode(place / name) for name in ("link", "out/album")]
    exchange = lambda: rename(-100, paths[0], -100, paths[1], 2)
    if exchange() != 0:
        raise Skipped("this file system cannot exchange two names")
    ended = threading.Event()

    def race():
        while not ended.wait(0.0002):
            exchange()

    racing = threading.Thread(target=race)
    racing.start()
    try:
        place.run(f"protect in --out out {SOLID}")
    finally:
        ended.set()
        racing.join()
    same_folder(place / "elsewhere", [])


@row(
    3,
    "--out is the folder of the photos, by another name; a result's name is an original's",
    "originals stay as they are",
)
def over_originals(place):
    photos(place, "a.png", "b.png")
    originals = [
        Precious(place / f"in/{name}", (place / f"in/{name}").read_bytes())
        for name in ("a.png", "b.png")
    ]
    (place / "same").symlink_to(place / "in")
    place.run(f"protect in --out same {SOLID}")
    (place / "out").mkdir()
    os.link(place / "in/a.png", place / "out/b.png")
    (place / "out/a.png").symlink_to(place / "in/b.png")
    place.run(f"protect in --out out {SOLID}")
    for one in originals:
        one.check()


@row(3, "record, ledger, report.json as names of photos", "each photo gets a name of its own")
def clashing_names(place):
    photos(
        place, "report.json.png", ".protected.jsonl.png", "contact_sheet.png", "ledger.jsonl.png"
    )
    place.well(f"protect in --out out {SOLID}")
    if not (place / "out/contact_sheet_2.png").exists():
        raise Harm("the photo contact_sheet.png has no name of its own")
