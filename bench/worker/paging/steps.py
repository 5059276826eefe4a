"""Timed steps that find their optimiser state away or in place, in turns: cold, resident, resident, cold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from bench.analysis.stall import is_cold
from bench.worker.batches import Batch
from bench.worker.logbook import Logbook
from bench.worker.loop import Steps, Trainer, train
from bench.worker.paging import attribution, cliff
from bench.worker.paging.away import Pager, Pressure, kept_away
from bench.worker.paging.counted import Counters
from bench.worker.paging.faults import Faults
from bench.worker.paging.host import HostPager
from bench.worker.paging.mapped import MappedAdamW


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
    if trainer.device.torch_name.startswith("cuda"):
        from bench.worker.paging.cuda import refuse_beside

        refuse_beside(pager.paged_bytes(), torch.cuda.max_memory_reserved())
    if config.paging == "ballast" and pager.paged_bytes():
        room = int(pager.paged_bytes() / (1 + config.paging_fraction))
        logbook.metrics["paging.predicted_bytes_in"] = cliff.predict(pager.sizes(), room)[-1].htod
    if counters.session:
        counters.owners = _owners(trainer)
        counters.check()
    turns, untimed = Turns(trainer, steps, counters), len(steps.seconds)
    try:
        with kept_away(pager, config.paging, config.paging_fraction, untimed) as pressure:
            path = "fault" if config.paging in ("fault", "limit") else "prefetch"
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
