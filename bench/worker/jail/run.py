"""Run a program in the jail and tell whether it came to its end."""

from __future__ import annotations

import json
import os
import platform
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from bench.errors import UnsupportedError
from bench.worker.jail import calls

CPU_SECONDS = 5
WALL_SECONDS = 20.0
"""For programs that wait instead of computing; far above the CPU's seconds, so that neighbours decide nothing."""

LIMITS: Mapping[str, int] = MappingProxyType({
    "RLIMIT_CPU": CPU_SECONDS, "RLIMIT_AS": 2**30, "RLIMIT_FSIZE": 0, "RLIMIT_CORE": 0, "RLIMIT_NPROC": 0,
    "RLIMIT_NOFILE": 64,
})  # fmt: skip
"""Bytes of address space and of files, seconds of processor, processes and open files."""

INSIDE = Path(__file__).with_name("inside.py")
OPTIONS = ("-s", "-S", "-P", "-X", "utf8")
"""Only the standard library can be imported, so that what is installed beside us changes no verdict."""

ENVIRONMENT: Mapping[str, str] = MappingProxyType({"PYTHONHASHSEED": "0"})
"""All that is in it: sets have one order in every run."""

MOST_SAID = 4096


class Ended(NamedTuple):
    """How a program ended: whether it came to its end by itself, and which walls stood around it."""

    finished: bool
    walls: str


def run(program: str, wall_seconds: float = WALL_SECONDS) -> Ended:
    """Run Python source. It finished if its last line was passed; exits, exceptions and limits come before that.

    Raises `UnsupportedError` where nothing keeps a program from the network, files and processes.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in calls.ARCHITECTURES:
        raise UnsupportedError(f"generated code runs only behind Linux' seccomp, which {sys.platform} on {machine} "
                               "does not have, or which was not tried there.")  # fmt: skip
    word = secrets.token_hex(16)
    order = {"program": program, "word": word, "filter": calls.program(machine).hex(), "limits": dict(LIMITS)}
    walls, _, rest = _answer(json.dumps(order).encode(), wall_seconds).partition("\n")
    if not walls or walls.startswith("refused"):
        raise UnsupportedError(f"generated code cannot be run safely here: {walls or 'the jail said nothing'}.")
    return Ended(rest == word, walls)


def _answer(order: bytes, wall_seconds: float) -> str:
    """Start the process inside, wait for its end or make one, and return the beginning of what it said."""
    with tempfile.TemporaryDirectory(prefix="ftbench-jail-") as folder:
        process = subprocess.Popen(
            [sys.executable, *OPTIONS, str(INSIDE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=dict(ENVIRONMENT),
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with suppress(BrokenPipeError), process.stdin:
                process.stdin.write(order)
            with suppress(subprocess.TimeoutExpired):
                process.wait(wall_seconds)  # who says more than a pipe holds waits until then
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        with process.stdout:
            return process.stdout.read(MOST_SAID).decode(errors="replace")
