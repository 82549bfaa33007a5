"""What attacks are made of: pictures, weights of a detector that sees a face everywhere, people to
train on, a model trained for one step. Everything is computed here; nothing is fetched."""

import json
import os
import pathlib
import struct
import zlib

# A training step as cheap as the model allows.
TINY = "--preset demo --set width_divisor=16 --set batch_size=1 --set image_size=128"
# An evaluation that needs no model and little time.
EVALUATE = (
    "evaluate --data faces --baselines --without detection --without attributes --resamples 100"
)
# The detector made here sees faces everywhere: one is enough.
DETECTOR = "--detector-weights mtcnn --min-face 100 --largest"


def png(width, height, seed):
    """A picture of coloured cells as a PNG file's bytes."""

    def cell(x, y):
        number = (seed * 2654435761 + x * 40503 + y * 69069 + 12345) & 0xFFFFFFFF
        number = (number ^ (number >> 15)) * 2246822519 & 0xFFFFFFFF
        return bytes((number >> shift) & 255 for shift in (3, 11, 19))

    rows = []
    for top in range((height + 7) // 8):
        row = b"".join(cell(x, top) * 8 for x in range((width + 7) // 8))[: 3 * width]
        rows += [b"\0" + row] * min(8, height - 8 * top)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(b"".join(rows), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def safetensors(tensors):
    """A weight file's bytes out of {name: (shape, numbers or None for zeros)}."""
    head, data = {}, b""
    for name, (shape, numbers) in tensors.items():
        count = 1
        for side in shape:
            count *= side
        content = struct.pack(f"<{count}f", *numbers) if numbers else bytes(4 * count)
        offsets = [len(data), len(data) + len(content)]
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        data += content
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def detector(folder):
    """Weights of MTCNN that are zero but for the last biases: every window is a face, with the
    landmarks of an upright one."""
    shapes = {
        "pnet": [("conv1", 3, 10, 3), ("conv2", 10, 16, 3), ("conv3", 16, 32, 3)],
        "rnet": [("conv1", 3, 28, 3), ("conv2", 28, 48, 3), ("conv3", 48, 64, 2)],
        "onet": [
            ("conv1", 3, 32, 3),
            ("conv2", 32, 64, 3),
            ("conv3", 64, 64, 3),
            ("conv4", 64, 128, 2),
        ],
    }
    ends = {
        "pnet": [("conv4_1", [2, 32, 1, 1], [-5, 5]), ("conv4_2", [4, 32, 1, 1], None)],
        "rnet": [
            ("dense4", [128, 576], None),
            ("dense5_1", [2, 128], [-5, 5]),
            ("dense5_2", [4, 128], None),
        ],
        "onet": [
            ("dense5", [256, 1152], None),
            ("dense6_1", [2, 256], [-5, 5]),
            ("dense6_2", [4, 256], None),
            ("dense6_3", [10, 256], [0.3, 0.7, 0.5, 0.35, 0.65, 0.4, 0.4, 0.6, 0.75, 0.75]),
        ],
    }
    slopes = {"pnet": [], "rnet": [("prelu4", 128)], "onet": [("prelu5", 256)]}
    for net, convolutions in shapes.items():
        tensors = {}
        for name, into, out, kernel in convolutions:
            tensors[f"{name}.weight"] = ([out, into, kernel, kernel], None)
            tensors[f"{name}.bias"] = ([out], None)
            tensors[f"prelu{name[4:]}.weight"] = ([out], None)
        for name, shape, bias in ends[net]:
            tensors[f"{name}.weight"], tensors[f"{name}.bias"] = (shape, None), (shape[:1], bias)
        for name, count in slopes[net]:
            tensors[f"{name}.weight"] = ([count], None)
        (folder / f"{net}.pt").write_bytes(safetensors(tensors))


def people(folder, count=4, each=2):
    """Folders of people with pictures."""
    for person in range(count):
        (folder / f"p{person}").mkdir(parents=True)
        for number in range(each):
            (folder / f"p{person}/{number}.png").write_bytes(png(64, 64, 10 * person + number + 1))


def make(place):
    """All of it in the folder of a place, the model by the program itself."""
    (place / "mtcnn").mkdir()
    detector(place / "mtcnn")
    people(place / "faces")
    place.write("in/a.png", png(160, 160, 5))
    place.write("torn.png", png(160, 160, 6)[:200])
    place.well(f"train all --data faces --max-steps 1 {TINY} --set preview_every=0")
    for left in ("home", "cache", "runs"):
        os.system(f"rm -rf '{place / left}'")
    return pathlib.Path(place.root)
