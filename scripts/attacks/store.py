"""The protocol of libtorch's TCPStore, spoken as any process that reaches its port can."""

# Another user may not be able to read what Python would load only when it is needed.
import encodings.idna  # noqa: F401
import json
import os
import socket
import struct
import traceback

MAGIC = 0x3C85F7CE
VALIDATE, SET, COMPARE_SET, GET, ADD, CHECK, WAIT, COUNT, DELETE = range(9)
LIST_KEYS = 17
NOBODY = 65534


class Store:
    """A connection to a store."""

    def __init__(self, port, host="127.0.0.1", timeout=5):
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.sendall(struct.pack("<BI", VALIDATE, MAGIC))

    @staticmethod
    def word(text):
        content = text if isinstance(text, bytes) else text.encode()
        return struct.pack("<Q", len(content)) + content

    def read(self, count):
        content = b""
        while len(content) < count:
            more = self.socket.recv(count - len(content))
            if not more:
                raise ConnectionError("the store has closed the connection")
            content += more
        return content

    def number(self, kind="<q"):
        return struct.unpack(kind, self.read(struct.calcsize(kind)))[0]

    def set(self, key, value):
        self.socket.sendall(struct.pack("<B", SET) + self.word(key) + self.word(value))

    def delete(self, key):
        self.socket.sendall(struct.pack("<B", DELETE) + self.word(key))
        return self.number()

    def get(self, key):
        self.socket.sendall(struct.pack("<B", GET) + self.word(key))
        return self.read(self.number("<Q"))

    def keys(self):
        self.socket.sendall(struct.pack("<B", LIST_KEYS))
        count = self.number("<q")
        return [self.read(self.number("<Q")).decode(errors="replace") for _ in range(count)]

    def has(self, key):
        self.socket.sendall(struct.pack("<BQ", CHECK, 1) + self.word(key))
        return self.number("<B") == 0


def as_stranger(deed, *words):
    """What `deed(*words)` returns when another user does it (this one, unless it is root); an
    error as text."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            answer = {"done": deed(*words)}
        except OSError as error:
            answer = {"refused": str(error)}
        except BaseException:
            answer = {"broke": traceback.format_exc()}
        os.write(writing, json.dumps(answer).encode()[:60000])
        os._exit(0)
    os.close(writing)
    content = b""
    while True:
        more = os.read(reading, 65536)
        if not more:
            break
        content += more
    os.close(reading)
    os.waitpid(child, 0)
    answer = json.loads(content)
    if "broke" in answer:
        raise RuntimeError(answer["broke"].splitlines()[-1])
    return answer
