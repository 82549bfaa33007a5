"""Runs every attack and prints the table. Called by scripts/attacks.sh; standard library only."""

import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import sys
import tempfile
import textwrap
import time

sys.dont_write_bytecode = True
# Isolated mode leaves the script's own folder out: named in full, no other can take its place.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from attacks import material, place as places  # noqa: E402
from attacks.rows import ROWS  # noqa: E402

WIDTHS = (4, 50, 44, 44, 7)


class Setup:
    """What all rows share."""

    def __init__(self, program, tree, scratch, keep):
        self.program, self.tree, self.scratch, self.keep = program, tree, scratch, keep
        self.libraries = str(tree / ".libtorch/lib")
        for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":"):
            if folder.startswith("/"):
                self.libraries += ":" + folder
        self.material = None


def attempt(setup, row):
    """One attack: (verdict, what happened, seconds)."""
    begun = time.monotonic()
    place = places.Place(setup, row.name)
    try:
        verdict, happened = "ok", row.attack(place) or row.must
    except places.Harm as harm:
        verdict, happened = "FAILED", str(harm)
    except places.Skipped as why:
        verdict, happened = "SKIPPED", str(why)
    except Exception as error:  # A row that breaks has shown nothing.
        verdict, happened = "FAILED", f"the attack itself broke: {type(error).__name__}: {error}"
    finally:
        place.close()
    return verdict, happened, time.monotonic() - begun


def printable(text):
    """Without what could drive a terminal: that is among the attacks."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def print_line(cells):
    columns = [textwrap.wrap(printable(cell), width) or [""] for cell, width in zip(cells, WIDTHS)]
    for number in range(max(map(len, columns))):
        parts = [column[number] if number < len(column) else "" for column in columns]
        print("  ".join(part.ljust(width) for part, width in zip(parts, WIDTHS)).rstrip())


def main():
    own = pathlib.Path(__file__).resolve().parent.parent.parent
    parser = argparse.ArgumentParser(
        prog="scripts/attacks.sh", description="Attacks the built program and prints what happened."
    )
    parser.add_argument("--program", type=pathlib.Path, help="the program to attack")
    parser.add_argument(
        "--tree",
        type=pathlib.Path,
        default=own,
        help="the checkout whose scripts, and program, to attack",
    )
    parser.add_argument(
        "--only",
        metavar="PATTERN",
        help="rows whose number, name or text matches this regular expression",
    )
    parser.add_argument("--list", action="store_true", help="print the rows and stop")
    parser.add_argument("--jobs", type=int, default=2, help="attacks at a time (2)")
    parser.add_argument(
        "--keep", action="store_true", help="keep the scratch folder, and say where it is"
    )
    parser.add_argument("--times", action="store_true", help="also print the slowest rows")
    args = parser.parse_args()

    wanted = re.compile(args.only or "", re.IGNORECASE)
    rows = [row for row in ROWS if wanted.search(f"{row.item} {row.name} {row.what} {row.must}")]
    if args.list:
        for row in rows:
            print(f"{row.item:>2}  {row.name}: {row.what}")
        return 0
    if not rows:
        parser.error(f"no row matches {args.only}")
    tree = args.tree.resolve()
    program = (args.program or tree / "target/release/faceshield").resolve()
    if not program.is_file():
        parser.error(f"no program at {program}: build it, or name one with --program")

    begun = time.monotonic()
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="faceshield-attacks-"))
    # Other users' processes are among the attackers: they reach the run, not the files.
    scratch.chmod(0o711)
    setup = Setup(program, tree, scratch, args.keep)
    try:
        setup.material = material.make(places.Place(setup, "material"))
        print_line(("item", "attack", "what must happen", "what happened", ""))
        print_line(tuple("-" * width for width in WIDTHS))
        outcomes = []
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            # The slow ones first, so that none is left over at the end.
            order = sorted(rows, key=lambda row: -row.slow)
            waiting = {row.name: pool.submit(attempt, setup, row) for row in order}
            for row in rows:
                verdict, happened, seconds = waiting[row.name].result()
                outcomes.append((verdict, row, seconds))
                print_line((str(row.item), row.what, row.must, happened, verdict))
                sys.stdout.flush()
    finally:
        if args.keep:
            print(f"kept: {scratch}", file=sys.stderr)
        else:
            shutil.rmtree(scratch, ignore_errors=True)

    count = lambda verdict: sum(found == verdict for found, *_ in outcomes)
    failed, skipped, seconds = count("FAILED"), count("SKIPPED"), time.monotonic() - begun
    if args.times:
        for _, row, took in sorted(outcomes, key=lambda outcome: -outcome[2])[:12]:
            print(f"{took:6.1f} s  {row.name}", file=sys.stderr)
    for verdict, row, _ in outcomes:
        if verdict != "ok":
            print(f"{verdict}: {row.name}: {row.what}", file=sys.stderr)
    print(f"{failed} of {len(rows)} rows fail, {skipped} skipped, {seconds:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
