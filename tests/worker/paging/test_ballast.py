"""The ballast takes what it should, gives it back whatever happens, and is refused where it could do harm."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.errors import UnsupportedError
from bench.worker.paging.ballast import CONTEXT_BYTES, Ballast, guarded
from bench.worker.paging.pressure import GIB
from tests.stubs import compiled
from tests.worker.paging.made import SAFE

ROOT = Path(__file__).parents[3]


def nothing() -> None:
    """Everything is where it should be."""


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Put a driver with room for 10 GiB where processes started from here find it."""
    folder = compiled(Path(__file__).parent / "stubs" / "ballast.c", tmp_path, "libcuda.so.1").parent
    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))
    monkeypatch.setenv("STUB_CUDA_ROOM", str(10 * GIB))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_cold_steps_leave_room_for_a_part_and_warm_ones_for_all(driver):
    """8 GiB at a ratio of 1.25 with 1 GiB free: 1.6 GiB have no room, and the holder is gone when told to."""
    settled: list[int] = []
    ballast = Ballast(8 * GIB, 1.25, lambda: 1 * GIB, lambda: settled.append(1))

    away = ballast.cold()
    holder = ballast._holder
    assert holder is not None
    assert holder.poll() is None
    assert [int(word) for word in holder.args[-1:]] == [GIB + 8 * GIB - int(8 * GIB / 1.25) - CONTEXT_BYTES]
    ballast.warm()

    assert away == 8 * GIB - int(8 * GIB / 1.25)
    assert len(settled) == 2  # before the ballast and after it
    assert holder.poll() is not None
    ballast.warm()  # again does no harm


def test_two_cold_steps_in_a_row_hold_one_ballast(driver):
    """The order has two cold steps side by side: the first's holder is gone before the second measures what is free."""
    held: list[object] = []

    def free() -> int:
        assert all(holder.poll() is not None for holder in held)
        return GIB

    ballast = Ballast(8 * GIB, 1.25, free, nothing)
    sizes = []
    for _ in range(2):
        ballast.cold()
        held.append(ballast._holder)
        sizes.append(ballast._holder.args[-1])
    ballast.release()

    assert sizes[0] == sizes[1]
    assert all(holder.poll() is not None for holder in held)


def test_a_ballast_lets_go_at_its_deadline(driver):
    """Nobody has to tell it: a trainer stuck in the driver gets its memory back."""
    ballast = Ballast(2 * GIB, 1.2, lambda: 2 * GIB, nothing, deadline_s=0.2)

    ballast.cold()
    holder = ballast._holder
    assert holder is not None

    assert holder.wait(timeout=20) != 0
    ballast.warm()


def test_a_ballast_ends_with_the_process_that_made_it(driver):
    """Killed with SIGKILL, the trainer leaves no holder behind: its input ends."""
    code = (
        "import os, signal; from bench.worker.paging.ballast import Ballast\n"
        "b = Ballast(2**31, 1.2, lambda: 2**31, lambda: None); b.cold()\n"
        "print(b._holder.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    holder = Path("/proc", done.stdout.strip())

    assert done.returncode == -9
    deadline = time.monotonic() + 20
    while holder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not holder.exists()


def test_a_driver_that_has_no_room_is_a_refusal(driver):
    """More than the driver gives is one sentence with the size; no process stays."""
    ballast = Ballast(2 * GIB, 1.2, lambda: 12 * GIB, nothing)

    with pytest.raises(UnsupportedError, match="bytes was refused"):
        ballast.cold()
    assert ballast._holder is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"other_gpu_processes": 1}, "other processes"),
        ({"other_gpu_processes": None}, "other processes"),
        ({"display": True}, "display"),
        ({"hmm": None}, "HMM"),
        ({"ram_available": GIB}, "the host has"),
        ({"concurrent_managed_access": False}, "concurrentManagedAccess"),
    ],
)
def test_what_could_do_harm_or_is_not_known_forbids_it(change, words):
    """Each guard alone refuses, in words; with none of them it goes ahead."""
    guarded(SAFE, 8 * GIB, 1.2)

    with pytest.raises(UnsupportedError, match=words):
        guarded(dataclasses.replace(SAFE, **change), 8 * GIB, 1.2)


def test_too_much_is_refused(driver):
    """A ratio above 1.25 is refused however safe the machine is."""
    with pytest.raises(UnsupportedError, match=r"1\.30 is above"):
        guarded(SAFE, 8 * GIB, 1.3)


def test_the_holder_says_no_with_an_exit_code(driver):
    """Run by itself with too many bytes it exits 1 and says nothing."""
    command = [sys.executable, "-m", "bench.worker.paging.ballast", str(11 * GIB)]
    done = subprocess.run(command, capture_output=True, env=dict(os.environ), stdin=subprocess.DEVNULL, check=False)

    assert (done.returncode, done.stdout) == (1, b"")
