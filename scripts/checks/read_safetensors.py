#!/usr/bin/env python3
"""Prints the tensors of a safetensors file, or of every one in a checkpoint folder,
as Python's `safetensors` reads them.

    read_safetensors.py checkpoints_FSE/step_00000100

One line per tensor: file, name, type, shape. Exits 1 when there is none. Needs the
packages `safetensors` and `numpy`.
"""

import pathlib
import sys

from safetensors import safe_open


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    path = pathlib.Path(sys.argv[1])
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    found = 0
    for file in files:
        with safe_open(file, framework="numpy") as archive:
            for name in archive.keys():
                tensor = archive.get_tensor(name)
                print(file.name, name, tensor.dtype, list(tensor.shape))
                found += 1
    if not found:
        print(f"no tensors in {path}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
