"""Timed steps that find their optimiser state away or in place, in turns: cold, resident, resident, cold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.analysis.stall import is_cold
from bench.errors import BadValueError, UnsupportedError
from bench.worker.batches import Batch
from bench.worker.logbook import Logbook
from bench.worker.loop import Steps, Trainer, train
from bench.worker.paging import attribution
from bench.worker.paging.confine import Confinement
from bench.worker.paging.counted import Counters
from bench.worker.paging.faults import Faults
from bench.worker.paging.host import HostPager
from bench.worker.paging.mapped import MappedAdamW

SLACK = 64 * 2**20
"""Bytes a limited group may hold beyond what the step is known to need: page tables, the C library's arenas."""


class Pager(Protocol):
    """State that can be away: managed memory on a GPU, mapped files on a host."""

    def paged_bytes(self) -> int:
        """Sum the bytes that can be paged."""
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
        self._pager, self._group, self._proc = pager, group, proc
        self._chill = Chill(pager, fraction)
        self._stays = (1 - fraction) * pager.paged_bytes()

    def cold(self) -> int:
        """Move out what has no room and close the door: tensors a step makes, the state that stays, and some slack."""
        self._group.limit(None)
        self._chill.cold()
        growth = growth_of_a_step((self._proc / "status").read_text())
        self._group.limit(int(self._group.held_bytes() + growth + self._stays) + SLACK)
        return self._pager.paged_bytes() - self._pager.resident_bytes()

    def warm(self) -> None:
        """Open the door and bring everything back."""
        self._group.limit(None)
        self._chill.warm()


def growth_of_a_step(status: str) -> int:
    """Return the bytes of private memory by which a step exceeds what is held between steps.

    VmHWM less the files and less the private memory resident now, from /proc/self/status. The peak must be
    of a step that had all its files in memory, as every step but the first one has.
    """
    found = {name: int(kib) * 1024 for name, kib in re.findall(r"^(\w+):\s+(\d+) kB$", status, re.MULTILINE)}
    return max(0, found["VmHWM"] - found["RssFile"] - found["RssShmem"] - found["RssAnon"])


def pager_of(trainer: Trainer) -> Pager:
    """Return what can move the state of a trainer's optimiser; it pages nothing for an optimiser that does not."""
    if trainer.device.torch_name.startswith("cuda"):
        from bench.worker.paging.cuda import open_pager

        return open_pager(trainer.optimizer, trainer.device)
    ranges = trainer.optimizer.paged_ranges() if isinstance(trainer.optimizer, MappedAdamW) else []
    return HostPager(ranges)


def _owners(trainer: Trainer) -> list[attribution.Range]:
    """Name every paged tensor of a GPU's optimiser by its parameter, where it lies."""
    from bench.worker.paging.cuda import owners

    names = {parameter: name for name, parameter in trainer.model.named_parameters()}
    found = owners(trainer.optimizer, names)
    return [attribution.Range(paged.address, paged.nbytes, paged.name) for paged in found]


def paged_steps(
    logbook: Logbook, trainer: Trainer, feed: Iterator[Batch], steps: Steps, count: int, counters: Counters
) -> None:
    """Make `count` timed steps under the pressure the config asks for, and keep what each of them met."""
    config = logbook.config
    pager = pager_of(trainer)
    logbook.metrics["paging.paged_bytes"] = pager.paged_bytes()
    if counters.session:
        counters.owners = _owners(trainer)
        counters.check()
    turns, untimed = Turns(trainer, steps, counters), len(steps.seconds)
    try:
        with _pressure(pager, config.paging, config.paging_fraction, untimed) as pressure:
            path = "prefetch" if config.paging == "prefetch" else "fault"
            with pager.taking(path) as begin:
                logbook.metrics["train.timed_seconds"] = sum(
                    turns.step(_after(begin, feed), pressure, number) for number in range(count)
                )
    finally:
        for name, values in {"step.chilled_bytes": turns.chilled, **turns.faults.series}.items():
            logbook.keep_series(name, [*[None] * untimed, *values])
        logbook.absent.update(turns.faults.absent)


@dataclass(slots=True)
class Turns:
    """Steps one by one, and what each of them met: bytes that were away, faults and stalls, counts."""

    trainer: Trainer
    steps: Steps
    counters: Counters
    faults: Faults = field(default_factory=Faults)
    chilled: list[float] = field(default_factory=list)

    def step(self, feed: Iterator[Batch], pressure: Pressure, number: int) -> float:
        """Make step `number`, cold or resident; what prepares it is outside every clock. Returns its seconds."""
        away = pressure.cold() if is_cold(number) else 0
        if not is_cold(number):
            pressure.warm()
        self.trainer.device.synchronize()
        self.counters.sent[number] = away
        with self.counters.window(number), self.faults.counted():
            seconds = train(self.trainer, feed, self.steps, 1)
        self.chilled.append(away)
        return seconds


def _after(begin: Callable[[], None], feed: Iterator[Batch]) -> Iterator[Batch]:
    """Yield what `feed` does, after `begin`: batches are taken when the step's clock runs already."""
    begin()
    yield from (batch for batch in feed)  # closing this generator must not close `feed`


@contextmanager
def _pressure(pager: Pager, paging: str, fraction: float, untimed: int) -> Iterator[Pressure]:
    if paging == "ballast":
        from bench.worker.paging.cuda import oversubscribed

        with oversubscribed(pager.paged_bytes(), fraction) as ballast:
            yield ballast
        return
    if paging != "limit":
        yield Chill(pager, fraction)
        return
    if not isinstance(pager, HostPager):
        raise UnsupportedError("a memory limit pages state of the host; on a GPU take paging='prefetch' or 'fault'.")
    if untimed < 2:
        raise BadValueError("paging='limit' needs untimed_steps of 2 or more: they show what memory a step takes.")
    with Confinement() as group:
        yield Squeeze(pager, fraction, group)
