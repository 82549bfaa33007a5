"""Item 5: what is fetched is pinned, checked before it is used, and never built."""

import http.server
import io
import os
import re
import tarfile
import threading

from attacks.place import Harm, Skipped, SOON
from attacks.rows import row


def statements(path):
    """Lines of a script, continued ones joined, comments and messages left out."""
    text = path.read_text(errors="replace").replace("\\\n", " ")
    for line in text.splitlines():
        bare = line.strip()
        if not bare.startswith(("#", "//", "echo", "say ", "fail ")):
            yield bare


def scanned(tree):
    for pattern in ("scripts/**/*.sh", "launch/**/*", "benches/*", "fuzz/*.sh", "tests/**/*.sh"):
        for path in tree.glob(pattern):
            if path.is_file() and "attacks" not in path.parts:
                yield path


@row(
    5,
    "scripts: every fetch by pip",
    "--require-hashes (or a hash checked after), wheels only, isolated",
)
def scripts_pip(place):
    found = []
    for path in scanned(place.setup.tree):
        text = path.read_text(errors="replace")
        for line in statements(path):
            fetch = re.search(r"(?:-m\s+|^)pip3?\s.*?\b(install|download)\b", line)
            if not fetch:
                continue
            missing = []
            if "--only-binary" not in line:
                missing.append("--only-binary")
            checked = "--require-hashes" in line or (
                fetch.group(1) == "download" and "sha256" in text
            )
            if not checked:
                missing.append("--require-hashes")
            if not re.search(r"\s-I\w*\s+-m pip|-Im pip", line):
                missing.append("-I")
            if missing:
                found.append(f"{path.name}: {' '.join(missing)}")
    if found:
        raise Harm("missing in " + "; ".join(found))


@row(
    5,
    "scripts and sources: other ways to fetch (npm install, cargo install, curl, git clone)",
    "none that is not pinned",
)
def scripts_other(place):
    found = []
    for path in scanned(place.setup.tree):
        for line in statements(path):
            if re.search(r"\b(curl|wget)\s+-|\bgit\s+clone\b|npm\s+(install|i|ci)\s|npx\s", line):
                found.append(f"{path.name}: {line[:60]}")
            if re.search(r"\bcargo\s+install\b", line) and not (
                "--locked" in line and re.search(r"@\d|--version", line)
            ):
                found.append(f"{path.name}: {line[:60]}")
    if found:
        raise Harm("; ".join(found))


@row(
    5,
    "sources of the program: options with which pip builds a source archive",
    "none, as its setup.py would run unchecked",
)
def program_builds(place):
    found = []
    for path in sorted(place.setup.tree.glob("crates/*/src/**/*.rs")):
        for line in path.read_text().splitlines():
            if re.search(r'"--no-(binary|build-isolation)', line):
                found.append(f"{path.name}: {line.strip()[:50]}")
    if found:
        raise Harm("; ".join(found[:2]))


@row(
    5, "python3 called by the program (data demo, align)", "isolated, no build of a source archive"
)
def program_pip(place):
    # A python3 and an npm that note how they are called, and fail to fetch.
    log = place / "calls"
    script = f"""#!/bin/sh
printf '%s\\n' "$0 $*" >>'{log}'
case "$*" in *--version*) exit 0 ;; esac
exit 1
"""
    for name in ("python3", "python", "pip3", "npm"):
        place.write(f"tools/{name}", script).chmod(0o755)
    environment = place.environment(PATH=f"{place / 'tools'}:{os.environ['PATH']}")
    place.copy("in")
    for line in ("data demo --out demo", "align in --out faces", "doctor"):
        place.run(line, environment=environment)
    if not log.exists():
        raise Skipped("the program asks no Python of PATH for anything")
    wrong = []
    for call in log.read_text().splitlines():
        words = call.split()
        tool, rest = os.path.basename(words[0]), words[1:]
        if tool.startswith("python") and not re.match(r"-\w*I", rest[0] if rest else ""):
            wrong.append(f"{tool} without -I")
        if "--no-binary" in call or "--no-build-isolation" in call:
            wrong.append("a source archive is built")
        if "download" in rest and "--only-binary" not in call:
            wrong.append("download without --only-binary")
        if tool == "npm" and "pack" in rest and "--ignore-scripts" not in call:
            wrong.append("npm without --ignore-scripts")
    if wrong:
        raise Harm("; ".join(sorted(set(wrong))))


class Registry:
    """A package index of our own, on loopback, whose every source archive is poisoned."""

    def __init__(self, mark):
        code = f"open({str(mark)!r}, 'a').write('setup.py ran')\n"
        code += "from setuptools import setup\nsetup(name='x', version='1')\n"

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                parts = self.path.strip("/").split("/")
                if parts[0] == "simple" and len(parts) == 2:
                    project = parts[1]
                    versions = ("0.22.0", "0.25.2", "0.24.0", "2.6.0", "1.6.1", "4.10.0", "3.9.2")
                    names = [
                        f"{spelled}-{v}.tar.gz"
                        for v in versions
                        for spelled in {project, project.replace("-", "_")}
                    ]
                    text = "".join(f'<a href="/files/{name}">{name}</a>\n' for name in names)
                    self.answer(text.encode(), "text/html")
                elif parts[0] == "files":
                    stem = parts[1][: -len(".tar.gz")]
                    packed = io.BytesIO()
                    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
                        name, _, version = stem.rpartition("-")
                        info = f"Metadata-Version: 1.0\nName: {name}\nVersion: {version}\n"
                        for path, text in (("setup.py", code), ("PKG-INFO", info)):
                            entry = tarfile.TarInfo(f"{stem}/{path}")
                            entry.size = len(text)
                            archive.addfile(entry, io.BytesIO(text.encode()))
                    self.answer(packed.getvalue(), "application/gzip")
                else:
                    self.send_error(404)

            def answer(self, content, kind):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/simple/"


@row(
    5,
    "a package index whose source archives run code when they are built",
    "nothing runs: archives are hashed first",
    slow=2,
)
def poisoned_index(place):
    registry = Registry(place / "mark")
    config = f"[global]\nindex-url = {registry.address}\nno-build-isolation = true\n"
    for name in ("home/.config/pip/pip.conf", "home/.pip/pip.conf", "pip.conf"):
        place.write(name, config)
    place.copy("in")
    # The demo's first photos, where this checkout has them: the source archive comes after them.
    for photo in place.setup.tree.glob("datasets/.cache/demo/astronaut.png"):
        place.write("cache/demo/astronaut.png", photo.read_bytes())
        place.write(".cache/demo/astronaut.png", photo.read_bytes())
        break
    environment = place.environment(
        PIP_NO_INDEX=None, PIP_INDEX_URL=registry.address, PIP_CONFIG_FILE=place / "pip.conf",
        http_proxy=None, https_proxy="http://127.0.0.1:9", no_proxy="127.0.0.1",
    )  # fmt: skip
    try:
        place.refused("data demo --out demo", environment=environment)
        place.refused("align in --out faces", environment=environment)
    finally:
        registry.server.shutdown()
    if (place / "mark").exists():
        raise Harm("setup.py of an archive with another hash ran")


@row(
    5,
    "weights in the package cache replaced, or a link to others",
    "not used: fetched anew or refused",
)
def poisoned_cache(place):
    for name in ("in", "mtcnn"):
        place.copy(name)
    for way in ("copied", "linked"):
        folder = place / "cache/facenet-pytorch-2.6.0"
        folder.mkdir(parents=True, exist_ok=True)
        for net in ("pnet.pt", "rnet.pt", "onet.pt"):
            (folder / net).unlink(missing_ok=True)
            if way == "linked":
                (folder / net).symlink_to(place / "mtcnn" / net)
            else:
                (folder / net).write_bytes((place / "mtcnn" / net).read_bytes())
        place.refused("protect in --out out --method solid --min-face 100")
        if list((place.root / "out").glob("*.png")) if (place.root / "out").exists() else ():
            raise Harm(f"weights that were {way} into the cache were used")


@row(
    5,
    "weights in the package cache replaced by a FIFO, an endless device",
    "not waited for, not read for ever",
)
def cache_fifo(place):
    place.copy("in")
    folder = place / "cache/facenet-pytorch-2.6.0"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "pnet.pt")
    (folder / "rnet.pt").symlink_to("/dev/zero")
    place.refused("protect in --out out --method solid", seconds=SOON)


@row(
    5,
    "setup.sh: a wheel of another content where a download was interrupted",
    "refused, nothing of it is used",
)
def poisoned_wheels(place):
    from attacks.folder import scripts

    tree = scripts(place)
    text = (tree / "scripts/setup.sh").read_text()
    for name in re.findall(r"\b[\w.+$-]+\.whl", text):
        version = re.search(r"^version=(\S+)", text, re.MULTILINE).group(1)
        place.write(f"tree/.libtorch/wheels/{name.replace('$version', version)}", "no wheel")
    done = place.command("bash", tree / "scripts/setup.sh", "--env")
    if done.why or done.code == 0 or (tree / ".libtorch/stamp").exists():
        raise Harm(done.why or "set up from files of another content")
