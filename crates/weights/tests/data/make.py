"""Writes the fixtures of this folder, and expected.json with what they hold.

Run once with PyTorch 2.13 and safetensors: python make.py
pnet.pt is not made here: it is facenet_pytorch/data/pnet.pt of facenet-pytorch 2.6.0 (MIT).
"""

import json
import math
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

here = Path(__file__).parent
expected = {}
torch.manual_seed(20)


def plain(value):
    """JSON for a value that is not a tensor."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        return str(value)
    return value


def flatten(value, path, out):
    if isinstance(value, dict):
        for key, item in value.items():
            flatten(item, path + [str(key)], out)
    elif isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        for position, item in enumerate(value):
            flatten(item, path + [str(position)], out)
    else:
        parts = ".".join(path).split(".")
        name = ".".join([p for p in parts[:-1] if p != "module"] + parts[-1:]) or "value"
        out[name] = value
    return out


def numbers(tensor):
    tensor = tensor.detach()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    return [float(x) for x in tensor.double().flatten().tolist()]


def expect(name, value):
    tensors, other = {}, {}
    for key, item in flatten(value, [], {}).items():
        if isinstance(item, torch.Tensor):
            tensors[key] = {
                "dtype": str(item.dtype).removeprefix("torch."),
                "shape": list(item.shape),
                "numbers": numbers(item),
            }
        else:
            other[key] = plain(item)
    expected[name] = {"tensors": tensors, "other": other}


def both(name, value):
    torch.save(value, here / f"{name}_zip.pth")
    torch.save(value, here / f"{name}_old.pth", _use_new_zipfile_serialization=False)
    expect(f"{name}_zip.pth", value)
    expect(f"{name}_old.pth", value)


model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
model(torch.randn(4, 2, 3, 3)).square().sum().backward()
optimizer.step()

# An OrderedDict with _metadata.
both("state_dict", model.state_dict())

both(
    "checkpoint",
    {
        "epoch": 3,
        "best": 0.75,
        "name": "demo",
        "note": None,
        "done": False,
        "huge": 2**70,
        "negative": -5,
        "sizes": (1, [2, 300, 70000]),
        "model": nn.DataParallel(model).state_dict(),
        "optimizer": optimizer.state_dict(),
    },
)

both(
    "dtypes",
    {
        "bool": torch.tensor([True, False, True]),
        "uint8": torch.tensor([0, 255], dtype=torch.uint8),
        "int8": torch.tensor([-128, 127], dtype=torch.int8),
        "int16": torch.tensor([-30000, 30000], dtype=torch.int16),
        "int32": torch.tensor([-(2**31), 2**31 - 1], dtype=torch.int32),
        "int64": torch.tensor([-(2**52), 2**52]),
        "half": torch.tensor([1.5, -0.25]).half(),
        "bfloat16": torch.tensor([1.5, -0.25]).bfloat16(),
        "float": torch.tensor([math.pi, -1e30]),
        "double": torch.tensor([math.pi, -1e300], dtype=torch.float64),
        "complex64": torch.tensor([1 + 2j, -3.5j]),
        "complex128": torch.tensor([1 + 2j, -3.5j], dtype=torch.complex128),
        "zero_dim": torch.tensor(42.0),
        "empty": torch.empty(0, 3),
    },
)

base = torch.arange(24, dtype=torch.float32)
views = {
    "base": base,
    "transposed": base.view(4, 6).t(),
    "slice": base[5:11],
    "steps": base[1::4],
    "expanded": base[3:6].expand(2, 3),
    "tied": base,
    "channels_last": torch.randn(2, 3, 2, 2).to(memory_format=torch.channels_last),
}
both("views", views)

noted = nn.Parameter(torch.tensor([1.0, 2.0]))
noted.note = "an attribute"
attributed = torch.tensor([3.0])
attributed.note = "another"
both("parameters", {"plain": nn.Parameter(torch.ones(2)), "noted": noted, "tensor": attributed})

both("alone", torch.tensor([[1.0, 2.0]]))

float8 = {
    name: torch.tensor([1.5, -0.25, 8.0]).to(getattr(torch, name))
    for name in ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"]
}
float8["half_complex"] = torch.tensor([1 + 2j], dtype=torch.complex32)
torch.save(float8, here / "float8_zip.pth")
expect("float8_zip.pth", {k: v if k[0] == "f" else v.to(torch.complex64) for k, v in float8.items()})
expected["float8_zip.pth"]["tensors"]["half_complex"]["dtype"] = "complex32"

torch.save(model.state_dict(), here / "protocol5_zip.pth", pickle_protocol=5)
expect("protocol5_zip.pth", model.state_dict())

# What a big-endian machine writes, made of what this one wrote.
little = zipfile.ZipFile(here / "views_zip.pth")
with zipfile.ZipFile(here / "big_endian_zip.pth", "w") as big:
    for entry in little.namelist():
        data = little.read(entry)
        if "/data/" in entry:
            data = b"".join(data[i : i + 4][::-1] for i in range(0, len(data), 4))
        big.writestr(entry, b"big" if entry.endswith("/byteorder") else data)
expect("big_endian_zip.pth", views)

common = {
    "conv.weight": torch.randn(2, 2, 3),
    "module.bias": torch.tensor([1.0, 2.0]).bfloat16(),
    "half": torch.tensor([0.5]).half(),
    "count": torch.tensor(7),
    "mask": torch.tensor([True, False]),
    "byte": torch.tensor([1, 2, 3], dtype=torch.uint8),
    "complex": torch.tensor([1 + 2j]),
    "tiny": torch.tensor([1.5]).to(torch.float8_e4m3fn),
    "empty": torch.empty(0, 2),
}
save_file(common, here / "common.safetensors", metadata={"format": "pt", "note": "é"})
expect("common.safetensors", common)

# The real file: its sums only, which are enough beside the others' every number.
pnet = torch.load(here / "pnet.pt", weights_only=True)
expect("pnet.pt", pnet)
for tensor in expected["pnet.pt"]["tensors"].values():
    tensor["numbers"] = tensor["numbers"][:4]

(here / "expected.json").write_text(json.dumps(expected, indent=None, separators=(",", ":")) + "\n")
