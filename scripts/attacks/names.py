"""Item 8: names that drive terminals; pickles that fill memory."""

import json
import shutil
import struct
import zipfile

from attacks.material import TINY, png, safetensors
from attacks.out import SOLID, photos
from attacks.place import SOON, Harm
from attacks.rows import row

# Clears the screen, sets the title, begins a line of its own, turns text around, a C1 control.
EVIL = "x\x1b[2J\x1b]0;owned\x07\nerror: FORGED\r\u202egnp\x9b31m"
FSE = f"train fse --data faces --max-steps 1 {TINY} --set preview_every=0 --set log_every=1"


def harmless(*texts):
    """Fails when a text would drive a terminal or begins a line of the attacker's."""
    for text in texts:
        for sign, what in (
            ("\x1b", "an escape sequence"),
            ("\x07", "a bell"),
            ("\u202e", "text turned around"),
            ("\x9b", "a C1 control"),
        ):
            if sign in text:
                raise Harm(f"{what} reaches the terminal")
        if any(line.startswith("error: FORGED") for line in text.replace("\r", "\n").splitlines()):
            raise Harm("a foreign name begins a line of its own")


@row(
    8,
    "photos with escapes and line breaks in their names: protect, align",
    "printed escaped",
    slow=1,
)
def names_photos(place):
    photos(place, f"{EVIL}.png")
    place.write(f"in/{EVIL}torn.png", "no picture")
    place.write(f"in/{EVIL}album/none.png", png(40, 40, 1))
    harmless(place.run(f"protect in --out out {SOLID}").text)
    harmless(
        place.run("align in --out faces --detector-weights mtcnn --min-face 100 --size 64").text
    )
    harmless(place.run(f"protect nothing{EVIL} --out out {SOLID}").text)
    harmless(place.run("protect", f"nothing{EVIL}", "--out", "out", "--method", "solid").text)


@row(8, "pictures and people with such names: data, train, their logs", "printed escaped", slow=2)
def names_people(place):
    place.copy("faces")
    (place / "faces/p0").rename(place / f"faces/{EVIL}")
    place.write(f"faces/p1/{EVIL}.png", "no picture")
    torn = place.write(f"faces/p1/{EVIL}2.png", png(64, 64, 3))
    torn.write_bytes(torn.read_bytes()[:100])
    for line in ("data index faces", "data check faces", f"{FSE} --max-bad-images 1 --run-dir run"):
        harmless(place.run(line).text)
    only = place / "one"
    (place / f"faces/{EVIL}").rename(place / "moved")
    (only / EVIL).mkdir(parents=True)
    shutil.copy(place / "moved/0.png", only / EVIL / "0.png")
    harmless(place.run("data index one").text)


@row(8, "weights, reports, settings, checkpoints with such names inside", "printed escaped", slow=1)
def names_inside(place):
    place.write("w.safetensors", safetensors({EVIL: ([2], [1, 2])}))
    harmless(place.run("weights inspect w.safetensors").text)
    harmless(place.run("weights convert w.safetensors out.pth").text)
    place.copy("faces")
    harmless(place.run(f"{FSE} --set encoder_weights=w.safetensors").text)
    harmless(place.run(f"{FSE} --set stats_file=w.safetensors").text)
    place.write("c.toml", json.dumps(EVIL, ensure_ascii=True) + " = 1\n")
    harmless(place.run("train fse --preset demo --config c.toml --dry-run").text)
    place.write("d.toml", f"lr = {json.dumps(EVIL)}\n")
    harmless(place.run("train fse --preset demo --config d.toml --dry-run").text)
    place.write("r.json", json.dumps({"format": EVIL, EVIL: 1}))
    harmless(place.run("compare r.json --out page.html").text)
    place.copy("checkpoints_FSE")
    manifest = place / "checkpoints_FSE/step_00000001/manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"fse"', json.dumps(EVIL)))
    harmless(place.run(FSE).text)


def pickled(body):
    """A .pth file (zip, stored) around a pickle."""
    return {"archive/data.pkl": b"\x80\x02" + body + b".", "archive/version": b"3\n"}


def write_pth(path, body, deflated=False):
    kind = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in pickled(body).items():
            archive.writestr(name, content)


BOMBS = {
    "25 MB of None": b"(" + b"N" * 25_000_000 + b"l",
    "25 MB of empty tuples": b"(" + b")" * 25_000_000 + b"l",
    "25 MB of empty lists": b"(" + b"]" * 25_000_000 + b"l",
    "25 MB of memo entries": b"".join(b"Nr" + struct.pack("<I", n) + b"0" for n in range(3_500_000))
    + b"N",
    "memo index 2^32": b"Nr\xff\xff\xff\xff",
    "25 MB of marks": b"(" * 25_000_000 + b"N",
    "string of 2^31 announced": b"X\xff\xff\xff\x7f" + b"a" * 100,
}


def bombs(place, write):
    said = []
    for name, body in BOMBS.items():
        write(place / "bomb.pth", body)
        try:
            place.run("weights inspect bomb.pth", memory=700, seconds=30)
        except Harm as harm:
            said.append(f"{name}: {harm}")
    if said:
        raise Harm("; ".join(said))


@row(8, "pickles of 25 MB with millions of objects, zip format", "under 700 MB", slow=3)
def pickle_zip(place):
    bombs(place, write_pth)


@row(8, "the same pickles compressed, and in the old format", "under 700 MB", slow=3)
def pickle_old(place):
    bombs(place, lambda path, body: write_pth(path, body, deflated=True))
    bombs(
        place,
        lambda path, body: path.write_bytes(
            b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02" + body + b"."
        ),
    )


@row(
    8,
    "a pickle of 2^40 objects by doubling (tuples of tuples)",
    "refused, under 700 MB, within seconds",
)
def pickle_doubling(place):
    body = b"Nq\x00" + b"".join(
        b"h" + bytes([n]) + b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(40)
    )
    write_pth(place / "bomb.pth", body)
    place.refused("weights inspect bomb.pth", memory=700, seconds=SOON)
