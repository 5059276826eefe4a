"""Neighbours are told from this process: a sleeper sees a spinning neighbour, and its own work is nobody's noise."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from itertools import chain, repeat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.worker.probes import Window, metered
from bench.worker.probes.noise import SHORTEST, Busy, Noise, busy, own_seconds

STALLS = ("cpu_stall", "memory_stall", "io_stall")
CORES = ("neighbour_cores", "stolen_cores")
linux = pytest.mark.skipif(not Path("/proc/stat").exists(), reason="only Linux has /proc/stat")

stat_line = st.lists(st.integers(0, 10**9), min_size=8, max_size=10)


def written(root: Path, stat: str, pressures: dict[str, str]) -> None:
    """Make `root` a /proc."""
    (root / "stat").write_text(stat)
    (root / "pressure").mkdir(exist_ok=True)
    for kind, text in pressures.items():
        (root / "pressure" / kind).write_text(text)


def pressure(total: int) -> str:
    return (
        f"some avg10=1.00 avg60=2.00 avg300=3.00 total={total}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7777777\n"
    )


def between(root: Path, before: str, after: str, seconds: float = 10.0, own: float = 0.0) -> Window:
    """A window in which the first line of /proc/stat went from `before` to `after`."""
    calm = {kind: pressure(0) for kind in ("cpu", "memory", "io")}
    written(root, before, calm)
    owned, clock = iter([5.0, 5.0 + own]), iter([100.0, 100.0 + seconds])
    with metered([Noise(root, lambda: next(owned), lambda: next(clock))]) as window:
        written(root, after, calm)
    return window


def test_time_of_others_is_what_is_left(tmp_path):
    """Of 10 s, 8 s of processor time and 2 s stolen were used in all, 6 s by this process: 0.4 cores for others."""
    ticks = os.sysconf("SC_CLK_TCK")
    # user nice system idle iowait irq softirq steal guest guest_nice: guest is in user already, and counts once
    before = "cpu  1000 100 1000 50000 3000 10 20 30 500 0\ncpu0 9 9 9\n"
    grown = [4, 1, 2, 7, 6, 0.5, 0.5, 2, 3, 0]
    after = "cpu  " + " ".join(
        str(int(n + g * ticks)) for n, g in zip(map(int, before.split()[1:11]), grown, strict=True)
    )

    window = between(tmp_path, before, after, own=6.0)

    assert window.values["neighbour_cores"] == pytest.approx(0.4)
    assert window.values["stolen_cores"] == pytest.approx(0.2)


def test_nobody_owes_time(tmp_path):
    """When this process alone was busy and the ticks round down, others took 0 and not less."""
    ticks = os.sysconf("SC_CLK_TCK")
    window = between(tmp_path, "cpu 0 0 0 0 0 0 0 0\n", f"cpu {9 * ticks} 0 0 0 0 0 0 0\n", own=9.02)

    assert window.values["neighbour_cores"] == 0


@given(stat_line, st.integers(1, 1000))
def test_idle_processors_are_not_busy(fields, ticks):
    """Idle time, waiting for a disk and guest time, however large, add nothing to what was used."""
    line = "cpu  " + " ".join(map(str, fields))
    idle = [*fields[:3], 0, 0, *fields[5:8]]

    assert busy(line, ticks) == busy("cpu " + " ".join(map(str, idle)), ticks)
    assert busy(line, ticks) == Busy(sum(idle) / ticks, fields[7] / ticks)


@pytest.mark.parametrize("line", ["", "\n", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 3", "cpu a b c d e f g h", "intr 1 2"])
def test_other_lines_are_refused(tmp_path, line):
    """A file that does not begin with the sum over processors gives no number, but a reason."""
    window = between(tmp_path, line, line)

    assert not window.values.keys() & set(CORES)
    assert "/proc/stat" in window.absent["neighbour_cores"]


def test_a_short_window_tells_no_cores(tmp_path):
    """Below half a second a tick of 0.01 s would pass for a neighbour; stalls are told all the same."""
    window = between(tmp_path, "cpu 0 0 0 0 0 0 0 0", "cpu 5 0 0 0 0 0 0 0", seconds=SHORTEST * 0.99)

    assert set(window.values) == set(STALLS)
    assert "too short" in window.absent["neighbour_cores"]
    assert "too short" in window.absent["stolen_cores"]


def test_stalls_are_the_seconds_in_which_some_waited(tmp_path):
    """Microseconds of 'some', not of 'full', before and after, each of its own kind."""
    written(tmp_path, "cpu 0 0 0 0 0 0 0 0", {"cpu": pressure(10), "memory": pressure(500_000), "io": pressure(3)})
    with metered([Noise(tmp_path)]) as window:
        written(tmp_path, "cpu 0 0 0 0 0 0 0 0", {"cpu": pressure(1_000_010), "memory": pressure(750_000)})

    assert {name: window.values[name] for name in STALLS} == {"cpu_stall": 1.0, "memory_stall": 0.25, "io_stall": 0.0}


def test_a_kernel_that_tells_no_stalls_says_so(tmp_path):
    """Without PSI, or with one of its files only, what is missing is absent with a reason and nothing is 0."""
    written(tmp_path, "cpu 0 0 0 0 0 0 0 0", {"memory": pressure(1), "io": "some avg10=0.00\n"})
    with metered([Noise(tmp_path, clock=chain([0.0], repeat(1.0)).__next__)]) as window:
        pass

    assert set(window.values) == {"neighbour_cores", "stolen_cores", "memory_stall"}
    assert "psi=1" in window.absent["cpu_stall"]
    assert "no total" in window.absent["io_stall"]


def test_a_system_without_proc_gives_reasons(tmp_path):
    """On another system than Linux everything is absent, and no reason names a folder of this machine."""
    with metered([Noise(tmp_path / "nowhere")]) as window:
        pass

    assert window.values == {}
    assert set(window.absent) == {*CORES, *STALLS}
    assert all(str(tmp_path) not in reason for reason in window.absent.values())


def test_what_vanishes_within_the_window_is_absent(tmp_path):
    """Files that were there at the start and not at the end give reasons, not numbers."""
    written(tmp_path, "cpu 0 0 0 0 0 0 0 0", {"cpu": pressure(1), "memory": pressure(1), "io": pressure(1)})
    with metered([Noise(tmp_path)]) as window:
        (tmp_path / "stat").unlink()
        (tmp_path / "pressure" / "io").unlink()

    assert set(window.values) == {"cpu_stall", "memory_stall"}
    assert set(window.absent) == {*CORES, "io_stall"}


def test_a_sleeper_uses_no_processor():
    """A second of sleep is less than a tenth of a second of this process's own time."""
    before = own_seconds()
    time.sleep(1.0)

    assert own_seconds() - before < 0.1


SPIN = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass"


def test_children_that_have_ended_are_not_neighbours():
    """A child's processor seconds are this process's own once it has been waited for."""
    before = own_seconds()
    subprocess.run([sys.executable, "-S", "-c", SPIN.format(seconds=0.5)], check=True)

    assert own_seconds() - before >= 0.5 - 0.02  # two ticks


@linux
def test_a_spinning_neighbour_is_seen():
    """A process that spins while this one sleeps shows with the processor seconds it says it took, or more.

    Only a lower bound: others on a shared machine may add to it, and take nothing away.
    """
    code = "import sys, time\nsys.stdin.readline()\n" + SPIN.format(seconds=1.0) + "\nprint(time.process_time())"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-S", "-c", code], stdin=pipe, stdout=pipe, text=True) as neighbour:
        assert neighbour.stdin
        assert neighbour.stdout
        began = time.monotonic()
        with metered([Noise()]) as window:
            neighbour.stdin.write("go\n")
            neighbour.stdin.flush()
            assert float(neighbour.stdout.readline()) >= 1.0
        seconds = time.monotonic() - began

    assert window.values["neighbour_cores"] * seconds >= 0.8


@linux
def test_own_work_is_not_noise():
    """While this process spins, what others took is less than everything that was taken by at least its own share.

    The machine's busy seconds are read independently at both ends; of them this process took its own.
    """

    def everything() -> float:
        return busy(Path("/proc/stat").read_text().splitlines()[0], os.sysconf("SC_CLK_TCK")).total

    meter = Noise()
    first, began = everything(), time.monotonic()
    with metered([meter]) as window:
        end = time.process_time() + 1.0
        while time.process_time() < end:
            pass
    total, seconds = everything() - first, time.monotonic() - began

    assert window.values["neighbour_cores"] * seconds <= total - 1.0 + 0.25
