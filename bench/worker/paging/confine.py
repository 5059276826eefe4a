"""A memory group of this process's own (Linux cgroup), whose limit rises and falls while it runs.

It is made beside or below the group the process is in, so every limit that held before still
holds. Version 1 and 2 differ in names: `memory.limit_in_bytes` makes the kernel take pages back
until the limit is kept, and so does `memory.high`; `memory.max` would kill instead.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.errors import UnsupportedError

NAME = "ftbench-"
ADVICE = "Start it as root, or with: systemd-run --user --scope"


@dataclass(frozen=True, slots=True)
class Names:
    """What one version of the interface calls things; `swap` is written so that only files are paged."""

    limit: str
    unlimited: str
    used: str
    cache: str
    swap: tuple[str, str]


VERSION_1 = Names("memory.limit_in_bytes", "-1", "memory.usage_in_bytes", "cache", ("memory.swappiness", "0"))
VERSION_2 = Names("memory.high", "max", "memory.current", "file", ("memory.swap.max", "0"))


class Confinement:
    """Within the block this process is in a group of its own, unlimited until `limit` is called.

    At the block's end it goes back to where it was and the group is removed. A process that is
    killed leaves an empty group; the next one removes it. Entering raises `UnsupportedError`.
    """

    def __init__(self, proc: Path = Path("/proc/self")) -> None:
        self._proc = proc
        self._names, self._home, parent = _place(proc)
        self._parent = parent
        self._group = parent / f"{NAME}{os.getpid()}"

    def __enter__(self) -> Self:
        remove_leftovers(self._parent)
        try:
            self._group.mkdir(exist_ok=True)
            _join(self._group)
        except OSError as error:
            self._leave()
            raise UnsupportedError(f"memory cannot be limited here: the group was refused ({error.strerror}). "
                                   f"{ADVICE}") from None  # fmt: skip
        name, value = self._names.swap
        with contextlib.suppress(OSError):
            (self._group / name).write_text(value)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._leave()

    def limit(self, nbytes: int | None) -> None:
        """Let the group hold `nbytes`, or any number with None. What is above is taken back at once."""
        try:
            (self._group / self._names.limit).write_text(self._names.unlimited if nbytes is None else str(nbytes))
        except OSError as error:
            raise UnsupportedError(f"the memory group would not keep to {nbytes} bytes: {error.strerror}.") from None

    def held_bytes(self) -> int:
        """Return what the group holds and could not drop: everything but the pages of files."""
        stat = dict(line.split() for line in (self._group / "memory.stat").read_text().splitlines())
        used = int((self._group / self._names.used).read_text())
        return max(0, used - int(stat[self._names.cache]) + int(stat.get("shmem", 0)))

    def _leave(self) -> None:
        with contextlib.suppress(OSError):
            (self._group / self._names.limit).write_text(self._names.unlimited)
        with contextlib.suppress(OSError):
            _join(self._home)
        with contextlib.suppress(OSError):
            self._group.rmdir()


def remove_leftovers(parent: Path) -> None:
    """Remove the empty groups of runs that were killed. The kernel keeps every group that holds a process."""
    for group in parent.glob(f"{NAME}*"):
        if not Path("/proc", group.name.removeprefix(NAME)).exists():
            remove_leftovers(group)  # a confined process may have started another one
            with contextlib.suppress(OSError):
                group.rmdir()


def _join(group: Path) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))


def _place(proc: Path) -> tuple[Names, Path, Path]:
    """Return the interface's names, the group this process is in, and the one a new group can stand in."""
    try:
        groups, mounts = (proc / "cgroup").read_text(), (proc / "mountinfo").read_text()
    except OSError:
        raise UnsupportedError("memory cannot be limited here: this system has no control groups (Linux).") from None
    own = re.search(r"^\d+:(?:[\w,]+,)?memory(?:,[\w,]+)?:(.+)$", groups, re.MULTILINE)
    if own:
        home = _folder(own.group(1), mounts, "cgroup", "memory")
        return VERSION_1, home, home
    own = re.search(r"^0::(.+)$", groups, re.MULTILINE)
    if not own:
        raise UnsupportedError("memory cannot be limited here: the kernel has no memory controller.")
    home = _folder(own.group(1), mounts, "cgroup2", "")
    return VERSION_2, home, _delegated(home)


def _delegated(home: Path) -> Path:
    """Find the group of version 2 whose children have a memory controller: this one, or the one above it."""
    for parent in (home, home.parent):
        with contextlib.suppress(OSError):
            if "memory" in (parent / "cgroup.subtree_control").read_text().split():
                return parent
    raise UnsupportedError(f"memory cannot be limited here: no memory controller was delegated. {ADVICE}")


def _folder(group: str, mounts: str, kind: str, controller: str) -> Path:
    """Find a group's folder; mountinfo says which group a mount shows at its top (man proc_pid_mountinfo)."""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, described = before.split(), after.split()
        if described[0] != kind or (controller and controller not in described[2].split(",")):
            continue
        top = Path(fields[3])
        if Path(group).is_relative_to(top):
            return Path(fields[4]) / Path(group).relative_to(top)
    raise UnsupportedError(f"memory cannot be limited here: no {kind} file system shows this process's group.")
