"""Item 1: kernels other than the newest."""

import ctypes
import os
import shutil
import struct

from attacks.material import DETECTOR, TINY
from attacks.place import Harm, Skipped
from attacks.rows import row

SHIM = "crates/c10d/tests/support/old_mremap.c"
OWN_SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", SHIM)


def old_mremap(place, fails):
    """An environment in which mremap fails as on kernels before 6.17, which unmap the target first
    and then find that the source spans two mappings; `fails` can ask for more."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if not compiler:
        raise Skipped("no C compiler (cc)")
    made = place / "old_mremap.so"
    done = place.command(
        compiler,
        "-shared",
        "-fPIC",
        "-O1",
        "-w",
        "-o",
        made,
        OWN_SHIM,
        "-ldl",
        "-pthread",
        log="cc",
    )
    if done.code != 0:
        raise Skipped(f"{SHIM} does not compile here: {done.brief()}")
    return place.environment(LD_PRELOAD=made, MREMAP_FAILS=fails, MREMAP_REPORT=place / "mremap")


def twice(place, line, fails="crossing"):
    """A command on this kernel and on an old one; how much more memory the old one takes."""
    usual = place.run(line.format("usual"))
    old = place.run(line.format("old"), environment=old_mremap(place, fails), allow=(-11, -7, -6))
    if old.code != 0:
        raise Harm(f"exit {old.code}" + (" (SIGSEGV)" if old.code == -11 else ""))
    report = (place / "mremap").read_text().split() if (place / "mremap").exists() else []
    calls = dict(zip(report[::2], map(int, report[1::2])))
    if not calls.get("calls"):
        raise RuntimeError("mremap was not called")
    if calls.get("damaged"):
        raise Harm(f"{calls['damaged']} mappings of others were overwritten")
    if old.peak > 1.3 * usual.peak + 30:
        raise Harm(f"{old.peak:.0f} MB instead of {usual.peak:.0f}")
    return f"done, {old.peak:.0f} MB instead of {usual.peak:.0f}"


@row(
    1,
    "kernel older than 6.17 (mremap unmaps, then fails): train both stages",
    "trains, with as much memory",
    slow=3,
)
def old_kernel_training(place):
    place.copy("faces")
    return twice(
        place,
        f"train all --data faces --max-steps 2 {TINY} --set image_size=256 --run-dir run_{{0}} --checkpoint-dir {{0}}",
    )


def protecting(place, fails):
    for name in ("in", "mtcnn", "checkpoints_IRC"):
        place.copy(name)
    return twice(place, f"protect in --out {{0}} --epsilon 1 {DETECTOR}", fails)


@row(
    1,
    "kernel older than 6.17: protect a photo with a model",
    "protects, with as much memory",
    slow=2,
)
def old_kernel_protecting(place):
    return protecting(place, "crossing")


@row(
    1,
    "the same, and every seventh mremap fails for lack of memory (vm.max_map_count)",
    "protects, with as much memory",
    slow=2,
)
def old_kernel_failing(place):
    return protecting(place, "7")


# What older kernels and strict containers lack, by its number on x86-64.
NEWER = {"openat2": 437, "renameat2": 316, "statx": 332, "copy_file_range": 326, "memfd_create": 319,
         "faccessat2": 439, "close_range": 436, "fadvise64": 221, "madvise": 28, "getrandom": 318}  # fmt: skip


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def without(names, error):
    """Makes system calls fail in this process and in what it starts."""
    code = struct.pack("HBBI", 0x20, 0, 0, 0)  # load the call's number
    for name in names:
        code += struct.pack("HBBI", 0x15, 0, 1, NEWER[name])  # if it is this one,
        code += struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | error)  # fail with the error
    code += struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)  # allow all others
    libc, program = ctypes.CDLL(None, use_errno=True), Program(len(code) // 8, code)

    def prepare():
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
            os._exit(99)

    return prepare


def in_container(place, error, names):
    if os.uname().machine != "x86_64":
        raise Skipped("the filter of system calls is written for x86-64")
    for name in ("in", "mtcnn", "faces"):
        place.copy(name)
    before = without(names, error)
    done = place.command("true", before=before)
    if done.code == 99:
        raise Skipped("no filter of system calls can be set here")
    place.well(f"protect in --out out --method solid {DETECTOR}", before=before)
    place.well(f"train fse --data faces --max-steps 1 {TINY}", before=before)


@row(
    1,
    "kernel without openat2, renameat2, statx, copy_file_range (ENOSYS)",
    "protects and trains",
    slow=1,
)
def calls_missing(place):
    in_container(place, 38, [name for name in NEWER if name not in ("getrandom", "madvise")])


@row(
    1,
    "container that forbids openat2, faccessat2, close_range, statx (EPERM)",
    "protects and trains",
    slow=1,
)
def calls_forbidden(place):
    in_container(place, 1, ["openat2", "faccessat2", "close_range", "statx"])
