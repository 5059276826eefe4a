"""How much is sent away, and every reason not to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.worker.paging import room
from bench.worker.paging.pressure import CHUNK, GIB, Host, chill, refuse

MIB = 1 << 20


@dataclass
class Tensor:
    address: int
    nbytes: int

    def data_ptr(self):
        return self.address


@dataclass
class Notebook:
    """Writes down what it is asked to move."""

    moves: list[tuple[int, int, int | None]] = field(default_factory=list)
    waited: int = 0

    def prefetch(self, address, size, device):
        self.moves.append((address, size, device))
        self.waited = 0

    def synchronize(self):
        self.waited += 1


@pytest.mark.parametrize(("fraction", "expected"), [(0, 0), (1, 30), (0.5, 16), (1 / 3, 10), (0.25, 8), (0.75, 24)])
def test_a_fraction_is_sent_in_whole_chunks(fraction, expected):
    """Of three tensors of 10 MiB: tensor after tensor, the last one cut at a chunk, to the host; then it waits."""
    tensors = [Tensor(n << 30, 10 * MIB) for n in range(3)]
    mover = Notebook()

    assert chill(tensors, fraction, mover) == expected * MIB == sum(size for _, size, _ in mover.moves)
    assert [address for address, _, _ in mover.moves] == [n << 30 for n in range(len(mover.moves))]
    assert all(device is None for _, _, device in mover.moves)
    assert mover.waited == 1


@given(st.lists(st.integers(1, 9 * MIB), max_size=6), st.floats(0, 1))
def test_what_is_sent_is_what_was_asked_for_or_a_chunk_more(sizes, fraction):
    """Never less than the fraction, never a chunk more, never more than a tensor has."""
    mover = Notebook()
    sent = chill([Tensor(n << 30, size) for n, size in enumerate(sizes)], fraction, mover)

    assert int(sum(sizes) * fraction) <= sent < int(sum(sizes) * fraction) + CHUNK
    assert all(0 < size <= sizes[address >> 30] for address, size, _ in mover.moves)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_a_fraction_is_a_fraction(fraction):
    """Anything else is a mistake of the caller."""
    with pytest.raises(ValueError, match="fraction"):
        chill([], fraction, Notebook())


GOOD = Host(60 * GIB, 100 * GIB, None, True, False, 0, False, False)


def test_a_good_host_is_not_refused():
    """8 GiB of state on a card with 60 GiB free, oversubscribed only when asked."""
    assert refuse(GOOD, 8 * GIB) == []
    assert refuse(GOOD, 8 * GIB, 1.0) == []
    assert refuse(GOOD, 8 * GIB, 1.25, oversubscription=True) == []


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (replace(GOOD, concurrent_managed_access=False), "concurrentManagedAccess"),
        (replace(GOOD, host_page_tables=True), "Grace Hopper"),
        (replace(GOOD, ram_available=20 * GIB - 1), "the host has"),
        (replace(GOOD, cgroup_headroom=20 * GIB - 1), "the memory cgroup has"),
        (replace(GOOD, vram_free=8 * GIB), "90 %"),
    ],
)
def test_what_makes_any_paging_unsafe(host, reason):
    """One reason each, with or without oversubscription."""
    for settings in ({}, {"ratio": 1.2, "oversubscription": True}):
        (found,) = refuse(host, 8 * GIB, **settings)
        assert reason in found


def test_room_that_just_suffices_suffices():
    """Twice the managed bytes and 4 GiB."""
    assert refuse(replace(GOOD, ram_available=20 * GIB, cgroup_headroom=20 * GIB), 8 * GIB) == []


@pytest.mark.parametrize(
    ("host", "ratio", "asked", "reason"),
    [
        (GOOD, 1.2, False, "not asked"),
        (GOOD, 1.26, True, "above 1.25"),
        (replace(GOOD, other_gpu_processes=1), 1.1, True, "other processes"),
        (replace(GOOD, other_gpu_processes=None), 1.1, True, "other processes"),
        (replace(GOOD, display=True), 1.1, True, "display"),
        (replace(GOOD, display=None), 1.1, True, "display"),
        (replace(GOOD, hmm=True), 1.1, True, "HMM"),
        (replace(GOOD, hmm=None), 1.1, True, "HMM"),
    ],
)
def test_what_makes_oversubscription_unsafe(host, ratio, asked, reason):
    """One reason each; what is not known forbids as much; without oversubscription none of it matters."""
    (found,) = refuse(host, 8 * GIB, ratio, oversubscription=asked)

    assert reason in found
    assert refuse(host, 8 * GIB, 1.0, oversubscription=asked) == []


def test_all_reasons_are_given_at_once():
    """Nobody has to repair one thing after the other to learn of the next."""
    worst = Host(0, 0, 0, False, True, None, None, None)

    assert len(refuse(worst, 8 * GIB, 2.0)) == 10


def host_files(root, **files):
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_memory_left_is_read_from_the_host(tmp_path):
    """MemAvailable, not MemFree; none is 0, which refuses."""
    host_files(tmp_path, meminfo="MemTotal:  900 kB\nMemFree:  5 kB\nMemAvailable:  700 kB\n")

    assert room.ram_available(tmp_path) == 700 * 1024
    assert room.ram_available(tmp_path / "absent") == 0
    assert room.ram_available() > 0


def test_the_tightest_group_of_version_2_counts(tmp_path):
    """A group without a limit within one that has one, and above it a tighter one."""
    host_files(
        tmp_path, self__cgroup="0::/a/b/c\n",
        fs__cgroup__a__b__c__memory_dot_max="max\n", fs__cgroup__a__b__c__memory_dot_current="10\n",
        fs__cgroup__a__b__memory_dot_max="5000\n", fs__cgroup__a__b__memory_dot_current="1000\n",
        fs__cgroup__a__memory_dot_max="4500\n", fs__cgroup__a__memory_dot_current="1500\n",
    )  # fmt: skip

    assert room.cgroup_headroom(tmp_path, tmp_path) == 3000


def test_a_group_of_version_1_counts(tmp_path):
    """The memory controller's own hierarchy; no limit is a huge number; a container sees only the top."""
    host_files(
        tmp_path, self__cgroup="5:cpu,cpuacct:/x\n4:memory:/docker/abc\n1:name=systemd:/x\n",
        fs__cgroup__memory__memory_dot_limit_in_bytes="7000\n", fs__cgroup__memory__memory_dot_usage_in_bytes="9000\n",
    )  # fmt: skip
    assert room.cgroup_headroom(tmp_path, tmp_path) == 0

    host_files(tmp_path, fs__cgroup__memory__memory_dot_limit_in_bytes="9223372036854771712\n")
    assert room.cgroup_headroom(tmp_path, tmp_path) is None


def test_no_group_is_no_limit(tmp_path):
    """A system without cgroups."""
    assert room.cgroup_headroom(tmp_path, tmp_path) is None


@pytest.mark.parametrize(("said", "hmm"), [("Y\n", False), ("1\n", False), ("N\n", True), (None, None)])
def test_hmm_is_off_only_where_the_module_says_so(tmp_path, said, hmm):
    """The parameter says whether HMM is disabled."""
    if said:
        host_files(tmp_path, module__nvidia_uvm__parameters__uvm_disable_hmm=said)

    assert room.hmm(tmp_path) is hmm
