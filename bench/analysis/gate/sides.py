"""Two sides of records, case by case: which runs belong together, and how."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.analysis.values import value
from bench.schema import Kind, RunRecord, Status
from bench.schema.pairing import Stage, Turn
from bench.store import Stored


@dataclass(frozen=True, slots=True)
class Pair:
    """A run of each side with the same seed and data order; `stage` is None where they were not made in turns."""

    old: Stored
    new: Stored
    stage: Stage | None = None

    @property
    def records(self) -> tuple[RunRecord, RunRecord]:
        """The records, the old side's first."""
        return self.old.record, self.new.record

    @property
    def ends(self) -> tuple[Status, Status]:
        """How both runs ended, the old side's first."""
        return self.old.record.status, self.new.record.status

    @property
    def went_well(self) -> bool:
        """Whether both did."""
        return self.ends == (Status.OK, Status.OK)

    def numbers(self, metric: str) -> tuple[float, float] | None:
        """Return a metric of both runs; None where one lacks it or did not go well."""
        old, new = (value(record, metric) for record in self.records)
        return (old, new) if self.went_well and old is not None and new is not None else None


@dataclass(frozen=True)
class Twin:
    """One case on both sides. A side without runs is empty."""

    case: str
    device: str
    olds: tuple[Stored, ...]
    news: tuple[Stored, ...]

    @property
    def asked(self) -> str:
        """Say what the case's study was set to; see `RunConfig.asked`."""
        return (*self.news, *self.olds)[0].record.config.asked

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Runs in turns as they were paired; else the newest run of every seed that both sides have."""
        return _in_turns(self.olds, self.news) or _by_seed(self.olds, self.news)

    @cached_property
    def in_turns(self) -> bool:
        """Tell whether the pairs were made in turns, so that what drifts meets both sides alike."""
        return any(pair.stage for pair in self.pairs)

    def numbers(self, metric: str) -> list[tuple[float, float]]:
        """Return a metric of every pair that went well and holds it."""
        return [numbers for pair in self.pairs if (numbers := pair.numbers(metric)) is not None]

    def holders(self, metric: str) -> tuple[bool, bool]:
        """Tell of each side whether a run of it that went well holds a metric, whether it is in a pair or not."""
        old, new = (any(went_well(run) and value(run.record, metric) is not None for run in side)
                    for side in (self.olds, self.news))  # fmt: skip
        return old, new


def went_well(run: Stored) -> bool:
    """Tell whether a run did."""
    return run.record.status is Status.OK


def twins(old: Iterable[Stored], new: Iterable[Stored], *, across_devices: bool = False) -> list[Twin]:
    """Bring the cases of two sides together, the old side's order first; warm-ups are left out.

    Cases meet by name and device; `across_devices` by name alone, where each side is of one device.
    What was predicted, published or made up is not compared.
    """
    sides: tuple[dict[tuple[str, str], list[Stored]], ...] = (defaultdict(list), defaultdict(list))
    for side, runs in zip(sides, (old, new), strict=True):
        for run in sorted(runs, key=lambda run: (run.record.started, run.run)):
            if is_compared(run.record) and not _is_warm_up(run.record):
                side[run.record.case, "" if across_devices else run.record.device].append(run)
    keys = dict.fromkeys([*sides[0], *sides[1]])
    return [_twin(case, device, *(side.get((case, device), []) for side in sides)) for case, device in keys]


def is_compared(record: RunRecord) -> bool:
    """Tell whether a record is of a kind that is compared: measured."""
    return record.kind is Kind.MEASURED


def _twin(case: str, device: str, olds: Sequence[Stored], news: Sequence[Stored]) -> Twin:
    devices = dict.fromkeys(run.record.device for run in (*olds, *news))
    return Twin(case, device or " and ".join(devices), tuple(olds), tuple(news))


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
    sides = [{run.record.config.seed: run for run in sorted(side, key=went_well)} for side in (olds, news)]
    return tuple(Pair(sides[0][seed], sides[1][seed]) for seed in sorted(sides[0].keys() & sides[1].keys()))
