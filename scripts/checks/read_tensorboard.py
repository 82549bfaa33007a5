#!/usr/bin/env python3
"""Prints the tags of a TensorBoard log folder, as TensorBoard's own reader sees them.

    read_tensorboard.py runs/NAME

One line per tag: kind, tag, number of values, first and last step. Exits 1 when the
folder holds no values. Needs the package `tensorboard`.
"""

import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    log = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0})
    log.Reload()
    tags = log.Tags()
    found = 0
    for kind, read in (("scalars", log.Scalars), ("images", log.Images)):
        for tag in sorted(tags[kind]):
            values = read(tag)
            steps = [value.step for value in values]
            print(kind[:-1], tag, len(values), "steps", f"{min(steps)}..{max(steps)}")
            found += len(values)
            if kind == "images":
                for value in values:
                    assert value.encoded_image_string.startswith(b"\x89PNG"), tag
                    assert value.width > 0 and value.height > 0, tag
    if not found:
        print(f"no values in {sys.argv[1]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
