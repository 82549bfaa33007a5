"""Item 4: another user of the machine, or a peer, at the store of a run."""

import os
import re
import socket
import time

from attacks.material import TINY
from attacks.place import Harm, held
from attacks.rows import row
from attacks.running import WORDS, ByHand, Run, free_port
from attacks.store import Store, as_stranger


def reach(port):
    """A stranger's connection and the keys it sees; none when it is refused."""
    store = Store(port)
    return store, store.keys()


def homes(keys):
    """What stands before the keys of the ranks' signs of life."""
    return sorted({key.rpartition("pulse/")[0] for key in keys if "pulse/" in key})


def say(port, names):
    """Writes messages that nobody of the run has sent."""
    store, keys = reach(port)
    for home in homes(keys):
        for name in names:
            for value in (f"1 {WORDS}", f"0 {WORDS}"):
                store.set(home + name, value)
    for key in keys:
        if any(key.endswith("/" + name) for name in names):
            store.set(key, f"1 {WORDS}")
    return homes(keys)


@row(
    4,
    "another user writes `missed` and `failed` into the store of a run",
    "the run goes on; nothing of it in the log",
    slow=5,
)
def forged_missed(place):
    run = Run(place)
    answer = as_stranger(say, run.port, ("missed", "failed"))
    run.ends_well()
    return "the run went on" + (", the stranger was refused" if "refused" in answer else "")


def silence(port):
    """Writes for some seconds that ranks have left, stand still or make no sense."""
    store, keys = reach(port)
    pulses = [key for key in keys if "pulse/" in key]
    for turn in range(40):
        for key in pulses:
            store.set(key, ("7 3 1", "7 3 0", "no pulse", "")[turn % 4])
        time.sleep(0.05)
    return len(pulses)


@row(4, "another user overwrites the ranks' signs of life", "no rank is taken for dead", slow=5)
def forged_pulses(place):
    run = Run(place)
    as_stranger(silence, run.port)
    run.ends_well()


def replay(port):
    """Sends messages of the run again, under other names and of other ranks."""
    store, keys = reach(port)
    pulses = [key for key in keys if "pulse/" in key]
    old = {key: store.get(key) for key in pulses}
    for _ in range(20):
        for key in pulses:
            home = key.rpartition("pulse/")[0]
            for other in (*pulses, home + "missed", home + "failed", home + "progress"):
                store.set(other, old[key])
        time.sleep(0.05)
    return len(pulses)


@row(4, "another user sends genuine messages again, under other names", "the run goes on", slow=5)
def replayed(place):
    run = Run(place)
    as_stranger(replay, run.port)
    run.ends_well()


def command(port):
    """Tells the launchers of other machines what comes next."""
    store, keys = reach(port)
    prefix = next((key.partition("launch/")[0] for key in keys if "launch/" in key), "/")
    for attempt in range(2):
        for name in ("broken", "verdict", "ended/0", "ended/1", "read/1"):
            text = f"end failed {WORDS}" if name == "verdict" else f"failed {WORDS}"
            store.set(f"{prefix}launch/{attempt}/{name}", text)
    store.set(f"{prefix}launch/attempt", "7")
    return prefix


@row(
    4,
    "another user writes `broken`, `verdict`, `attempt` for launchers of two machines",
    "the run goes on; nothing of it in the log",
    slow=5,
)
def forged_verdict(place):
    run = Run(place, machines=2)
    as_stranger(command, run.port)
    run.ends_well()


def fill(port):
    """Writes 640 MB, in values that libtorch's store takes."""
    store, keys = reach(port)
    for number in range(80):
        store.set(f"/big/{number}", bytes(8 << 20))
        store.has("/big")
    return len(store.keys())


@row(4, "another user writes 640 MB into the store", "the launcher holds less than 400 MB", slow=5)
def filled(place):
    run = Run(place)
    answer = as_stranger(fill, run.port)
    peak = held(run.launchers[0].pid)
    run.ends_well()
    if peak > 400:
        raise Harm(f"the launcher held {peak:.0f} MB")
    return f"{peak:.0f} MB" + (", the stranger was refused" if "refused" in answer else "")


def large(port):
    """Long messages where ranks and launchers read."""
    store, keys = reach(port)
    for home in homes(keys):
        for name in ("missed", "failed", "progress", "pulse/0", "pulse/1"):
            store.set(home + name, b"1 " + b"A" * (8 << 20))
            store.has(home + name)
    return homes(keys)


@row(
    4,
    "another user writes messages of 8 MB where ranks read",
    "ranks hold no more for it; the run goes on",
    slow=5,
)
def long_messages(place):
    run = Run(place)
    before = max(held(pid) for pid in run.ranks())
    as_stranger(large, run.port)
    time.sleep(2)
    after = max((held(pid) for pid in run.ranks()), default=before)
    run.ends_well()
    if after > before + 40:
        raise Harm(f"a rank grew from {before:.0f} to {after:.0f} MB")


def noise(port):
    """Connections that say nothing, half of something, or nonsense."""
    made = []
    for number in range(200):
        one = socket.create_connection(("127.0.0.1", port), 5)
        one.settimeout(1)
        try:
            one.sendall(
                (
                    b"",
                    b"\0\xce",
                    b"GET / HTTP/1.1\r\n\r\n",
                    os.urandom(64),
                    b"\0\xce\xf7\x85\x3c\x01" + b"\xff" * 8,
                )[number % 5]
            )
        except OSError:
            pass
        made.append(one)
    time.sleep(1)
    return len(made)


@row(
    4,
    "200 connections that say nothing, nonsense, or announce 2^64 bytes",
    "the run goes on",
    slow=5,
)
def noisy(place):
    run = Run(place)
    as_stranger(noise, run.port)
    run.ends_well()


@row(
    4,
    "addresses that the launcher and the ranks of a single machine listen on",
    "loopback only",
    slow=4,
)
def listening(place):
    run = Run(place, steps=4)
    inodes = set()
    for pid in [launcher.pid for launcher in run.launchers] + run.ranks():
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                found = re.match(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{name}"))
            except OSError:
                continue
            if found:
                inodes.add(found.group(1))
    wide = []
    for table, own in (
        ("tcp", ("0100007F",)),
        ("tcp6", ("00000000000000000000000001000000", "0000000000000000FFFF00000100007F")),
    ):
        with open(f"/proc/net/{table}") as lines:
            for line in lines.readlines()[1:]:
                cells = line.split()
                if cells[3] == "0A" and cells[9] in inodes and not cells[1].startswith(own):
                    wide.append(str(int(cells[1].rpartition(":")[2], 16)))
    run.ends_well()
    if wide:
        raise Harm(f"ports {', '.join(wide)} are open to other machines")


@row(
    4,
    "the run's secret: command lines, logs, the store, the run's folder",
    "it is in none of them",
    slow=4,
)
def secret_kept(place):
    run = Run(place, steps=4)
    secrets = set()
    for pid in [launcher.pid for launcher in run.launchers] + run.ranks():
        with open(f"/proc/{pid}/environ", "rb") as environment:
            for entry in environment.read().split(b"\0"):
                name, _, value = entry.partition(b"=")
                if re.search(rb"SECRET$", name) and len(value) > 8:
                    secrets.add(value)
    told = b""
    for pid in [launcher.pid for launcher in run.launchers] + run.ranks():
        with open(f"/proc/{pid}/cmdline", "rb") as line:
            told += line.read()
    try:
        store, keys = reach(run.port)
        told += " ".join(keys).encode() + b"".join(store.get(key) for key in keys if store.has(key))
    except OSError:
        pass  # It serves no stranger.
    run.ends_well()
    for path in place.root.rglob("*"):
        if path.is_file() and path.stat().st_size < 1 << 20:
            told += path.read_bytes()
    if not secrets:
        raise Harm("the ranks have no secret: messages are not authenticated")
    if any(secret in told for secret in secrets):
        raise Harm("the secret can be read by others")


@row(4, "two machines without a secret that they share", "refused, the secret named", slow=1)
def no_secret(place):
    place.copy("faces")
    how = f"--nnodes 2 --node-rank 0 --master-addr 127.0.0.1 --master-port {free_port()} --grace 1"
    line = f"launch {how} -- train fse --data faces --max-steps 1 {TINY} --set timeout_seconds=3"
    done = place.refused(line)
    if "FACESHIELD_RUN_SECRET" not in done.err:
        raise Harm("it starts, and whoever reaches its port controls the run")


@row(
    4,
    "ranks started by hand with a secret: another user writes `missed`, `failed`",
    "the run goes on; nothing of it in the log",
    slow=5,
)
def forged_by_hand(place):
    run = ByHand(place)
    as_stranger(say, run.port, ("missed", "failed"))
    run.ends_well()


@row(4, "a rank that knows another secret", "it is told so, and has no part in the run", slow=4)
def wrong_secret(place):
    run = ByHand(place)
    more = dict(RANK=1, LOCAL_RANK=1, WORLD_SIZE=2, MASTER_ADDR="127.0.0.1", MASTER_PORT=run.port)
    environment = place.environment(
        **more, FACESHIELD_RUN_SECRET="another one, which is as long as it must be"
    )
    place.refused(
        f"train fse --data faces --max-steps 1 {TINY} --run-dir other --set timeout_seconds=3",
        environment=environment,
    )
    run.ends_well()


@row(
    4,
    "a rank fails with escape sequences and line breaks in its words",
    "one line, printed escaped",
    slow=2,
)
def rank_words(place):
    place.copy("faces")
    name = "no\x1b[31m\x1b]0;owned\x07\nerror: FORGED.pth"
    line = f"launch --nproc-per-node 2 --grace 2 -- train fse --data faces {TINY} --set"
    done = place.refused(line, f"encoder_weights={name}", errors_at_most=9)
    logs = "".join(path.read_text(errors="replace") for path in place.root.rglob("rank_*.log"))
    for text, where in ((done.err, "terminal"), (logs, "ranks' logs")):
        if "\x1b" in text or "\x07" in text:
            raise Harm(f"escape sequences reach the {where}")
        if any(line.startswith("error: FORGED") for line in text.splitlines()):
            raise Harm(f"a line of its own in the {where}")
