"""Item 2: code and settings in the folder that a command is started in."""

import os
import shutil

from attacks.place import Harm
from attacks.rows import row

# Modules that Python's own tools import, and what Python imports by itself.
MODULES = (
    "pip",
    "json",
    "zipfile",
    "shutil",
    "ssl",
    "logging",
    "encodings",
    "sitecustomize",
    "usercustomize",
)


def trap(place, folder="here"):
    """A folder full of modules that leave a mark when they are imported, and of programs."""
    mark = place / "mark"
    for name in MODULES:
        place.write(f"{folder}/{name}.py", f"open({str(mark)!r}, 'a').write('{name}.py ')\n")
    place.write(f"{folder}/pip/__init__.py", f"open({str(mark)!r}, 'a').write('pip/ ')\n")
    place.write(f"{folder}/pip/__main__.py", f"open({str(mark)!r}, 'a').write('pip/__main__ ')\n")
    return place / folder


def unmarked(place):
    if (place / "mark").exists():
        raise Harm("ran " + " ".join(sorted(set((place / "mark").read_text().split()))))


@row(2, "pip.py, json.py, zipfile.py … in the current folder: doctor", "none is imported")
def modules_doctor(place):
    place.well("doctor", cwd=trap(place))
    unmarked(place)


@row(2, "the same: data demo", "none is imported")
def modules_demo(place):
    place.run("data demo --out demo", cwd=trap(place))
    unmarked(place)


@row(2, "the same: align, protect, evaluate, which fetch the detector", "none is imported", slow=1)
def modules_photos(place):
    here = trap(place)
    place.copy("in", "here/in")
    place.run("align in --out faces", cwd=here)
    place.run("protect in --out out --method solid", cwd=here)
    place.run("evaluate --originals in --protected in --find-faces --out report", cwd=here)
    unmarked(place)


@row(
    2,
    "PYTHONPATH with an empty entry, or with a folder among the photos",
    "nothing there is imported",
)
def python_path(place):
    here = trap(place)
    for path in (":/nonexistent", str(here)):
        place.run("doctor", cwd=here, environment=place.environment(PYTHONPATH=path))
        place.run("data demo --out demo", cwd=here, environment=place.environment(PYTHONPATH=path))
    unmarked(place)


def scripts(place):
    """A copy of the tree's scripts, where nothing has been set up."""
    tree = place.setup.tree
    shutil.copytree(
        tree / "scripts", place / "tree/scripts", ignore=shutil.ignore_patterns("attacks*")
    )
    if (tree / "launch").is_dir():
        shutil.copytree(tree / "launch", place / "tree/launch")
    for name in os.listdir(tree):
        if (tree / name).is_file():
            shutil.copy(tree / name, place / "tree" / name)
    return place / "tree"


@row(2, "the same: setup.sh --env before libtorch is there", "none is imported")
def modules_setup(place):
    here, tree = trap(place), scripts(place)
    done = place.command("bash", tree / "scripts/setup.sh", "--env", cwd=here)
    if done.why or done.code == 0:
        raise Harm(done.why or "set up without a network")
    unmarked(place)


@row(2, "the same: setup.sh --env with LIBTORCH_USE_PYTORCH", "none is imported")
def modules_pytorch(place):
    here, tree = trap(place), scripts(place)
    place.write(
        "here/torch.py",
        f"open({str(place / 'mark')!r}, 'a').write('torch.py')\n__file__ = 'torch.py'\n",
    )
    environment = place.environment(LIBTORCH_USE_PYTORCH="1")
    place.command("bash", tree / "scripts/setup.sh", "--env", cwd=here, environment=environment)
    unmarked(place)


def programs(place, folder="here"):
    """Programs that leave a mark, in a folder."""
    names = "python3 python pip pip3 npm git nvidia-smi cargo cc c++ sha256sum df flock tar".split()
    for name in names:
        script = place.write(
            f"{folder}/{name}", f"#!/bin/sh\necho {name} >>'{place / 'mark'}'\nexit 1\n"
        )
        script.chmod(0o755)
    return place / folder


@row(
    2,
    "PATH with an empty entry; python3, pip, npm, nvidia-smi in the current folder",
    "none is run",
)
def empty_path(place):
    here = programs(place)
    place.copy("in", "here/in")
    for path in (":" + os.environ["PATH"], os.environ["PATH"] + ":", ".:" + os.environ["PATH"]):
        environment = place.environment(PATH=path)
        for line in ("doctor", "data demo --out demo", "align in --out faces"):
            place.run(line, cwd=here, environment=environment)
    unmarked(place)


@row(
    2,
    ".npmrc and package.json in the current folder, where npm is asked for photos",
    "npm does not see them",
)
def npm_settings(place):
    # npm reads both from the nearest folder above that has a package.json or node_modules.
    place.write("here/package.json", "{}")
    place.write("here/.npmrc", "script-shell=./evil\n")
    (place / "here/node_modules").mkdir()
    npm = f"""#!/bin/sh
folder=$(pwd -P)
while [ "$folder" != / ]; do
    [ -e "$folder/package.json" ] && echo "npm reads $folder" >>'{place / 'mark'}'
    folder=$(dirname "$folder")
done
exit 1
"""
    # pip's downloads come first and must seem to work; npm's may fail.
    python = place.write("tools/python3", "#!/bin/sh\nexit 0\n")
    tool = place.write("tools/npm", npm)
    for script in (python, tool):
        script.chmod(0o755)
    environment = place.environment(PATH=f"{place / 'tools'}:{os.environ['PATH']}")
    place.run("data demo --out datasets/demo", cwd=place / "here", environment=environment)
    place.run("doctor", cwd=place / "here", environment=environment)
    if (place / "mark").exists():
        raise Harm("npm reads package.json and .npmrc of the current folder")


def resolved(place, here, line="train all --preset demo --data faces --dry-run"):
    done = place.well(line, cwd=here)
    return done.text


@row(
    2, "launch/presets/demo.toml and demo.toml in the current folder", "the built-in preset is used"
)
def preset_shadowed(place):
    place.copy("faces", "here/faces")
    evil = 'data = "/nowhere"\nimage_size = 512\nwidth_divisor = 16\nlr = 0.25\n'
    for name in ("launch/presets/demo.toml", "demo.toml", "presets/demo.toml", "launch/demo.toml"):
        place.write(f"here/{name}", evil)
    if "0.25" in resolved(place, place / "here") and "512" in resolved(place, place / "here"):
        raise Harm("the preset of the current folder was used")


@row(2, "faceshield.toml, config.toml, .env in the current folder", "none is read")
def settings_found(place):
    place.copy("faces", "here/faces")
    plain = resolved(place, place / "here")
    for name in (
        "faceshield.toml",
        "config.toml",
        ".faceshield.toml",
        ".env",
        "runs/demo/config.toml",
    ):
        place.write(f"here/{name}", "lr = 0.25\nLR=0.25\n")
    if resolved(place, place / "here") != plain:
        raise Harm("the configuration is another one")


@row(2, "libtorch_cpu.so, libc10.so … in the current folder", "not loaded")
def libraries_found(place):
    for name in ("libtorch_cpu.so", "libc10.so", "libtorch.so", "libgomp.so.1", "libstdc++.so.6"):
        place.write(f"here/{name}", "no library")
    place.well("--version", cwd=place / "here")
    readelf = shutil.which("readelf")
    if readelf:
        text = place.command(readelf, "-d", place.setup.program, log="elf").out
        paths = [
            line.split("[")[1].split("]")[0]
            for line in text.splitlines()
            if "RUNPATH" in line or "RPATH" in line
        ]
        for path in ":".join(paths).split(":"):
            if paths and not path.startswith(("/", "$ORIGIN")):
                raise Harm(f"the program looks for libraries in {path or 'the current folder'}")


@row(2, "setup.sh --env: what it exports", "no empty entry, which would mean the current folder")
def exports(place):
    tree = place.setup.tree
    for already in (None, "", "/one"):
        environment = place.environment(
            LD_LIBRARY_PATH=already, CARGO_TARGET_DIR=place / "target", LIBTORCH=tree / ".libtorch"
        )
        done = place.command("bash", tree / "scripts/setup.sh", "--env", environment=environment)
        for line in done.out.splitlines():
            value = line.partition("=")[2].strip("'\"")
            if "LD_LIBRARY_PATH" in line and not all(value.split(":")):
                raise Harm(line[-80:])
