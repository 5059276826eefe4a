"""Two sides of records, case by case: which runs belong together, and how."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.schema import Kind, RunRecord, Status
from bench.schema.pairing import Stage, Turn
from bench.store import Stored


@dataclass(frozen=True, slots=True)
class Pair:
    """A run of each side with the same seed and data order; `stage` is None where they were not made in turns."""

    old: Stored
    new: Stored
    stage: Stage | None = None

    def records(self) -> tuple[RunRecord, RunRecord]:
        """Return the records, the old side's first."""
        return self.old.record, self.new.record


@dataclass(frozen=True)
class Twin:
    """One case on both sides. A side without runs is empty."""

    case: str
    device: str
    olds: tuple[Stored, ...]
    news: tuple[Stored, ...]

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Runs in turns as they were paired; else the newest run of every seed that both sides have."""
        return _in_turns(self.olds, self.news) or _by_seed(self.olds, self.news)

    @cached_property
    def in_turns(self) -> bool:
        """Tell whether the pairs were made in turns, so that what drifts meets both sides alike."""
        return any(pair.stage for pair in self.pairs)

    def of_stage(self, stage: Stage | None) -> tuple[Pair, ...]:
        """Return the pairs of one stage; None for pairs that were not made in turns."""
        return tuple(pair for pair in self.pairs if pair.stage is stage)


def twins(old: Iterable[Stored], new: Iterable[Stored], *, across_devices: bool = False) -> list[Twin]:
    """Bring the cases of two sides together, the old side's order first; warm-ups are left out.

    Cases meet by name and device; `across_devices` by name alone, where each side is of one device.
    Records of predictions and of what others published are not compared.
    """
    sides: tuple[dict[tuple[str, str], list[Stored]], ...] = (defaultdict(list), defaultdict(list))
    for side, runs in zip(sides, (old, new), strict=True):
        for run in sorted(runs, key=lambda run: (run.record.started, run.run)):
            if run.record.kind in (Kind.MEASURED, Kind.DRY) and not _is_warm_up(run.record):
                side[run.record.case, "" if across_devices else run.record.device].append(run)
    keys = dict.fromkeys([*sides[0], *sides[1]])
    return [
        Twin(case, device or _devices(sides[0].get(key, ()), sides[1].get(key, ())),
             tuple(sides[0].get(key, ())), tuple(sides[1].get(key, ())))
        for key in keys for case, device in [key]
    ]  # fmt: skip


def _devices(*sides: Sequence[Stored]) -> str:
    return " and ".join(dict.fromkeys(run.record.device for side in sides for run in side))


def _is_warm_up(record: RunRecord) -> bool:
    turn = Turn.of(record.environment)
    return turn is not None and turn.stage is Stage.WARM_UP


def _in_turns(olds: Sequence[Stored], news: Sequence[Stored]) -> tuple[Pair, ...]:
    by_turn = {turn.pair: run for run in news if (turn := Turn.of(run.record.environment))}
    found: dict[tuple[Stage, int], Pair] = {}  # of a pair made again, the last one stands
    for run in olds:
        turn = Turn.of(run.record.environment)
        if turn and turn.pair in by_turn and by_turn[turn.pair].record.config.seed == run.record.config.seed:
            found[turn.stage, turn.number] = Pair(run, by_turn[turn.pair], turn.stage)
    return tuple(found.values())


def _by_seed(olds: Sequence[Stored], news: Sequence[Stored]) -> tuple[Pair, ...]:
    sides = [{run.record.config.seed: run for run in _well_first(side)} for side in (olds, news)]
    return tuple(Pair(sides[0][seed], sides[1][seed]) for seed in sorted(sides[0].keys() & sides[1].keys()))


def _well_first(runs: Sequence[Stored]) -> list[Stored]:
    """Order runs so that of one seed the newest stands, and one that went well before one that did not."""
    return sorted(runs, key=lambda run: run.record.status is Status.OK)
