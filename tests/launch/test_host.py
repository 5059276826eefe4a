"""What the host is said to be is what its files say: settings, limits on every level, and nothing that names it."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.launch.host import facts

GIB = 2**30
V1_UNLIMITED = 2**63 - 4096
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells these facts")


def host(root: Path, files: dict[str, object]) -> dict[str, object]:
    """Write a host's files below `root` and return its facts."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return dict(facts(root))


def test_settings_are_read(tmp_path):
    """Words, choices in brackets and numbers come from the kernel's files; sizes are bytes."""
    cpu = "sys/devices/system/cpu/cpu0/cpufreq"
    found = host(tmp_path, {
        "proc/sys/kernel/osrelease": "6.8.0-45-generic",
        f"{cpu}/scaling_governor": "performance",
        f"{cpu}/scaling_driver": "intel_pstate",
        "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
        "sys/kernel/mm/transparent_hugepage/defrag": "always defer [defer+madvise] madvise never",
        "proc/sys/vm/overcommit_memory": 2,
        "proc/sys/vm/swappiness": 0,
        "proc/meminfo": "MemTotal:       24684084 kB\nMemFree: 1 kB\nSwapCached: 7 kB\nSwapTotal:       0 kB",
        "proc/loadavg": "1.25 0.75 0.50 2/345 6789",
    })  # fmt: skip
    found.pop("host.libc", None)

    assert found == {
        "host.kernel": "6.8.0-45-generic",
        "host.governor": "performance",
        "host.frequency_driver": "intel_pstate",
        "host.thp": "madvise",
        "host.thp_defrag": "defer+madvise",
        "host.overcommit": 2,
        "host.swappiness": 0,
        "host.memory_bytes": 24684084 * 1024,
        "host.swap_bytes": 0,
        "host.load_average": 1.25,
    }


def test_what_cannot_be_read_is_not_told(tmp_path):
    """A host without these files has no fact but the C library's version; none is empty, 0 or False instead."""
    assert set(dict(facts(tmp_path))) <= {"host.libc"}


def test_threads_cores_and_sockets_are_told_apart(tmp_path):
    """Two sockets of two cores with two threads each are 8 processors, 4 cores and 2 sockets, on 2 nodes."""
    files: dict[str, object] = {}
    for number in range(8):
        topology = f"sys/devices/system/cpu/cpu{number}/topology"
        files[f"{topology}/physical_package_id"] = number // 2 % 2
        files[f"{topology}/thread_siblings_list"] = f"{number % 4},{number % 4 + 4}"
        files[f"{topology}/core_id"] = number % 2  # counted anew on each socket
    for node in range(2):
        files[f"sys/devices/system/node/node{node}/cpulist"] = "0-3"
    files["sys/devices/system/cpu/cpufreq/policy0/scaling_governor"] = "x"  # no processor
    found = host(tmp_path, files)

    assert found["host.processors"] == 8
    assert found["host.cores"] == 4
    assert found["host.sockets"] == 2
    assert found["host.numa_nodes"] == 2


@pytest.mark.parametrize(("flags", "virtual"), [("fpu hypervisor sse", True), ("fpu hypervisors sse", False)])
def test_a_virtual_machine_is_told_by_its_processor(tmp_path, flags, virtual):
    """The flag `hypervisor`, whole, among the processor's flags; without flags (ARM) nothing is told."""
    assert host(tmp_path, {"proc/cpuinfo": f"model name : x\nflags\t\t: {flags}"})["host.virtual_machine"] is virtual
    assert "host.virtual_machine" not in host(tmp_path, {"proc/cpuinfo": "Features : fp asimd"})


LIES_ON = "800 700 0:50 / / rw,relatime - overlay overlay rw,lowerdir={0}/l/A:{0}/l/B"
ELSEWHERE = "900 800 0:60 / /mnt/x rw - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A"


@pytest.mark.parametrize(
    ("files", "container"),
    [
        ({".dockerenv": ""}, "docker"),
        ({"run/.containerenv": ""}, "podman"),
        ({"proc/self/cgroup": "4:memory:/docker/0123abcd"}, "docker"),
        ({"proc/self/cgroup": "0::/system.slice/docker-0123abcd.scope"}, "docker"),
        ({"proc/self/cgroup": "0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-0123.scope"}, "kubernetes"),
        ({"proc/self/cgroup": "0::/machine.slice/libpod-0123abcd.scope"}, "podman"),
        ({"proc/self/cgroup": "0::/lxc/name"}, "lxc"),
        ({"proc/self/cgroup": "0::/", "proc/self/mountinfo": LIES_ON.format("/var/lib/docker/overlay2")}, "docker"),
        ({"proc/self/mountinfo": LIES_ON.format("/var/lib/containerd/io.containerd.x/snapshots")}, "containerd"),
        ({"proc/self/mountinfo": LIES_ON.format("/var/lib/containers/storage/overlay")}, "podman"),
        ({"proc/self/cgroup": "0::/user.slice/session-1.scope", "proc/self/mountinfo": ELSEWHERE}, None),
        ({"proc/self/cgroup": "0::/user.slice/dockers.scope"}, None),
    ],
)
def test_a_container_is_told_by_its_traces(tmp_path, files, container):
    """By its control group, by what its root lies on, or by its runtime's mark; a host that runs some is none."""
    assert host(tmp_path, files).get("host.container") == container


V2 = "40 30 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"


def test_the_tightest_limit_on_the_way_up_counts(tmp_path):
    """Version 2: a parent's limit binds its child, memory.high slows before memory.max kills, 1.5 cores are a quota."""
    top = "sys/fs/cgroup"
    found = host(tmp_path, {
        "proc/self/cgroup": "0::/a/b",
        "proc/self/mountinfo": "22 27 0:21 / /proc rw - proc proc rw\n" + V2,
        f"{top}/a/b/memory.max": "max",
        f"{top}/a/b/cpu.max": "400000 100000",
        f"{top}/a/memory.max": 8 * GIB,
        f"{top}/a/memory.high": 6 * GIB,
        f"{top}/a/cpu.max": "150000 100000",
        f"{top}/other/memory.max": GIB,
        f"{top}/other/cpu.max": "1000 100000",
        f"{top}/a/b/child/memory.max": GIB,
    })  # fmt: skip

    assert found["host.cgroup_version"] == 2
    assert found["host.memory_limited"] is True
    assert found["host.memory_limit_bytes"] == 6 * GIB
    assert found["host.cpu_limited"] is True
    assert found["host.cpu_limit_cores"] == 1.5


def test_no_limit_is_told_as_none(tmp_path):
    """Version 2 without limits: seen and unlimited is something else than not seen."""
    found = host(tmp_path, {
        "proc/self/cgroup": "0::/a",
        "proc/self/mountinfo": V2,
        "sys/fs/cgroup/a/memory.max": "max",
        "sys/fs/cgroup/a/cpu.max": "max 100000",
    })  # fmt: skip

    assert (found["host.memory_limited"], found["host.cpu_limited"]) == (False, False)
    assert not {"host.memory_limit_bytes", "host.cpu_limit_cores"} & found.keys()


V1 = "\n".join((
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
    "36 31 0:33 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset",
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
))  # fmt: skip


def test_limits_of_version_1_are_read(tmp_path):
    """Beside a version 2 without controllers, each controller has a tree and a path of its own."""
    trees = "sys/fs/cgroup"
    found = host(tmp_path, {
        "proc/self/cgroup": "9:cpuset:/z\n4:memory:/a/b\n1:cpu,cpuacct:/c\n0::/",
        "proc/self/mountinfo": V1,
        f"{trees}/memory/memory.limit_in_bytes": V1_UNLIMITED,
        f"{trees}/memory/a/memory.limit_in_bytes": 3 * GIB,
        f"{trees}/memory/a/b/memory.limit_in_bytes": V1_UNLIMITED,
        f"{trees}/memory/c/memory.limit_in_bytes": GIB,
        f"{trees}/cpu,cpuacct/c/cpu.cfs_quota_us": 50_000,
        f"{trees}/cpu,cpuacct/c/cpu.cfs_period_us": 100_000,
        f"{trees}/cpu,cpuacct/cpu.cfs_quota_us": -1,
        f"{trees}/cpu,cpuacct/cpu.cfs_period_us": 100_000,
    })  # fmt: skip

    assert found["host.cgroup_version"] == 1
    assert found["host.memory_limit_bytes"] == 3 * GIB
    assert found["host.cpu_limit_cores"] == 0.5


def test_version_1_without_limits_is_unlimited(tmp_path):
    """The largest number version 1 writes, and a quota of -1, are no limits."""
    found = host(tmp_path, {
        "proc/self/cgroup": "4:memory:/\n1:cpu,cpuacct:/",
        "proc/self/mountinfo": V1,
        "sys/fs/cgroup/memory/memory.limit_in_bytes": V1_UNLIMITED,
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": -1,
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": 100_000,
    })  # fmt: skip

    assert (found["host.memory_limited"], found["host.cpu_limited"]) == (False, False)


@pytest.mark.parametrize(
    ("mounted", "group"),
    [("/docker/abc", "/docker/abc"), ("/docker/abc", "/"), ("/", "/../../other"), ("/docker/abc", "/docker/abcdef")],
)
def test_a_container_sees_its_own_group_as_the_top(tmp_path, mounted, group):
    """Where only a part of the tree is mounted, or the group lies outside what is, the mounted top's limit is told."""
    found = host(tmp_path, {
        "proc/self/cgroup": f"0::{group}",
        "proc/self/mountinfo": V2.replace(" / /sys", f" {mounted} /sys"),
        "sys/fs/cgroup/memory.max": 2 * GIB,
        "other/memory.max": GIB,
        "sys/other/memory.max": GIB,
    })  # fmt: skip

    assert found["host.memory_limit_bytes"] == 2 * GIB


@given(st.lists(st.none() | st.integers(1, 2**50), min_size=1, max_size=5))
def test_a_limit_is_the_smallest_of_a_path(tmp_path_factory, limits):
    """However deep a group lies, it is bound by the smallest limit above it, or by none."""
    root = tmp_path_factory.mktemp("host")
    files: dict[str, object] = {"proc/self/mountinfo": V2, "proc/self/cgroup": "0::" + "/g" * len(limits)}
    for depth, limit in enumerate(limits, 1):
        files["sys/fs/cgroup" + "/g" * depth + "/memory.max"] = "max" if limit is None else limit
    found = host(root, files)

    assert found.get("host.memory_limit_bytes") == min((n for n in limits if n is not None), default=None)
    assert found["host.memory_limited"] is any(n is not None for n in limits)


@linux
def test_this_machine_is_described_as_the_system_describes_it():
    """Independent calls agree: kernel, memory, processors, C library; all values are plain."""
    found = dict(facts())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    assert found["host.kernel"] == platform.release()
    assert found["host.memory_bytes"] == pytest.approx(pages, rel=0.01)
    assert found["host.processors"] == os.sysconf("SC_NPROCESSORS_ONLN")
    assert 1 <= found["host.sockets"] <= found["host.cores"] <= found["host.processors"]
    assert found["host.load_average"] >= 0
    if platform.libc_ver()[0] == "glibc":
        assert found["host.libc"] == " ".join(platform.libc_ver())
    assert json.loads(json.dumps(found)) == found


@linux
def test_no_fact_names_a_host_a_folder_or_a_group():
    """Neither the host's name, nor a path, nor the long number of a container is in any fact."""
    text = json.dumps(dict(facts()))
    name = platform.node()

    assert len(name) < 3 or not re.search(rf"\b{re.escape(name)}\b", text)
    assert "/" not in text
    assert not re.search(r"[0-9a-f]{32}", text)
