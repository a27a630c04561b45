"""Tells by its answer what a Python guest finds: the content of the draft says what to try."""

# The tool takes in what is imported here; a call finds no files to import from.
import encodings.idna  # Looks up names of hosts.
import os
import random
import socket
import sys
import time

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import log
from wit_world.imports.types import Decision, Patch, Verdict_Modify, Verdict_Pass


def failing(attempt):
    try:
        return f"done: {attempt()}"
    except OSError as error:
        return f"OSError {error.errno}"


def print_lines():
    print("printed by Python")
    log.write(log.Level.INFO, "written by Python")
    print("complained by Python", file=sys.stderr)
    return "printed"


TRIALS = {
    "time": lambda: f"{time.time_ns()} {time.time_ns()} {time.monotonic_ns() - time.monotonic_ns()}",
    "sleep": lambda: str(time.sleep(3600)),
    # Not `random.random()`: that went on from where it was when the component was built.
    "random": lambda: str(random.SystemRandom().random()),
    "print": print_lines,
    "open": lambda: failing(lambda: open("/etc/passwd").read()),
    "write": lambda: failing(lambda: open("note", "w")),
    "connect": lambda: failing(lambda: socket.create_connection(("127.0.0.1", 1))),
    "resolve": lambda: failing(lambda: socket.getaddrinfo("example.com", 443)),
    "environ": lambda: repr((dict(os.environ), sys.argv)),
    "input": lambda: repr(sys.stdin.read()),
    "exit": lambda: os._exit(3),
}


class BeforeSend(exports.BeforeSend):
    def before_send(self, context, draft, previous):
        trial = TRIALS.get(draft.body.content)
        verdict = Verdict_Pass()
        if trial is not None:
            verdict = Verdict_Modify(Patch(content=trial()[:64], attachments=None, metadata=[]))
        return Decision(verdict=verdict, labels=[], explanation=None)
