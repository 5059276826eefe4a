"""What the host is: processors, memory, the kernel's settings, and the limits a run lives under.

Only what was read is told, from files below a root. No names: not of hosts, people, folders,
containers or control groups.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from bench.schema.catalogue import Scalar

WORDS = {
    "host.kernel": "proc/sys/kernel/osrelease",
    "host.governor": "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
    "host.frequency_driver": "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver",
}
"""Facts that are the text of a file; governor and driver of the first processor stand for all."""

CHOICES = {
    "host.thp": "sys/kernel/mm/transparent_hugepage/enabled",
    "host.thp_defrag": "sys/kernel/mm/transparent_hugepage/defrag",
}
"""Facts that are the word in brackets, as in "always [madvise] never"."""

NUMBERS = {"host.overcommit": "proc/sys/vm/overcommit_memory", "host.swappiness": "proc/sys/vm/swappiness"}
"""Facts that are a whole number (`man proc_sys_vm`); overcommit is 0 for a guess, 1 for always, 2 for never."""

CONTAINERS = {
    "kubepods": "kubernetes", "libpod": "podman", "containers/storage": "podman", "docker": "docker", "lxc": "lxc",
    "containerd": "containerd",
}  # fmt: skip
"""A word in the control group's path or in what the root file system lies on, and what made such a container."""

UNLIMITED = 2**60
"""Version 1 writes "no limit" as the largest number of whole pages below 2^63; no machine has an exbibyte."""


class Hierarchy(NamedTuple):
    """A tree of control groups: its version, and the folders from this process's group up to the top that it sees."""

    version: int
    folders: list[Path]


def facts(root: Path = Path("/")) -> Iterator[tuple[str, Scalar]]:
    """Yield names and values, sizes in bytes. Linux tells most of it, other systems hardly any."""
    for name, file in WORDS.items():
        if text := _text(root / file):
            yield name, text
    for name, file in CHOICES.items():
        if found := re.search(r"\[(\S+)\]", _text(root / file)):
            yield name, found.group(1)
    for name, file in NUMBERS.items():
        if (text := _text(root / file)).isdigit():
            yield name, int(text)
    yield from _processors(root / "sys/devices/system")
    yield from _memory(root)
    yield from _enclosure(root)
    yield from _limits(root)
    if load := _text(root / "proc/loadavg").split():
        yield "host.load_average", float(load[0])
    yield from _libc()


def _processors(devices: Path) -> Iterator[tuple[str, Scalar]]:
    """Count what is online, whoever may use it: processors (hardware threads), cores, sockets, NUMA nodes."""
    topologies = list(devices.glob("cpu/cpu[0-9]*/topology"))
    if topologies:
        yield "host.processors", len(topologies)
    for name, file in (("host.cores", "thread_siblings_list"), ("host.sockets", "physical_package_id")):
        if different := {_text(topology / file) for topology in topologies} - {""}:
            yield name, len(different)
    if nodes := list(devices.glob("node/node[0-9]*")):
        yield "host.numa_nodes", len(nodes)


def _memory(root: Path) -> Iterator[tuple[str, Scalar]]:
    sizes = dict(re.findall(r"^(\w+):\s+(\d+) kB$", _text(root / "proc/meminfo"), re.MULTILINE))
    for name, field in (("host.memory_bytes", "MemTotal"), ("host.swap_bytes", "SwapTotal")):
        if field in sizes:
            yield name, int(sizes[field]) * 1024


def _enclosure(root: Path) -> Iterator[tuple[str, Scalar]]:
    """Tell whether this is a virtual machine (the flag `hypervisor` of x86), and which container, where one shows."""
    if flags := re.search(r"^flags\s*:(.*)$", _text(root / "proc/cpuinfo"), re.MULTILINE):
        yield "host.virtual_machine", "hypervisor" in flags.group(1).split()
    lies_on = [line for line in _text(root / "proc/self/mountinfo").splitlines() if line.split()[4:5] == ["/"]]
    traces = "\n".join([_text(root / "proc/self/cgroup"), *lies_on])
    made_by = [made for word, made in CONTAINERS.items() if re.search(rf"\b{word}\b", traces)]
    for file, made in (("run/.containerenv", "podman"), (".dockerenv", "docker")):
        made_by += [made] if (root / file).exists() else []
    if made_by:
        yield "host.container", made_by[0]


def _limits(root: Path) -> Iterator[tuple[str, Scalar]]:
    """Tell the tightest limits of the control groups this process is in; those above a container do not show."""
    if memory := _hierarchy(root, "memory"):
        yield "host.cgroup_version", memory.version
        limit = _tightest(memory, _memory_limit)
        yield "host.memory_limited", limit is not None
        if limit is not None:
            yield "host.memory_limit_bytes", int(limit)
    if processors := _hierarchy(root, "cpu"):
        limit = _tightest(processors, _processor_limit)
        yield "host.cpu_limited", limit is not None
        if limit is not None:
            yield "host.cpu_limit_cores", limit


def _hierarchy(root: Path, controller: str) -> Hierarchy | None:
    """Find where a controller's groups are: version 1 if it is mounted there, else version 2 (`man cgroups`)."""
    own = [line.split(":", 2) for line in _text(root / "proc/self/cgroup").splitlines() if line.count(":") >= 2]
    mounts = [line.partition(" - ") for line in _text(root / "proc/self/mountinfo").splitlines()]
    for version, kind, wanted in ((1, "cgroup", controller), (2, "cgroup2", "")):
        paths = [path for _, controllers, path in own if wanted in controllers.split(",")]
        for where, _, what in mounts:
            system, _, *options = [*what.split(), "", ""]
            if paths and system == kind and (version == 2 or controller in ",".join(options).split(",")):
                mounted, point = where.split()[3:5]
                return Hierarchy(version, _folders(root / point.lstrip("/"), mounted, paths[0]))
    return None


def _folders(top: Path, mounted: str, group: str) -> list[Path]:
    """Return the folders from a group up to `top`, where the group `mounted` is found."""
    path = PurePosixPath(group)
    inside = path.relative_to(mounted) if path.is_relative_to(mounted) and ".." not in path.parts else PurePosixPath()
    return [top / inside, *(top / parent for parent in inside.parents)]


def _tightest(hierarchy: Hierarchy, limit: Callable[[Path, int], float | None]) -> float | None:
    """Return the smallest limit on the way up, None where no group has one."""
    return min((f for folder in hierarchy.folders if (f := limit(folder, hierarchy.version)) is not None), default=None)


def _memory_limit(folder: Path, version: int) -> float | None:
    """Bytes a group may hold before the kernel kills, or with `memory.high` slows it down."""
    files = ("memory.limit_in_bytes",) if version == 1 else ("memory.max", "memory.high")
    found = [int(text) for file in files if (text := _text(folder / file)).isdigit()]
    return min((size for size in found if size < UNLIMITED), default=None)


def _processor_limit(folder: Path, version: int) -> float | None:
    """Cores a group may keep busy: its quota of processor time over the period it is for."""
    files = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if version == 1 else ("cpu.max",)
    words = " ".join(_text(folder / file) for file in files).split()
    return int(words[0]) / int(words[1]) if len(words) == 2 and all(word.isdigit() for word in words) else None


def _libc() -> Iterator[tuple[str, Scalar]]:
    with contextlib.suppress(AttributeError, OSError, ValueError):  # no such call, or a library without this name
        if version := os.confstr("CS_GNU_LIBC_VERSION"):
            yield "host.libc", version


def _text(file: Path) -> str:
    """Read a file without its outer white space; empty where there is none or it may not be read."""
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""
