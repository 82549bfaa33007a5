"""The published loading pipeline, for comparison, and data to measure both on.

    python benches/loader.py make datasets/demo OUT    # OUT/{j1024,p1024,j512,p512}/PERSON/*
    python benches/loader.py measure OUT/j1024         # median ms an image on one core

Needs opencv-python-headless, pillow and numpy. `scripts/bench.sh` calls both.
"""

import argparse
import statistics
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

# Noise of a camera's strength: without it an enlarged photo is smooth, and both formats
# would decode it faster than they decode photos.
NOISE = 6.0


def make(faces: Path, out: Path) -> None:
    """Faces enlarged by Lanczos, with noise, as JPEG (quality 95) and PNG of 1024 and 512."""
    files = sorted(path for path in faces.glob("*/*") if path.suffix in {".png", ".jpg"})
    if not files:
        raise SystemExit(f"no images in {faces}: give a folder with one folder per person")
    random = np.random.default_rng(1)
    for file in files:
        photo = Image.open(file).convert("RGB")
        for side in (1024, 512):
            pixels = np.asarray(photo.resize((side, side), Image.LANCZOS), dtype=np.float32)
            pixels = pixels + random.normal(0.0, NOISE, pixels.shape)
            noisy = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            for kind, ending, options in (("j", "jpg", {"quality": 95}), ("p", "png", {})):
                path = out / f"{kind}{side}" / file.parent.name / f"{file.stem}.{ending}"
                path.parent.mkdir(parents=True, exist_ok=True)
                noisy.save(path, **options)


def load(path: Path) -> np.ndarray:
    """One image as the published code loads it: float32 [3, 512, 512] in [-1, 1]."""
    pixels = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    resized = Image.fromarray(pixels).resize((512, 512), Image.BILINEAR)
    scaled = np.asarray(resized).astype(np.float32) / 127.5 - 1.0
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def measure(folder: Path) -> None:
    """Median processor time of an image in ms, after one round that is not counted."""
    cv2.setNumThreads(1)
    files = sorted(folder.glob("*/*"))
    if not files:
        raise SystemExit(f"no images in {folder}: run `make` first")
    times = []
    for round_ in range(3):
        for file in files:
            start = time.process_time()
            load(file)
            if round_ > 0:
                times.append(1e3 * (time.process_time() - start))
    print(f"{statistics.median(times):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("make", help="write the four data sets")
    one.add_argument("faces", type=Path)
    one.add_argument("out", type=Path)
    one.set_defaults(run=lambda args: make(args.faces, args.out))
    two = commands.add_parser("measure", help="median ms an image on one core")
    two.add_argument("folder", type=Path)
    two.set_defaults(run=lambda args: measure(args.folder))
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
