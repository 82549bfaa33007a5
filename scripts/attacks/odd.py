"""Item 3: records and ledgers that are no regular files of the user's, or endless ones."""

import os
import shutil
import socket

from attacks.material import DETECTOR
from attacks.out import LEDGER, RECORD, SOLID, photos
from attacks.place import SOON, Harm, Precious, Skipped
from attacks.rows import row

NOBODY = 65534


def odd(place, make, what):
    """Record, then ledger, of an odd kind: an end within seconds and little memory."""
    said = []
    for name in (RECORD, LEDGER):
        photos(place, "a.png")
        shutil.rmtree(place / "out", ignore_errors=True)
        (place / "out").mkdir()
        make(place / "out" / name)
        try:
            place.refused(f"protect in --out out {SOLID}", seconds=SOON)
        except Harm as harm:
            said.append(f"{name}: {harm}")
    if said:
        raise Harm("; ".join(said))


@row(3, "record, ledger: a FIFO", "refused at once", slow=2)
def record_fifo(place):
    odd(place, os.mkfifo, "a FIFO")


@row(3, "record, ledger: a link to /dev/zero", "refused at once", slow=2)
def record_device_link(place):
    odd(place, lambda path: os.symlink("/dev/zero", path), "a device")


@row(3, "record, ledger: a device", "refused at once", slow=1)
def record_device(place):
    def make(path):
        try:
            os.mknod(path, 0o020666, os.makedev(1, 5))
        except PermissionError:
            raise Skipped("only root can make devices")

    odd(place, make, "a device")


@row(3, "record, ledger: a sparse file of 2 GB", "refused, little memory", slow=2)
def record_sparse(place):
    def make(path):
        with open(path, "wb") as file:
            file.truncate(2 << 30)

    odd(place, make, "2 GB")


@row(3, "record, ledger: another user's file", "refused")
def record_of_another(place):
    if os.geteuid() != 0:
        raise Skipped("only root can give files away")

    def make(path):
        path.touch()
        os.chown(path, NOBODY, NOBODY)

    odd(place, make, "another's")


@row(3, "record, ledger: a folder, a socket", "refused")
def record_folder(place):
    odd(place, os.mkdir, "a folder")

    def listen(path):
        with socket.socket(socket.AF_UNIX) as made:
            # The path may be too long for a socket's address; a relative one is not.
            here = os.open(path.parent, os.O_RDONLY)
            made.bind(f"/proc/self/fd/{here}/{path.name}")
            os.close(here)

    odd(place, listen, "a socket")


@row(
    3,
    "record of one line of 150 MB; of lines nested 100,000 deep",
    "refused or ignored, little memory",
    slow=1,
)
def record_long(place):
    for text in (
        b'{"input":"' + b"a" * 150_000_000,
        b"[" * 100_000 + b"\n",
        b'{"faces":' * 100_000 + b"\n",
    ):
        photos(place, "a.png")
        shutil.rmtree(place / "out", ignore_errors=True)
        place.write(f"out/{RECORD}", text)
        place.run(f"protect in --out out {SOLID}", memory=700)


@row(
    3,
    "ledger of a line that is broken, of another release's guarantee",
    "refused, the line named, nothing lost",
)
def ledger_broken(place):
    place.copy("checkpoints_IRC")
    photos(place, "a.png")
    precious = Precious(place / f"out/{LEDGER}", '{"photo":"x"}\n')
    done = place.refused(f"protect in --out out --epsilon 1 {DETECTOR}")
    precious.check()
    if "line 1" not in done.err:
        raise Harm(done.brief())
