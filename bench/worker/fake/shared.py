"""The part of one process of several, where the others are there in name only: torch's own fake backend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from torch import distributed

from bench.errors import UnsupportedError
from bench.schema import RunConfig
from bench.schema.studies import SHARED, devices
from bench.worker.distributed.strategies import STRATEGIES, Spread, alone, place_of
from bench.worker.loop import Trainer
from bench.worker.methods import Method
from bench.worker.training import MakeTrainer

SIMULATED = ("one", "fsdp2")
"""Ways of sharing that are simulated. A replica holds what one device does and its buckets; DDP's reducer needs values
(the order of its buckets, a GPU's timer), and so does DeepSpeed's engine."""


class Share(NamedTuple):
    """How many processes there are, how the model is spread over them, who steps it, and where it is loaded."""

    world: int = 1
    spread: Spread = alone
    trainer: MakeTrainer = Trainer
    place: str = ""


def share_of(config: RunConfig, method: Method) -> Share:
    """Return how a config's work is shared. Raises `UnsupportedError` for a way that is not simulated."""
    if config.study != SHARED:
        return Share()
    strategy = str(config.study_options["strategy"])
    if strategy not in SIMULATED:
        raise UnsupportedError(f"strategy={strategy!r} is not simulated, of ways to share work {SIMULATED[-1]!r} is.")
    return Share(devices(config.study_options), *STRATEGIES[strategy], place_of(method, config))


@contextmanager
def pretended(world: int) -> Iterator[None]:
    """Let this process be the first of `world`; what it exchanges goes nowhere."""
    if world == 1:
        yield
        return
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed.init_process_group("fake", rank=0, world_size=world, store=FakeStore())
    try:
        yield
    finally:
        distributed.destroy_process_group()
