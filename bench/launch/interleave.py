"""Two environments in turns: old, new, new, old; so that whatever drifts meets both alike."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from msgspec.structs import replace

from bench import store
from bench.analysis.disturbance import influences
from bench.launch.plan import duration
from bench.launch.sweep import Runs
from bench.schema import RunConfig, RunRecord
from bench.schema.pairing import Stage, Turn

Side = Literal["old", "new"]
SIDES: tuple[Side, Side] = ("old", "new")
MOST_TRIES = 3
"""How often a pair is made that something else disturbs."""

QUIET_STUDIES = ("numerics",)
"""Studies of which nothing noisy is judged."""

Told = Callable[[str], None]
"""Takes a line about what happens."""


class Processes(Runs, Protocol):
    """What runs configs in processes, such as `launch.process.Launcher`."""

    def close(self) -> None:
        """Let the process go from which runs are forked; the next run gets a new one."""
        ...


def is_noisy(config: RunConfig) -> bool:
    """Tell whether numbers of a config's runs differ by chance."""
    return config.study not in QUIET_STUDIES


class Step(NamedTuple):
    """One run of a comparison."""

    config: RunConfig
    side: Side
    stage: Stage
    number: int

    @property
    def pair(self) -> tuple[str, Stage, int]:
        """What both runs of its pair share."""
        return self.config.case, self.stage, self.number


def steps(configs: Sequence[RunConfig], numbers: range, stage: Stage, chance: random.Random) -> Iterator[Step]:
    """Yield the runs of the pairs `numbers` of every case, each pair's number being its seed.

    Two pairs of a case at a time: old, new, new, old, or the other way round, by chance. Then the next case's two, and
    when all cases have had theirs, the next two pairs.
    """
    for first in range(numbers.start, numbers.stop, 2):
        pairs = range(first, min(first + 2, numbers.stop))
        for config in configs:
            order = list(SIDES)
            chance.shuffle(order)
            for number in pairs:
                yield from (Step(config.but(seed=number), side, stage, number) for side in order)
                order.reverse()


@dataclass(slots=True)
class _Pair:
    """A pair that was tried: whether it is whole, whether nothing disturbed it, and how often it was tried."""

    whole: bool = False
    quiet: bool = False
    tries: int = 0


@dataclass(slots=True)
class Interleaver:
    """Runs steps, each in its side's environment, and keeps their records below a folder for each side.

    What is noisy never shares the process it is forked from with another run: where things lie in its memory is chance,
    and would stay with one side as if its version had made it so.

    Half a pair that an earlier attempt left is made anew, as a whole: its halves would be far apart. So is a pair that
    something else disturbed, three times at most. `tested` says of each side what is compared.
    """

    roots: Mapping[Side, Path]
    runs: Mapping[Side, Processes]
    comparison: str
    under_test: Sequence[str]
    told: Told
    tested: Mapping[Side, str] = field(default_factory=dict)
    attempt: int = field(init=False, default=0)
    _position: int = field(init=False, default=0)
    _pairs: dict[tuple[str, Stage, int], _Pair] = field(init=False, default_factory=dict)
    _seconds: dict[str, list[float]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._look()

    def missing(self, wanted: Sequence[Step]) -> list[Step]:
        """Return the steps whose pair is not whole yet, or was disturbed and not tried often enough."""
        return [step for step in wanted if not self._is_done(self._pairs.get(step.pair, _Pair()))]

    @staticmethod
    def _is_done(pair: _Pair) -> bool:
        return pair.whole and (pair.quiet or pair.tries >= MOST_TRIES)

    def make(self, wanted: Sequence[Step]) -> None:
        """Run the steps that are missing until none is. Raises `StoreError` where a record cannot be written."""
        while todo := self.missing(wanted):
            if self._position == 0:
                for side in SIDES:
                    self._run(Step(todo[0].config, side, Stage.WARM_UP, 0), "warming up")
            else:
                self.attempt += 1
            for place, step in enumerate(todo):
                self._run(step, f"{place + 1}/{len(todo)}{self._left(todo[place:])}")
            self._look()

    def _look(self) -> None:
        """Find out from the records what was made so far; the next attempt has a number of its own."""
        halves: dict[tuple[str, int, Stage, int], dict[Side, RunRecord]] = {}
        for side in SIDES:
            for run in records(self.roots[side]):
                turn = Turn.of(run.record.environment)
                if turn and turn.comparison == self.comparison:
                    self.attempt = max(self.attempt, turn.attempt + (self._position == 0))
                    halves.setdefault((run.record.case, turn.attempt, turn.stage, turn.number), {})[side] = run.record
        self._pairs = {}
        for (case, _, stage, number), made in sorted(halves.items(), key=lambda half: half[0][1]):
            pair = self._pairs.setdefault((case, stage, number), _Pair())
            pair.tries += 1
            if len(made) == len(SIDES):
                pair.whole, pair.quiet = True, not any(map(influences, made.values()))

    def _run(self, step: Step, words: str) -> None:
        begun = time.monotonic()
        if is_noisy(step.config):
            self.runs[step.side].close()
        record = self.runs[step.side].run(step.config)
        if is_noisy(step.config):
            self.runs[step.side].close()
        turn = Turn(
            comparison=self.comparison, attempt=self.attempt, stage=step.stage, number=step.number,
            position=self._position, under_test=",".join(self.under_test), tested=self.tested.get(step.side, ""),
        )  # fmt: skip
        store.save(replace(record, environment={**record.environment, **turn.facts()}), self.roots[step.side])
        self._position += 1
        if step.stage is not Stage.WARM_UP:  # for which files were read from the disk
            self._seconds.setdefault(step.config.case, []).append(time.monotonic() - begun)
        self.told(f"{words} {step.side} {step.config.case} {step.stage} {step.number}: {_ending(record)}")

    def _left(self, todo: Sequence[Step]) -> str:
        """Say how long the rest should take, once a run of this attempt tells."""
        means = {case: sum(seconds) / len(seconds) for case, seconds in self._seconds.items()}
        if not means:
            return ""
        usual = sum(means.values()) / len(means)
        return f", {duration(sum(means.get(step.config.case, usual) for step in todo))} left"


def records(root: Path) -> list[store.Stored]:
    """Return the records of a side; none where it has no folder yet."""
    return store.read(root)[0] if root.is_dir() else []


def _ending(record: RunRecord) -> str:
    return f"{record.status}: {record.failure.message}" if record.failure else record.status.value
