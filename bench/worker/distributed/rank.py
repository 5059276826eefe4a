"""One process of a run that several share: it loads, spreads, trains, and leaves a record of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from torch import distributed
from torch._C._distributed_c10d import FileStore

from bench.schema import RunConfig, Status
from bench.schema.codec import decode_config
from bench.schema.metrics.distributed import COLLECTIVES
from bench.worker.batches import Batch
from bench.worker.build import begin, build
from bench.worker.distributed import Place
from bench.worker.distributed.exposed import exposed_seconds
from bench.worker.distributed.strategies import STRATEGIES, place_of
from bench.worker.distributed.traffic import EXPANDING, Traffic
from bench.worker.inspection import followed, note_attribution
from bench.worker.logbook import Logbook
from bench.worker.loop import Trainer
from bench.worker.main import leave, recorded
from bench.worker.paging.counted import Counters
from bench.worker.probes import metered
from bench.worker.training import feeding, make_steps

LONGEST_SILENCE_S = 600.0
"""For how long a process waits for another in a collective; torch's own default for NCCL is ten minutes too."""


def main(rank: int, folder: str, world: int, cards: tuple[str, ...]) -> None:
    """Do the part of process `rank` of `world`; `cards` are the GPUs of each process."""
    place = Place(rank, world, Path(folder))
    place.own_folder.mkdir()
    if cards:
        os.environ["CUDA_VISIBLE_DEVICES"] = cards[rank]  # every process calls its own, or its first, cuda:0
    else:
        torch.set_num_threads(max(1, torch.get_num_threads() // world))
    config = decode_config((place.folder / "config.json").read_bytes())
    logbook = Logbook(config, (place.own_folder if rank else place.folder) / "phase")
    record = recorded(logbook, partial(train, place))
    leave(record, place.own_folder)
    if record.status is not Status.OK:
        sys.exit(1)


def train(place: Place, logbook: Logbook) -> None:
    """Load and train as the config says, together with the other processes."""
    config = logbook.config
    named = begin(logbook)
    spread, kind = STRATEGIES[str(config.study_options["strategy"])]
    with group(place, config, logbook.device.torch_name):
        built = build(logbook, named, place_of(named.method, config))
        with logbook.phase("spread"):
            model = spread(built.model, config, logbook.device)
        feed = (batch.part(place.rank, place.world) for batch in feeding(logbook, built.encoder, built.training))
        with logbook.phase("train"), each_card(logbook):
            trainer, _ = make_steps(logbook, model, feed, Counters(), kind)
        _look_inside(logbook, trainer, feed)


@contextmanager
def each_card(logbook: Logbook) -> Iterator[None]:
    """Keep the peak of every card within the block, where one process has several."""
    count = torch.cuda.device_count() if logbook.device.torch_name != "cpu" else 1
    if count == 1:
        yield
        return
    for card in range(count):
        torch.cuda.reset_peak_memory_stats(card)
    yield
    logbook.keep_series("rank.train.peak_allocated", list(map(torch.cuda.max_memory_allocated, range(count))))


@contextmanager
def group(place: Place, config: RunConfig, device: str) -> Iterator[None]:
    """Meet the other processes of this machine by a file in the run's folder, and part from them in the end."""
    if place.world == 1:
        yield
        return
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # they are all here, whatever this machine's name means
    on_cpu = device == "cpu"
    distributed.init_process_group(
        "gloo" if on_cpu else "nccl",
        store=FileStore(str(place.folder / "meeting"), place.world),
        rank=place.rank,
        world_size=place.world,
        timeout=timedelta(seconds=min(LONGEST_SILENCE_S, config.timeout_s / 2)),
        device_id=None if on_cpu else torch.device(device),
    )
    yield
    distributed.destroy_process_group()


def _look_inside(logbook: Logbook, trainer: Trainer, feed: Iterator[Batch]) -> None:
    """Count what this process hands to collectives, follow its memory, and on a GPU profile: a step each, none timed.

    All processes make the same steps.
    """
    logbook.enter("look inside")
    micro_batches = list(islice(feed, trainer.config.gradient_accumulation_steps))
    with Traffic() as traffic:
        trainer.step(micro_batches)
    for name in COLLECTIVES:
        logbook.metrics[f"distributed.{name}_bytes"] = traffic.bytes[name]
    logbook.metrics["distributed.bytes"] = traffic.bytes.total()
    logbook.metrics["distributed.calls"] = traffic.calls.total()
    logbook.metrics["distributed.quantizations"] = traffic.kernels["quantize_4bit"]
    logbook.metrics["distributed.expansions"] = sum(traffic.kernels[name] for name in EXPANDING)
    with metered(logbook.device.meters().phase) as window:
        found = followed(logbook.device, trainer, micro_batches)
    note_attribution(logbook, found, window.values)
    if logbook.device.torch_name != "cpu":
        logbook.metrics["distributed.exposed_seconds"] = exposed_seconds(partial(trainer.step, micro_batches))
