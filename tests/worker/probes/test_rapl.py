"""Joules of the sockets, each once: through the counter's start from 0, and absent where that is not certain."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.worker.probes import Window, metered
from bench.worker.probes.rapl import MOST_POWER, SHORTEST, Package, RaplEnergy, _spent

RANGE = 262_143_328_850  # max_energy_range_uj of many Intel servers: 262 kJ
NOBODY = 65534


def domain(powercap: Path, folder: str, name: str, energy: int, wraps_at: int = RANGE) -> Path:
    """Make a domain of the powercap tree, energies in microjoules."""
    made = powercap / folder
    made.mkdir(exist_ok=True)
    for file, value in (("name", name), ("energy_uj", energy), ("max_energy_range_uj", wraps_at)):
        (made / file).write_text(f"{value}\n")
    return made


def passing(powercap: Path, seconds: float, **after: int) -> Window:
    """A window of `seconds` in which the counters of packages go to `after` (package_0=...)."""
    clock = iter([50.0, 50.0 + seconds])
    with metered([RaplEnergy(powercap, lambda: next(clock))]) as window:
        for name, energy in after.items():
            number = name.rpartition("_")[2]
            domain(powercap, f"intel-rapl:{number}", f"package-{number}", energy)
    return window


def test_sockets_add_up(tmp_path):
    """Two sockets spent 300 J and 150 J in 4 s; both ends of 1 ms at 112.5 W may hide 0.225 J."""
    domain(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    domain(tmp_path, "intel-rapl:1", "package-1", 5_000_000)

    window = passing(tmp_path, 4.0, package_0=301_000_000, package_1=155_000_000)

    assert window.values["energy"] == pytest.approx(450.0)
    assert window.values["energy_error"] == pytest.approx(0.225)


def test_nothing_counts_twice(tmp_path):
    """Parts of a socket, the platform that contains it, and its second interface add nothing."""
    inner = [
        ("intel-rapl:0:0", "core"),
        ("intel-rapl:0:1", "dram"),
        ("intel-rapl:1", "psys"),
        ("intel-rapl-mmio:0", "package-0"),
    ]
    domain(tmp_path, "intel-rapl:0", "package-0", 0)
    (tmp_path / "intel-rapl").mkdir()  # the driver itself, without counters
    for folder, name in inner:
        domain(tmp_path, folder, name, 0)

    clock = iter([0.0, 2.0])
    with metered([RaplEnergy(tmp_path, lambda: next(clock))]) as window:
        for folder, name in [("intel-rapl:0", "package-0"), *inner]:
            domain(tmp_path, folder, name, 70_000_000)

    assert window.values["energy"] == pytest.approx(70.0)


def test_dies_of_a_socket_are_packages_too(tmp_path):
    """Processors with several dies name them package-<n>-die-<m>; each has a counter of its own."""
    for number in (0, 1):
        domain(tmp_path, f"intel-rapl:{number}", f"package-0-die-{number}", 0)
    clock = iter([0.0, 2.0])
    with metered([RaplEnergy(tmp_path, lambda: next(clock))]) as window:
        for number in (0, 1):
            domain(tmp_path, f"intel-rapl:{number}", f"package-0-die-{number}", 10_000_000)

    assert window.values["energy"] == pytest.approx(20.0)


def test_a_counter_that_starts_again_is_followed(tmp_path):
    """From 1 J below its end to 2 J above 0, a counter has gone 3 J."""
    domain(tmp_path, "intel-rapl:0", "package-0", RANGE - 1_000_000)

    window = passing(tmp_path, 1.0, package_0=2_000_000)

    assert window.values["energy"] == pytest.approx(3.0)


@given(st.integers(0, RANGE), st.integers(0, RANGE))
def test_energy_is_never_negative_nor_more_than_a_round(start, spent):
    """Wherever a counter stands, what was spent within one round is what is told."""
    after = (start + spent) % RANGE
    found = _spent(Package(start / 1e6, RANGE / 1e6), Package(after / 1e6, RANGE / 1e6))

    assert found == pytest.approx(spent % RANGE / 1e6, abs=1e-3)


def test_a_window_in_which_a_counter_may_have_gone_round_twice_is_absent(tmp_path):
    """100 kJ, or 100 kJ and a round: the first is certain as long as the second needs more than a socket takes."""
    certain = (100_000 + RANGE / 1e6) / MOST_POWER
    domain(tmp_path, "intel-rapl:0", "package-0", 0)
    known = passing(tmp_path, certain * 0.99, package_0=100_000_000_000)
    assert known.values["energy"] == pytest.approx(100_000)

    domain(tmp_path, "intel-rapl:0", "package-0", 0)
    unknown = passing(tmp_path, certain * 1.01, package_0=100_000_000_000)
    assert unknown.values == {}
    assert "gone round more than once" in unknown.absent["energy"]


def test_a_short_window_is_absent(tmp_path):
    """Below 200 updates the ends would be more than one percent of the energy."""
    domain(tmp_path, "intel-rapl:0", "package-0", 0)
    window = passing(tmp_path, SHORTEST * 0.99, package_0=10_000_000)

    assert window.values == {}
    assert "too short" in window.absent["energy"]
    assert window.absent["energy"] == window.absent["energy_error"]


@pytest.mark.parametrize("tree", ["missing", "empty", "parts only"])
def test_a_machine_without_counters_says_so(tmp_path, tree):
    """No tree, no domain, or none of a socket: absent, naming the driver that may be missing."""
    if tree == "parts only":
        domain(tmp_path, "intel-rapl:0:0", "core", 0)
        domain(tmp_path, "intel-rapl:1", "psys", 0)
    with metered([RaplEnergy(tmp_path / "nowhere" if tree == "missing" else tmp_path)]) as window:
        pass

    assert window.values == {}
    assert "intel_rapl_msr" in window.absent["energy"]


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="this system has no users to change to")
def test_counters_for_root_only_are_named_as_such():
    """A counter that this user may not read is absent with the cause, although another one can be read."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        domain(Path(folder), "intel-rapl:0", "package-0", 0)
        (domain(Path(folder), "intel-rapl:1", "package-1", 0) / "energy_uj").chmod(0)
        with not_root(), metered([RaplEnergy(Path(folder))]) as window:
            pass

    assert window.values == {}
    assert "root only" in window.absent["energy"]


@contextmanager
def not_root() -> Iterator[None]:
    """Be nobody within a block, where this process is root: root may read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("content", [None, "", "many"])
def test_a_broken_counter_is_absent(tmp_path, content):
    """A socket whose counter is missing or is no number leaves no sum, and the reason names no folder."""
    domain(tmp_path, "intel-rapl:0", "package-0", 0)
    broken = domain(tmp_path, "intel-rapl:1", "package-1", 0) / "energy_uj"
    broken.unlink()
    if content is not None:
        broken.write_text(content)
    with metered([RaplEnergy(tmp_path)]) as window:
        pass

    assert window.values == {}
    assert "could not be read" in window.absent["energy"]
    assert str(tmp_path) not in window.absent["energy"]


def test_sockets_that_come_or_go_leave_no_sum(tmp_path):
    """A sum over other sockets at the end than at the start would be nobody's energy."""
    domain(tmp_path, "intel-rapl:0", "package-0", 0)
    window = passing(tmp_path, 2.0, package_0=1_000_000, package_1=1_000_000)

    assert window.values == {}
    assert "changed" in window.absent["energy"]


def test_a_counter_that_vanishes_is_absent(tmp_path):
    """What could be read at the start only is no difference."""
    made = domain(tmp_path, "intel-rapl:0", "package-0", 0)
    with metered([RaplEnergy(tmp_path)]) as window:
        (made / "energy_uj").unlink()

    assert window.values == {}
    assert window.absent["energy"]
