"""How optimiser state is kept away from a step: moved out before it, or left without room while it runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from bench.errors import BadValueError, UnsupportedError
from bench.worker.paging.confine import Confinement
from bench.worker.paging.host import HostPager

SLACK = 64 * 2**20
"""Bytes a limited group may hold beyond what the step is known to need: page tables, the C library's arenas."""


class Pager(Protocol):
    """State that can be away: managed memory on a GPU, mapped files on a host."""

    def paged_bytes(self) -> int:
        """Sum the bytes that can be paged."""
        ...

    def sizes(self) -> list[int]:
        """Return the bytes of each paged tensor, in the order in which a step walks them."""
        ...

    def move_out(self, fraction: float) -> int:
        """Send the first `fraction` away and return the bytes that are away."""
        ...

    def make_resident(self) -> None:
        """Bring everything back and wait."""

    def taking(self, path: str) -> AbstractContextManager[Callable[[], None]]:
        """Within the block state comes back on `path`; yields what to call when a step starts."""
        ...


class Pressure(Protocol):
    """How state is kept away."""

    def cold(self) -> int:
        """Send state away and return the bytes that are."""
        ...

    def warm(self) -> None:
        """Have all state in place."""


class Chill:
    """Moves the first `fraction` of the state out before a step; there is room for it to come back."""

    def __init__(self, pager: Pager, fraction: float) -> None:
        self._pager, self._fraction = pager, fraction

    def cold(self) -> int:
        """Move out, from a known state: everything in place."""
        self._pager.make_resident()
        return self._pager.move_out(self._fraction)

    def warm(self) -> None:
        """Bring everything back."""
        self._pager.make_resident()


class Squeeze:
    """Leaves no room for `fraction` of the state while a cold step runs."""

    def __init__(self, pager: HostPager, fraction: float, group: Confinement, proc: Path = Path("/proc/self")) -> None:
        self._pager, self._fraction, self._group, self._proc = pager, fraction, group, proc
        pager.move_out(1.0)  # a page counts for the group that reads it; all of them shall count for this one

    def cold(self) -> int:
        """Move out what has no room and close the door: tensors a step makes, the state that stays, and some slack."""
        self.warm()
        growth = growth_of_a_step((self._proc / "status").read_text())
        self._pager.move_out(self._fraction)
        stays = (1 - self._fraction) * self._pager.paged_bytes()
        self._group.limit(int(self._group.held_bytes() + growth + stays) + SLACK)
        return self._pager.paged_bytes() - self._pager.resident_bytes()

    def warm(self) -> None:
        """Open the door and bring everything back."""
        self._group.limit(None)
        self._pager.make_resident()


def growth_of_a_step(status: str) -> int:
    """Return the bytes of private memory by which a step exceeds what is held between steps.

    VmHWM less the files and the private memory resident now, from /proc/self/status. Both the peak and now
    must have all files in memory: the peak of any step but the first one has, now does after `make_resident`.
    """
    found = {name: int(kib) * 1024 for name, kib in re.findall(r"^(\w+):\s+(\d+) kB$", status, re.MULTILINE)}
    return max(0, found["VmHWM"] - found["RssFile"] - found["RssShmem"] - found["RssAnon"])


@contextmanager
def kept_away(pager: Pager, paging: str, fraction: float, untimed: int) -> Iterator[Pressure]:
    """Make ready to keep `fraction` away as `RunConfig.paging` says. Raises `UnsupportedError` where it cannot be."""
    if paging == "ballast":
        from bench.worker.paging.cuda import oversubscribed

        with oversubscribed(pager, fraction) as ballast:
            yield ballast
        return
    if paging != "limit":
        yield Chill(pager, fraction)
        return
    host = _pageable_by_limit(pager, fraction)
    if untimed < 2:
        raise BadValueError("paging='limit' needs untimed_steps of 2 or more: they show what memory a step takes.")
    with Confinement() as group:
        yield Squeeze(host, fraction, group)


def _pageable_by_limit(pager: Pager, fraction: float) -> HostPager:
    if not isinstance(pager, HostPager):
        raise UnsupportedError("a memory limit pages state of the host; on a GPU take paging='prefetch' or 'fault'.")
    if fraction * pager.paged_bytes() <= SLACK:
        raise UnsupportedError(
            f"a memory limit is kept to within {SLACK} bytes, and {fraction:g} of the {pager.paged_bytes()} bytes "
            "that can be paged is no more than that: take a larger model or fraction, or paging='fault'."
        )
    return pager
