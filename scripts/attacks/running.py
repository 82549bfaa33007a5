"""Training runs that are attacked while they are under way."""

import re
import socket
import time

from attacks.material import TINY
from attacks.place import Harm

FORGED = "FORGED"
WORDS = f"{FORGED} \x1b[31m\x1b]0;{FORGED}\x07\r\nerror: {FORGED}"
STEPS = 22


def free_port():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


def train(steps):
    """A run of so many steps that notices within seconds when a rank is missing."""
    settings = "epochs=1000 preview_every=0 log_every=1 timeout_seconds=6 checkpoint_every=1000"
    more = " ".join(f"--set {setting}" for setting in settings.split())
    return f"train fse --data faces --max-steps {steps} {TINY} {more}"


class Run:
    """A training run of two ranks below a launcher, or below two as on two machines."""

    def __init__(self, place, machines=1, steps=STEPS):
        self.place, self.port, self.machines = place, free_port(), machines
        place.copy("faces")
        self.launchers = []
        for machine in range(machines):
            how = f"--nproc-per-node {2 // machines} --log-dir logs{machine} --grace 3"
            how += f" --master-port {self.port}"
            if machines > 1:
                how += f" --nnodes {machines} --node-rank {machine} --master-addr 127.0.0.1"
                how += " --run-id seven"
            line = f"launch {how} -- {train(steps)}"
            environment = place.environment()
            if machines > 1:
                environment = self.secret(environment)
            self.launchers.append(
                place.start(
                    [place.setup.program, *line.split()],
                    environment=environment,
                    log=f"launcher{machine}",
                )
            )
        self.wait_for(r" step 1: ")

    @staticmethod
    def secret(environment):
        """Several machines share a secret, which the user sets on each."""
        return {**environment, "FACESHIELD_RUN_SECRET": "of this run and of no other, 0123456789"}

    def said(self):
        return "".join(
            (self.place / f"launcher{machine}.err").read_text(errors="replace")
            for machine in range(self.machines)
        )

    def wait_for(self, pattern, seconds=60):
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.said()):
            if any(launcher.poll() is not None for launcher in self.launchers):
                raise RuntimeError(f"the run ended early: {self.said()[-300:]}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the run does not begin: {self.said()[-300:]}")
            time.sleep(0.05)

    def ranks(self):
        found = []
        for launcher in self.launchers:
            with open(f"/proc/{launcher.pid}/task/{launcher.pid}/children") as children:
                found += [int(pid) for pid in children.read().split()]
        return found

    def ends_well(self):
        """Fails unless the run comes to its end, with nothing of a stranger in what it says."""
        for launcher in self.launchers:
            done = self.place.finish(launcher, seconds=90, memory=3000)
            if done.why or done.code != 0:
                raise Harm(f"the run was ended: {done.why or done.brief()}")
        logs = "".join(path.read_text(errors="replace") for path in self.place.root.glob("logs*/*"))
        if FORGED in self.said() or FORGED in logs:
            raise Harm("the stranger's words are in the log")
        if "\x1b" in self.said():
            raise Harm("escape sequences in the log")


class ByHand(Run):
    """Two ranks without a launcher, as `srun` starts them, with a secret."""

    def __init__(self, place):
        self.place, self.port, self.machines = place, free_port(), 2
        place.copy("faces")
        line = train(STEPS)
        self.launchers = []
        for rank in range(2):
            more = dict(
                RANK=rank,
                LOCAL_RANK=rank,
                WORLD_SIZE=2,
                MASTER_ADDR="127.0.0.1",
                MASTER_PORT=self.port,
            )
            environment = self.secret(place.environment(**more))
            words = [place.setup.program, *line.split()]
            self.launchers.append(
                place.start(words, environment=environment, log=f"launcher{rank}")
            )
        self.wait_for(r" step 1: ")
