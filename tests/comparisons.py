"""Two sides of made-up records, as `ftbench ab` leaves them. For tests only."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bench import store
from bench.analysis.gate.comparison import Side
from bench.schema import RunConfig, RunRecord
from bench.schema.pairing import Stage, Turn
from bench.store import Stored
from tests.records import fixed_shape, record

Change = Callable[[RunRecord], RunRecord]
RANKS = (1, 2, 4, 8, 16, 32)


def cases(count: int = 6) -> list[RunConfig]:
    """Cases for speed and memory that differ by rank."""
    return [fixed_shape("lora", rank=2 ** (place % 8), batch_size=4 + place // 8) for place in range(count)]


def sides(
    configs: Sequence[RunConfig] | None = None,
    change: Change = lambda made: made,
    *,
    pairs: int = 5,
    cv: float = 0.005,
    stages: Iterable[Stage] = (Stage.SCREEN, Stage.CONFIRM),
    chance: int = 1,
    under_test: str = "peft",
    in_turns: bool = True,
) -> tuple[Side, Side]:
    """Return an old and a new side: pairs in turns with timing noise, `change` applied to every run of the new one."""
    rng = random.Random(chance)
    found: tuple[list[Stored], list[Stored]] = ([], [])
    for config in cases() if configs is None else configs:
        for stage_number, stage in enumerate(stages):
            for number in range(stage_number * pairs, (stage_number + 1) * pairs):
                turn = Turn(comparison="c0ffee", attempt=0, stage=stage, number=number, position=number,
                            under_test=under_test)  # fmt: skip
                for side, alter in zip(found, (lambda made: made, change), strict=True):
                    made = alter(slower(record(config.but(seed=number)), math.exp(rng.gauss(0, cv))))
                    facts = {**made.environment, "ftbench.code": "abcdef012345", **(turn.facts() if in_turns else {})}
                    started = f"2026-02-{1 + number:02}T10:00:{len(side) % 60:02}Z"
                    side.append(_stored(replace(made, environment=facts, started=started), len(side)))
    return Side("old", tuple(found[0])), Side("new", tuple(found[1]))


def slower(made: RunRecord, factor: float) -> RunRecord:
    """Return a record whose steps took `factor` times as long."""
    seconds = tuple(float(second or 0) * factor for second in made.series["step.seconds"])
    timed = {"train.timed_seconds": made.metrics["train.timed_seconds"] * factor}
    return replace(made, series={**made.series, "step.seconds": seconds}, metrics={**made.metrics, **timed})


def holding(made: RunRecord, **metrics: Any) -> RunRecord:
    """Return a record with other numbers; names are written with two underscores for the point."""
    return replace(made, metrics={**made.metrics, **{name.replace("__", "."): n for name, n in metrics.items()}})


def on_disk(root: Path, side: Side) -> Path:
    """Write a side's records below `root` and return it."""
    root.mkdir(parents=True, exist_ok=True)
    for run in side.runs:
        store.save(run.record, root)
    return root


def _stored(made: RunRecord, number: int) -> Stored:
    return Stored(Path(f"{made.device}/{made.case}/run-{number:04}.json"), made)
