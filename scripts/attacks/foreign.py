"""Item 8: caches, manifests and links of others; processes that were killed."""

import json
import shutil
import struct
import time
import zlib

from attacks.material import TINY, chunk
from attacks.names import FSE
from attacks.out import RECORD, SOLID, photos
from attacks.place import SOON, Harm, Precious, kill_group
from attacks.rows import row


def poisoned(place, target):
    """An index in the cache that sends one picture elsewhere; whether it is believed."""
    place.copy("faces")
    place.well("data index faces")
    (file,) = (path for path in (place / "cache").rglob("*") if path.is_file())
    text = file.read_text()
    start = text.index('"p0/0.png"')
    file.write_text(text[:start] + json.dumps(target) + text[start + len('"p0/0.png"') :])
    # A picture there that cannot be read is told of, if it is looked at.
    return (
        place.run("data check faces").text
        + place.run(f"{FSE} --max-bad-images 1 --run-dir run").text
    )


@row(
    8,
    "cached index that sends pictures out of the data set: `..`, absolute",
    "not believed: computed anew",
    slow=2,
)
def index_outside(place):
    place.write("secret.png", "no picture")
    for target in ("../secret.png", str(place / "secret.png"), "p0/../../secret.png"):
        shutil.rmtree(place / "cache", ignore_errors=True)
        shutil.rmtree(place / "faces", ignore_errors=True)
        if "secret.png" in poisoned(place, target):
            raise Harm(f"{target.replace(str(place.root), '…')} was read")


@row(8, "cached index whose pictures are another person's", "not believed: computed anew")
def index_changed(place):
    place.copy("faces")
    place.well("data index faces")
    (file,) = (path for path in (place / "cache").rglob("*") if path.is_file())
    before = file.read_text()
    file.write_text(before.replace('"p0/0.png"', '"p2/0.png"').replace('"p2/1.png"', '"p0/1.png"'))
    place.well(f"{FSE} --run-dir run")
    if '"p2/1.png"' not in file.read_text():
        raise Harm("the changed index was used")


@row(8, "cached statistics with changed numbers", "not believed: computed anew", slow=1)
def statistics_changed(place):
    place.copy("faces")
    place.well(f"{FSE} --run-dir run --resume none")
    (file,) = (path for path in (place / "cache").rglob("*statistics*") if path.is_file())
    before = file.read_bytes()
    changed = bytearray(before)
    changed[-400:] = struct.pack("<100f", *([1e6] * 100))
    file.write_bytes(changed)
    place.well(f"{FSE} --run-dir run --resume none")
    if file.read_bytes() == bytes(changed):
        raise Harm("the changed statistics were used")


@row(8, "decoded cache with changed pixels", "not believed", slow=1)
def decoded_changed(place):
    place.copy("faces")
    place.well("data cache faces --size 128 --out decoded.safetensors")
    line = f"{FSE} --run-dir run --resume none --set decoded_cache=decoded.safetensors"
    place.well(line)
    content = bytearray((place / "decoded.safetensors").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 60_000] = bytes(60_000)
    (place / "decoded.safetensors").write_bytes(content)
    done = place.run(line)
    if done.code == 0 and "decoded" not in done.err:
        raise Harm("the changed pixels were used")


@row(
    8, "protect killed between writing a photo and recording it", "the same command goes on", slow=1
)
def killed_between(place):
    photos(place, "a.png", "b.png")
    place.well(f"protect in --out out {SOLID}")
    # As if killed then: of the second photo, the line that says that it is done is not there yet.
    record = place / "out" / RECORD
    text = record.read_text().splitlines(keepends=True)
    last = max(number for number, line in enumerate(text) if '"status"' in line)
    record.write_text("".join(text[:last]))
    for name in ("report.json", "contact_sheet.png"):
        (place / "out" / name).unlink()
    done = place.run(f"protect in --out out {SOLID}")
    if done.code != 0:
        raise Harm(done.brief())


@row(8, "protect killed at eight moments", "the same command goes on and ends well", slow=4)
def killed_anywhere(place):
    photos(place, *(f"{number}.png" for number in range(6)))
    words = [place.setup.program, *f"protect in --out out {SOLID}".split()]
    begun = time.monotonic()
    place.well(f"protect in --out out {SOLID}")
    whole = time.monotonic() - begun
    shutil.rmtree(place / "out")
    for turn in range(8):
        process = place.start(words)
        time.sleep(whole * (0.3 + 0.08 * turn))
        kill_group(process)
        process.wait()
        place.children.remove(process)
    done = place.run(f"protect in --out out {SOLID}")
    if done.code != 0:
        raise Harm(done.brief())
    left = [path.name for path in (place / "out").iterdir() if "partial" in path.name]
    if left:
        raise Harm("left behind: " + ", ".join(left))


@row(8, "what a killed process left half written in --out", "swept by the next run")
def partial_swept(place):
    photos(place, "album/a.png")
    (place / "out/album").mkdir(parents=True)
    # Names as this and earlier versions give them.
    names = (".partial-0123456789abcdef01234567", ".faceshield-aB3dE9.partial")
    for name in names:
        place.write(f"out/{name}", "half a photo")
        place.write(f"out/album/{name}", "half a photo")
    keep = Precious(place / "out/.partial-of-mine.txt")
    place.well(f"protect in --out out {SOLID}")
    keep.check()
    left = [
        str(path.relative_to(place / "out"))
        for name in names
        for path in (place / "out").rglob(name)
    ]
    if left:
        raise Harm(f"{len(left)} files stay: {left[0]}")


@row(8, "a checkpoint that is published", "no absolute path of the training data in it", slow=1)
def manifest_paths(place):
    # Below the current folder, which may be named relative to it, and elsewhere, which may not.
    for number, data in enumerate(("faces", "../secret-name/faces")):
        place.copy("faces", data)
        place.well(
            f"train all --max-steps 1 {TINY} --set preview_every=0 --run-dir run{number} "
            f"--checkpoint-dir kept{number} --data {(place / data).resolve()}"
        )
        for path in sorted(place.root.glob(f"kept{number}/checkpoints_*/step_*/*")):
            content = path.read_bytes()
            if b"secret-name" in content or str(place.root).encode() in content:
                raise Harm(f"{path.parent.parent.name}/…/{path.name} names the folder")


@row(
    8,
    "links in the photo tree that lead out of it: protect, align",
    "said; with --no-follow left out",
    slow=1,
)
def tree_links(place):
    photos(place, "a.png")
    place.copy("in/a.png", "private/b.png")
    (place / "in/album").symlink_to(place / "private")
    (place / "in/c.png").symlink_to(place / "private/b.png")
    for command in (
        f"protect in --out out {SOLID}",
        "align in --out cut --detector-weights mtcnn --min-face 100 --size 64",
    ):
        said = place.run(command).err
        if not any("link" in line for line in said.splitlines()):
            raise Harm(f"{command.split()[0]} follows them and does not say so")
    place.well(f"protect in --out none {SOLID} --no-follow")
    followed = [
        path.name for path in (place / "none").rglob("*.png") if path.name in ("b.png", "c.png")
    ]
    if followed:
        raise Harm(f"--no-follow: {followed[0]} was protected")


@row(8, "links in the photo tree that lead back into it", "an end, each photo once")
def tree_loops(place):
    photos(place, "sub/a.png")
    (place / "in/sub/loop").symlink_to(place / "in")
    (place / "in/again").symlink_to(place / "in/sub")
    place.run(f"protect in --out out {SOLID}", seconds=SOON)
    place.run("data index in", seconds=SOON)


@row(8, "pictures of 60,000 × 60,000 pixels, of 700 MB when decompressed", "refused, under 700 MB")
def picture_bombs(place):
    photos(place)
    head = lambda width, height: b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    )
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(bytes(1 << 20)) for _ in range(700)) + packer.flush()
    place.write(
        "in/wide.png",
        head(60_000, 60_000) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b""),
    )
    place.write("in/deep.png", head(100, 100) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    place.write(
        "in/text.png", head(100, 100) + chunk(b"zTXt", b"a\0\0" + data) + chunk(b"IEND", b"")
    )
    place.refused(f"protect in --out out {SOLID}", memory=700, errors_at_most=4)
    place.refused("data index in", memory=700)
