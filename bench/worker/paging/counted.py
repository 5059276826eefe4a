"""A run with CUPTI's unified-memory counters attached: what moved, why, and whose it was. Never a headline time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch

from bench.errors import UnsupportedError
from bench.worker.logbook import Logbook
from bench.worker.paging import cupti
from bench.worker.paging.attribution import Range
from bench.worker.paging.canary import count_known_bytes
from bench.worker.paging.driver import DriverRefusalError, open_driver
from bench.worker.paging.recording import Recording
from bench.worker.paging.session import UvmSession
from bench.worker.paging.summary import SERIES, Summary, summarize


@dataclass(slots=True)
class Counters:
    """What a run's steps are counted by; without a session every window is open and nothing is counted.

    `sent` is what was sent away just before each step, by its number; `owners` the paged tensors.
    """

    session: UvmSession | None = None
    sent: dict[int, int] = field(default_factory=dict)
    owners: Sequence[Range] = ()

    def window(self, step: int) -> AbstractContextManager[None]:
        """Count what happens in a step."""
        return self.session.window(step) if self.session else nullcontext()

    def check(self) -> None:
        """Let the counters see a known answer; the context exists by now. Without one they will not be believed."""
        if self.session:
            try:
                count_known_bytes(self.session, open_driver(), 0)
            except DriverRefusalError:
                return


@contextmanager
def counting(logbook: Logbook) -> Iterator[Counters]:
    """Attach the counters where the config asks for them, before the device's context exists.

    Where they cannot be attached the run goes on and the counts are absent, with the reason.
    Raises `UnsupportedError` on a device that has no such counters.
    """
    if not logbook.config.uvm_counters:
        yield Counters()
        return
    if not logbook.config.device.startswith("cuda"):
        raise UnsupportedError("unified-memory counters count on NVIDIA GPUs; leave uvm_counters out here.")
    if not torch.cuda.is_available():
        yield Counters()  # the device says so itself
        return
    torch.cuda.init()  # type: ignore[no-untyped-call]
    try:
        session = UvmSession(cupti.open_mapped(), deadline_seconds=logbook.config.timeout_s)
        session.start()
    except cupti.CountersUnavailableError as refusal:
        logbook.absent.update({f"paging.{name}": str(refusal) for name in (*SERIES, "counters_valid")})
        yield Counters()
        return
    counters = Counters(session)
    try:
        yield counters
    finally:
        capture = session.stop()
    note(logbook, summarize(Recording(capture, counters.sent, tuple(counters.owners))), counters)


def note(logbook: Logbook, found: Summary, counters: Counters) -> None:
    """Keep medians, the series of every step, bytes by tensor in the optimiser's order, and how far to believe them."""
    logbook.metrics.update({f"paging.{name}": value for name, value in found.reading.values.items()})
    logbook.absent.update({f"paging.{name}": reason for name, reason in found.reading.absent.items()})
    logbook.resolve({"paging.verdict": " ".join((f"{found.verdict.level.value}.", *found.verdict.reasons))})
    untimed = logbook.config.untimed_steps
    for name, values in found.series.items():
        logbook.keep_series(name, [None] * untimed + list(values))
    if found.series:
        for direction in ("htod", "dtoh"):
            moved = [found.owners[owner.owner, direction] for owner in counters.owners]
            logbook.keep_series(f"uvm.{direction}_bytes_by_tensor", moved)
        logbook.resolve({"paging.tensors": ", ".join(owner.owner for owner in counters.owners)})
