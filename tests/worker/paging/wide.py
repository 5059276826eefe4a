"""A model that is all weights: large optimiser state, almost no arithmetic; and a whole paged training of it."""

from __future__ import annotations

import json
import sys
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from bench.schema.config import configure
from bench.worker.batches import Batch
from bench.worker.devices.cpu import Cpu
from bench.worker.logbook import Logbook
from bench.worker.loop import Steps, Trainer, train
from bench.worker.paging import steps as paged
from bench.worker.paging.counted import Counters
from bench.worker.paging.steps import paged_steps

VALUES = 8_000_000
STATE = 2 * 4 * VALUES


class Wide(torch.nn.Module):
    """Loss is the mean of the weights."""

    def __init__(self, values: int = VALUES) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(values))

    def forward(self, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(loss=self.weight.mean())


def batch() -> Batch:
    ids = torch.ones(1, 2, dtype=torch.long)
    return Batch(ids, ids, ids, all=2, real=2, trained=1)


def made(folder: Path, values: int = VALUES, count: int = 8, **settings: Any) -> tuple[Logbook, Steps, Trainer]:
    """Train: two untimed steps, then `count` under pressure; returns what was written down."""
    common = {"model": "wide", "method": "full", "task": "addition", "optimizer": "mapped_adamw", "untimed_steps": 2}
    config = configure(**{**common, "steps": 2 + count, **settings})
    logbook = Logbook(config, folder / "phase")
    logbook.device = Cpu()
    trainer, steps, feed = Trainer(Wide(values), config, logbook.device), Steps(), cycle([batch()])
    train(trainer, feed, steps, config.untimed_steps)
    paged_steps(logbook, trainer, feed, steps, count, Counters())
    for name, kept in (steps.on_host() | steps.on_device()).items():
        logbook.keep_series(name, kept)
    return logbook, steps, trainer


def observed(folder: Path, **settings: Any) -> dict[str, Any]:
    """Train as `made` does, and see after every timed step how much of the state is in memory."""
    left: list[int] = []
    real = paged.train

    def noting(trainer: Trainer, *rest: Any) -> float:
        seconds = real(trainer, *rest)
        left.append(paged.HostPager(trainer.optimizer.paged_ranges()).resident_bytes())
        return seconds

    paged.train = noting
    logbook, _, _ = made(folder, **settings)
    return {**logbook.series, "left": left}


if __name__ == "__main__":
    json.dump(observed(Path(sys.argv[1]), **json.loads(sys.argv[2])), sys.stdout)
