"""The largest batch that fits, from two simulations of one run that differ by batch size alone.

What an operation takes grows with the batch in a straight line: tensors have a batch dimension or none. So
two simulations tell every allocation at every batch size, and the allocator does the rest. Where the two did
not do the same things in the same order, no such line exists and nothing is said. A single sequence does other
things than several, for a dimension of 1 needs no copies: it is not on the line.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.worker.fake.fit import replay
from bench.worker.fake.heap import Event

CEILING = 4096
"""The largest batch that is looked for."""


Sizes = Mapping[int, int]
"""Bytes of every block taken, by its key."""


def scaled(events: Sequence[Event], others: Sizes, batch: int, other: int, wanted: int) -> list[Event]:
    """Return the events of a run at the batch size `wanted`.

    `events` are those at `batch`; `others` are the sizes of the same blocks at the batch size `other`.
    """
    made = []
    for event in events:
        if event.what == "take" and others[event.key] != event.value:
            slope = (others[event.key] - event.value) / (other - batch)
            made.append(event._replace(value=max(0, round(event.value + slope * (wanted - batch)))))
        else:
            made.append(event)
    return made


def largest_batch(events: Sequence[Event], others: Sizes, batch: int, other: int, capacity: int) -> tuple[int, bool]:
    """Return the largest batch size that fits into `capacity` bytes, 0 for none, and whether it is the search's end.

    What fits is taken to grow with memory: a smaller batch than one that fits fits too.
    """

    def too_large(wanted: int) -> bool:
        return replay(scaled(events, others, batch, other, wanted), capacity).refused is not None

    found = bisect_left(range(1, CEILING + 1), True, key=too_large)
    return found, found == CEILING


def same_blocks(events: Sequence[Event], others: Sequence[Event]) -> Sizes | None:
    """Return the sizes of the blocks of `others`, None if those are not the blocks of `events` in the same order.

    When blocks are released is not compared: the collector of garbage has moments of its own.
    """
    ours, theirs = ([event for event in run if event.what == "take"] for run in (events, others))
    same = [(event.key, event.during) for event in ours] == [(event.key, event.during) for event in theirs]
    return {event.key: event.value for event in theirs} if same else None


class Twin:
    """Another simulation of the same run, in a process of its own beside this one; it costs no time where two fit.

    `work` simulates and returns the events. The twin shares what is imported, and nothing it does comes back
    but what it writes into `file`.
    """

    def __init__(self, work: Callable[[], Sequence[Event]], file: Path) -> None:
        self._file = file
        self._process = os.fork()
        if self._process == 0:
            status = 1
            try:
                file.write_text(json.dumps(work()))
                status = 0
            finally:
                os._exit(status)

    def events(self) -> list[Event]:
        """Wait for the twin and return its events; none if it failed."""
        _, status = os.waitpid(self._process, 0)
        if status != 0 or not self._file.is_file():
            return []
        return [Event(*event) for event in json.loads(self._file.read_text())]
