"""Which bytes are what while a step runs: allocations replayed against what is known of their owners. No torch.

A block's category holds for its whole life, from allocation to release. It is the first of
these that applies:

1. its owner's, where a mark at which the block is alive knows what its address belongs to;
2. allocated from `head` on, until `head_done`: logits. What backward allocates there and is
   alive at `head_done` is no logit any more but the gradient that flows on: temporaries;
3. allocated from `forward` on, until `head`, and alive at the next `backward`: activations;
4. anything else the step allocates: temporaries.

What was alive before the step comes with its category.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import NamedTuple

from bench.schema.metrics.memory import CATEGORIES, STAGES
from bench.worker.probes.trace import Block, Change, Mark, Trace

OwnersAt = Mapping[str, Mapping[int, str]]
"""By a mark's name: the category of every address known there."""

OUTLIVING = {"backward": "activations", "head_done": "temporaries"}
"""What blocks are that outlive the forward pass before the head, and the head's backward pass."""


class Shift(NamedTuple):
    """Bytes that a category gained, or lost when `size` is negative."""

    time_ns: int
    category: str
    size: int


@dataclass(frozen=True, slots=True)
class Attribution:
    """A step's memory in bytes. `start` and the first n of `shifts` make what was alive after n of them.

    `peak` is the first of the highest instants, `stage` the one it lies in, `stages` every
    stage's highest total. Without `head_seen`, logits are among activations and temporaries.
    `strays` counts what contradicts the trace: releases of blocks never seen, and addresses
    given out again without a release.
    """

    start: Mapping[str, int]
    shifts: Sequence[Shift]
    peak: Mapping[str, int]
    total: int
    stage: str
    stages: Mapping[str, int]
    head_seen: bool
    strays: int


def replay(before: Iterable[Block], trace: Trace, owners_at: OwnersAt) -> Attribution:
    """Follow `trace` from what was alive `before` to the mark `end`, or to its last change if there is none."""
    blocks = _Blocks()
    start = [blocks.add(block.address, block.size, block.category) for block in before]
    begins = [(0, "forward")]  # how many events there are when a stage begins
    position = 0
    for mark in [*trace.marks, Mark(len(trace.changes), "end")]:
        for change in trace.changes[position : mark.position]:
            blocks.follow(change)
        position = mark.position
        blocks.settle(mark.name, owners_at.get(mark.name, {}))
        if mark.name in STAGES:
            begins.append((len(blocks.events), mark.name))
        if mark.name == "end":
            break
    held = _sums({}, [Shift(0, blocks.categories[number], blocks.sizes[number]) for number in start])
    return _summary(blocks, held, begins, head_seen=any(mark.name == "head" for mark in trace.marks))


def _summary(blocks: _Blocks, start: dict[str, int], begins: list[tuple[int, str]], *, head_seen: bool) -> Attribution:
    """Find the peaks, now that every block's category is final."""
    shifts = [Shift(time, blocks.categories[block], sign * blocks.sizes[block]) for time, block, sign in blocks.events]
    levels = totals(start, shifts)
    highest = levels.index(max(levels))
    stages: dict[str, int] = {}
    for (begin, stage), (stop, _) in pairwise([*begins, (len(shifts), "")]):
        stages[stage] = max(stages.get(stage, 0), *levels[begin : stop + 1])
    return Attribution(
        start=start,
        shifts=shifts,
        peak=_sums(start, shifts[:highest]),
        total=levels[highest],
        stage=next((stage for begin, stage in reversed(begins) if begin < highest), begins[0][1]),
        stages=stages,
        head_seen=head_seen,
        strays=blocks.strays,
    )


def totals(start: Mapping[str, int], shifts: Iterable[Shift]) -> list[int]:
    """Return the bytes alive at the start and after every shift."""
    return list(accumulate((shift.size for shift in shifts), initial=sum(start.values())))


def _sums(start: Mapping[str, int], shifts: Iterable[Shift]) -> dict[str, int]:
    """Return the bytes of every category after `shifts`."""
    level = {category: start.get(category, 0) for category in CATEGORIES}
    for shift in shifts:
        level[shift.category] += shift.size
    return level


@dataclass(slots=True)
class _Blocks:
    """Blocks by number, as they were met; an address is many blocks', one after another."""

    sizes: list[int] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    alive: dict[int, int] = field(default_factory=dict)
    events: list[tuple[int, int, int]] = field(default_factory=list)
    """Time in ns, block, and 1 for its allocation or -1 for its release."""
    part: str = ""
    """What runs: the last mark; backward is split into that of the head and the rest."""
    waiting: list[tuple[int, int]] = field(default_factory=list)
    """Address and number of blocks whose category depends on whether they outlive this part."""
    strays: int = 0

    def add(self, address: int, size: int, category: str) -> int:
        """Let a block live at `address` and return its number."""
        self.alive[address] = len(self.sizes)
        self.sizes.append(size)
        self.categories.append(category)
        return self.alive[address]

    def follow(self, change: Change) -> None:
        """Follow one allocation or release. A release takes what its address holds, whatever size it tells."""
        held = self.alive.pop(change.address, None)
        if held is not None:
            self.events.append((change.time_ns, held, -1))
        self.strays += (held is None) == (change.size < 0)
        if change.size > 0:
            of_head = self.part in {"head", "backward of the head"}
            block = self.add(change.address, change.size, "logits" if of_head else "temporaries")
            self.events.append((change.time_ns, block, 1))
            if self.part in {"forward", "backward of the head"}:
                self.waiting.append((change.address, block))

    def settle(self, mark: str, owners: Mapping[int, str]) -> None:
        """Decide what can be decided at a mark, and begin the next part."""
        if mark in OUTLIVING:
            for address, block in self.waiting:
                if self.alive.get(address) == block:
                    self.categories[block] = OUTLIVING[mark]
        if mark != "head":
            self.waiting.clear()
        for address in owners.keys() & self.alive.keys():
            self.categories[self.alive[address]] = owners[address]
        self.part = "backward of the head" if mark == "backward" and self.part == "head" else mark
