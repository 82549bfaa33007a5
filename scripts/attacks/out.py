"""Item 3: records and ledgers that came with the folder given as --out."""

import json
import os
import shutil

from attacks.material import DETECTOR
from attacks.place import Harm, Precious, lines
from attacks.rows import row

SOLID = f"--method solid {DETECTOR}"
RECORD, LEDGER = ".protected.jsonl", "ledger.jsonl"


def photos(place, *names):
    """Photos to protect, `torn` ones unreadable."""
    place.copy("mtcnn")
    for name in names:
        place.copy("torn.png" if "torn" in name else "in/a.png", f"in/{name}")


def attacker(place):
    """The environment of an attacker who has the program too, but not the user's home."""
    home = place / "attacker"
    more = {f"XDG_{kind}_HOME": home / kind for kind in ("CONFIG", "DATA", "STATE")}
    return place.environment(HOME=home, FACESHIELD_CACHE=home / "cache", **more)


def own_record(place, line):
    """What the program itself writes for the attacker, as objects."""
    (place / "attacker").mkdir(exist_ok=True)
    place.run(f"protect in --out out {line}", environment=attacker(place))
    return lines(place / "out" / RECORD)


def replaced(value, old, new):
    """A record's line with other paths."""
    if isinstance(value, dict):
        return {key: replaced(inner, old, new) for key, inner in value.items()}
    if isinstance(value, list):
        return [replaced(inner, old, new) for inner in value]
    return new if value in (old, f"out/{old}") else value


def forged(source, target, status="unprotected"):
    """A line as versions before the record's paths were relative wrote it."""
    seconds = dict.fromkeys(("read", "find", "paint", "blend", "total"), 0.0)
    return {
        "input": source,
        "output": str(target),
        "status": status,
        "faces": [],
        "seconds": seconds,
        "stamp": "0" * 32,
    }


def put(place, *objects):
    place.write(f"out/{RECORD}", "".join(json.dumps(one) + "\n" for one in objects))


def withdrawn(place, precious, *targets):
    """Records that say that files elsewhere are what an earlier run wrote of a photo without a
    face; now that photo fails, and what was written of it is taken back."""
    # A face is never found at this threshold, so that this is the attacker's genuine record.
    genuine = own_record(place, f"{SOLID} --threshold 1 --allow-unprotected")
    shutil.copy(place.setup.material / "torn.png", place / "in/torn.png")
    for target in targets:
        new = [replaced(one, "torn.png", str(target)) for one in genuine]
        for put_there in ([forged("in/torn.png", target)], new):
            put(place, *genuine, *put_there)
            place.run(f"protect in --out out {SOLID}")
            precious.check()


@row(
    3,
    "record that names a file elsewhere by its absolute path as a result",
    "the file stays as it is",
    slow=1,
)
def record_absolute(place):
    photos(place, "a.png")
    shutil.copy(place / "in/a.png", place / "in/torn.png")
    precious = Precious(place / "elsewhere/precious.png")
    withdrawn(place, precious, precious.path)


@row(
    3,
    "record that names a file elsewhere by `..`, or from the current folder",
    "the file stays as it is",
    slow=1,
)
def record_parent(place):
    photos(place, "a.png")
    shutil.copy(place / "in/a.png", place / "in/torn.png")
    precious = Precious(place / "elsewhere/precious.png")
    withdrawn(
        place,
        precious,
        "out/../elsewhere/precious.png",
        "../elsewhere/precious.png",
        "elsewhere/precious.png",
    )


@row(
    3,
    "record that names a file through a linked folder in --out",
    "the file stays as it is",
    slow=1,
)
def record_linked_folder(place):
    photos(place, "a.png")
    shutil.copy(place / "in/a.png", place / "in/torn.png")
    precious = Precious(place / "elsewhere/precious.png")
    (place / "out").mkdir()
    (place / "out/album").symlink_to(place / "elsewhere")
    withdrawn(place, precious, "out/album/precious.png", "album/precious.png")


@row(
    3,
    "linked folder in --out, a record that calls a picture there a result",
    "the picture is not replaced",
)
def linked_folder_replaced(place):
    photos(place, "album/a.png")
    genuine = own_record(place, SOLID)
    shutil.rmtree(place / "out/album")
    precious = Precious(place / "elsewhere/a.png")
    (place / "out/album").symlink_to(place / "elsewhere")
    put(place, *genuine, forged("x.png", "out/album/a.png"), forged("x.png", "album/a.png"))
    (place / "in/album/a.png").touch()
    place.run(f"protect in --out out {SOLID}")
    precious.check()


@row(
    3,
    "another file under a result's name, which a record calls ours",
    "the file stays, the photo fails",
)
def foreign_result(place):
    photos(place, "a.png")
    genuine = own_record(place, SOLID)
    precious = Precious(place / "out/a.png", "a picture of the user's")
    put(place, *genuine, forged("x.png", "out/a.png"), forged("x.png", "a.png"))
    (place / "in/a.png").touch()
    place.run(f"protect in --out out {SOLID}")
    precious.check()


def is_original(place, name="a.png"):
    result = place / "out" / name
    return result.exists() and result.read_bytes() == (place / "in" / name).read_bytes()


@row(
    3,
    "record that says the original, copied into --out, is protected",
    "it is not called protected",
)
def original_called_protected(place):
    photos(place, "a.png")
    genuine = own_record(place, SOLID)
    # As the attacker would: the sum of what lies there put right, too.
    text = json.dumps(genuine)
    import hashlib

    sums = [
        hashlib.sha256((place / path).read_bytes()).hexdigest()
        for path in ("out/a.png", "in/a.png")
    ]
    put(place, *json.loads(text.replace(*sums)))
    shutil.copy2(place / "in/a.png", place / "out/a.png")
    done = place.run(f"protect in --out out {SOLID} --json")
    if is_original(place) and json.loads(done.out or '{"protected": 0}')["protected"]:
        raise Harm("the original is called protected")


@row(3, "a genuine result replaced by its original since", "it is not called protected")
def result_exchanged(place):
    photos(place, "a.png")
    place.well(f"protect in --out out {SOLID}")
    shutil.copy2(place / "in/a.png", place / "out/a.png")
    done = place.run(f"protect in --out out {SOLID} --json")
    if is_original(place) and json.loads(done.out or '{"protected": 0}')["protected"]:
        raise Harm("the original is called protected")


def linked(place, name, hard):
    """A record or ledger that is another name of a shell's start-up file."""
    photos(place, "a.png")
    precious = Precious(place / "home/.bashrc", "alias ll='ls -l'\n")
    (place / "out").mkdir()
    (os.link if hard else os.symlink)(precious.path, place / "out" / name)
    place.run(f"protect in --out out {SOLID}")
    precious.check()


@row(3, "record that is a symbolic link to ~/.bashrc", "nothing is appended to it")
def record_symlink(place):
    linked(place, RECORD, hard=False)


@row(3, "record that is a hard link to ~/.bashrc", "nothing is appended to it")
def record_hard_link(place):
    linked(place, RECORD, hard=True)


def model_ledger(place, hard):
    place.copy("checkpoints_IRC")
    photos(place, "a.png")
    # An empty file is a valid ledger; another one would be refused as none.
    precious = Precious(place / "home/.bash_login", "")
    (place / "out").mkdir()
    (os.link if hard else os.symlink)(precious.path, place / "out" / LEDGER)
    place.run(f"protect in --out out --epsilon 1 {DETECTOR}")
    precious.check()


@row(3, "ledger that is a symbolic link to a start-up file", "nothing is appended to it", slow=1)
def ledger_symlink(place):
    model_ledger(place, hard=False)


@row(3, "ledger that is a hard link to a start-up file", "nothing is appended to it", slow=1)
def ledger_hard_link(place):
    model_ledger(place, hard=True)


@row(3, "record and ledger that are dangling links", "no file is made where they lead")
def dangling_links(place):
    for name in (RECORD, LEDGER):
        place_of = place / name.strip(".")
        place_of.mkdir()
        photos(place, "a.png")
        (place_of / "out").mkdir()
        os.symlink(place / "home/.profile", place_of / "out" / name)
        place.run(f"protect {place / 'in'} --out {place_of / 'out'} {SOLID}")
        if (place / "home/.profile").exists():
            raise Harm(f"{name}: a file was made in the home folder")
