"""The keeper: a small process between the launcher and the runs, and the parent of every run.

It reads one job a line from standard input, starts it in a process group of its own and
answers on standard output: first the pid, then how the process ended. It computes nothing,
so that with `preload` it can import torch once and fork each run from that state, with its
own memory peaks and no thread pool to inherit. Where that is not safe it starts a new
interpreter for each run instead; everything else is the same.

When its input ends, because the launcher closed it or died, it kills what is running,
removes its folder and goes.
Run as `python -m bench.launch.keeper ENTRY fork|spawn [PRELOAD]`, ENTRY and PRELOAD being "module:function".
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import select
import shutil
import signal
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def call(target: str, *arguments: Any) -> Any:
    """Call a "module:function" by its name."""
    module, _, function = target.partition(":")
    return getattr(import_module(module), function)(*arguments)


def main(entry: str, isolation: str, preload: str | None = None) -> None:
    """Serve jobs until standard input ends. `preload`, if given, runs once before the first job."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    if preload:
        with contextlib.suppress(Exception):  # a run that needs what is broken fails by itself, and can say so
            call(preload)
        gc.freeze()
    woken, waker = os.pipe()
    for end in (woken, waker):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while line := _next_line():
        job = json.loads(line)
        keeper = os.getpid()
        child = os.fork()
        if child == 0:
            os.close(answers)
            _become_worker(entry, job, keeper, forked=isolation == "fork")
        _lead_group(child)
        _say(answers, {"pid": child})
        status = _wait(child, woken)
        if status is None:
            shutil.rmtree(Path(job["words"]).parent, ignore_errors=True)  # the launcher cannot any more
            return
        _say(answers, {"status": status})


def _next_line() -> bytes:
    """Read one line without buffering ahead, so that `select` always tells the truth about the rest."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


def _wait(child: int, woken: int) -> int | None:
    """Block until `child` ends and return its exit code, negative for a signal; None if the launcher is gone."""
    launcher_gone = False
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            _kill_group(child)  # whatever the run left behind
            return None if launcher_gone else os.waitstatus_to_exitcode(status)
        ready, _, _ = select.select([woken] if launcher_gone else [0, woken], [], [])
        with contextlib.suppress(BlockingIOError):
            os.read(woken, 512)
        if 0 in ready:
            launcher_gone = True
            _kill_group(child)


def _lead_group(process: int) -> None:
    """Put a process at the head of its own group; parent and child both do it, so neither can be too late."""
    with contextlib.suppress(OSError):
        os.setpgid(process, process)


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _say(answers: int, message: dict[str, int]) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(answers, json.dumps(message).encode() + b"\n")


def _become_worker(entry: str, job: dict[str, Any], keeper: int, *, forked: bool) -> None:
    """Turn this fresh child into the run's process. Never returns."""
    try:
        _lead_group(os.getpid())
        _die_with(keeper)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        nothing, words = os.open(os.devnull, os.O_RDONLY), os.open(job["words"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(nothing, 0)
        os.dup2(words, 1)
        os.dup2(words, 2)
        if not forked:
            command = "import sys; from bench.launch.keeper import work; work(*sys.argv[1:])"
            os.execv(sys.executable, [sys.executable, "-P", "-c", command, entry, *job["arguments"]])  # noqa: S606
        work(entry, *job["arguments"])
    finally:
        os._exit(1)


def work(entry: str, *arguments: str) -> None:
    """Call `entry` and end the process at once: tearing torch down takes longer than a small run."""
    code = 1
    try:
        call(entry, *arguments)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _die_with(keeper: int) -> None:
    """Ask Linux to kill this process when the keeper dies, even by SIGKILL. Elsewhere the launcher does it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
