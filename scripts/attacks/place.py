"""A scratch folder for one attack, and the program run in it under limits."""

import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time

# Seconds after which a command hangs: none here takes a tenth of that on an idle machine. Rows in
# which waiting for ever is the attack say SOON.
PATIENCE = 120
SOON = 30
# Megabytes that a command may hold at most, unless its row says otherwise: the program itself
# needs about 250.
MEMORY = 1200


class Harm(Exception):
    """What happened is not what must happen."""


class Skipped(Exception):
    """The attack cannot be tried here."""


class Done:
    """A command that has ended, or was ended."""

    def __init__(self, code, out, err, peak, why):
        self.code, self.out, self.err, self.peak, self.why = code, out, err, peak, why

    @property
    def text(self):
        return self.out + self.err

    def brief(self):
        """The last line that says something, and the exit code."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        last = lines[-1] if lines else ""
        return f"exit {self.code}: {last[-160:]}" if last else f"exit {self.code}"


class Place:
    """A folder with `home`, `cache` and whatever the row puts there."""

    def __init__(self, setup, name):
        self.setup = setup
        self.root = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=setup.scratch))
        (self.root / "home").mkdir()
        self.children = []

    def __truediv__(self, name):
        return self.root / name

    def environment(self, **more):
        """What the program sees: nothing of this shell that could change what it does."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "CC") if name in os.environ}
        kept.update(
            HOME=str(self.root / "home"),
            XDG_CONFIG_HOME=str(self.root / "home/.config"),
            XDG_DATA_HOME=str(self.root / "home/.local/share"),
            XDG_STATE_HOME=str(self.root / "home/.local/state"),
            FACESHIELD_CACHE=str(self.root / "cache"),
            LD_LIBRARY_PATH=self.setup.libraries,
            OMP_NUM_THREADS="1",
            OMP_WAIT_POLICY="passive",
            # No network: whoever tries all the same is refused at once.
            PIP_NO_INDEX="1",
            PIP_RETRIES="0",
            http_proxy="http://127.0.0.1:9",
            https_proxy="http://127.0.0.1:9",
            npm_config_fetch_retries="0",
        )
        for name, value in more.items():
            kept.pop(name, None)
            if value is not None:
                kept[name] = str(value)
        return kept

    def start(self, words, cwd=None, environment=None, umask=None, before=None, log="log"):
        """Starts a command whose output goes to the files `log.out` and `log.err`."""

        def prepare():
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if umask is not None:
                os.umask(umask)
            if before is not None:
                before()

        with open(self.root / f"{log}.out", "wb") as out, open(
            self.root / f"{log}.err", "wb"
        ) as err:
            process = subprocess.Popen(
                [str(word) for word in words],
                cwd=cwd or self.root,
                env=environment or self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=prepare,
            )
        process.log = log
        self.children.append(process)
        return process

    def finish(self, process, seconds=PATIENCE, memory=MEMORY):
        """Waits for a command, and ends it when it takes too long or too much memory."""
        deadline, peak, why = time.monotonic() + seconds, 0.0, None
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, held(process.pid))
            if peak > memory:
                why = f"took more than {memory} MB"
            elif time.monotonic() > deadline:
                why = f"hung for {seconds} s"
            if why:
                kill_group(process)
                _, status, usage = os.wait4(process.pid, 0)
                break
            time.sleep(0.02)
        code = (
            os.waitstatus_to_exitcode(status)
            if hasattr(os, "waitstatus_to_exitcode")
            else (os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status))
        )
        process.returncode = code
        kill_group(process)
        self.children.remove(process)
        read = (
            lambda kind: (self.root / f"{process.log}.{kind}").read_bytes().decode(errors="replace")
        )
        return Done(code, read("out"), read("err"), max(peak, usage.ru_maxrss / 1024), why)

    def command(self, *words, seconds=PATIENCE, memory=MEMORY, **how):
        """Runs a command to its end."""
        return self.finish(self.start(words, **how), seconds, memory)

    def run(self, line, *more, allow=(), **how):
        """Runs the program with the words of a line; fails when it hangs, grows or panics."""
        done = self.command(self.setup.program, *line.split(), *more, **how)
        if done.why:
            raise Harm(f"{line.split()[0]} {done.why}")
        if done.code < 0 and done.code not in allow:
            raise Harm(f"{line.split()[0]} was ended by signal {-done.code}")
        if "panicked at" in done.err or "stack backtrace" in done.err:
            raise Harm("a panic: " + done.err.splitlines()[0][:120])
        return done

    def well(self, line, *more, **how):
        """As run, and it must succeed."""
        done = self.run(line, *more, **how)
        if done.code != 0:
            raise Harm(done.brief())
        return done

    def refused(self, line, *more, errors_at_most=2, **how):
        """As run, and it must end with code 1 or 2 and a line of error, or one of a photo besides."""
        done = self.run(line, *more, **how)
        errors = [text for text in done.err.splitlines() if "error: " in text]
        if done.code not in (1, 2):
            raise Harm(f"not refused: {done.brief()}")
        if not 1 <= len(errors) <= errors_at_most:
            raise Harm(f"{len(errors)} lines of error: {done.brief()}")
        return done

    def copy(self, name, to=None):
        """A copy of something that was made once for all rows."""
        source, target = self.setup.material / name, self.root / (to or name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)
        return target

    def write(self, name, content):
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return target

    def close(self):
        for process in list(self.children):
            kill_group(process)
            process.wait()
        if not self.setup.keep:
            shutil.rmtree(self.root, ignore_errors=True)


def kill_group(process):
    """Ends a command and all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def held(pid):
    """The most memory that a process has held, in MB."""
    try:
        with open(f"/proc/{pid}/status") as status:
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read())
    except OSError:
        return 0.0
    return int(found.group(1)) / 1024 if found else 0.0


def lines(path):
    """The objects in a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


class Precious:
    """A file that no attack may change, remove or add to."""

    def __init__(self, path, content="precious\n", mode=0o644):
        self.path = pathlib.Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.path.chmod(mode)
        self.before = self.path.read_bytes()

    def check(self):
        if not self.path.exists():
            raise Harm(f"{self.path.name} was deleted")
        if self.path.read_bytes() != self.before:
            raise Harm(f"{self.path.name} was changed")


def same_folder(folder, before):
    """Fails when something was made in or taken from a folder."""
    now = sorted(str(path.relative_to(folder)) for path in pathlib.Path(folder).rglob("*"))
    if now != before:
        raise Harm(f"{folder.name} holds {', '.join(now) or 'nothing'}")
