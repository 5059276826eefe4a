"""The phase that trains: settle, then the timed steps as one block, every raw number kept even if it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from bench.schema import RunConfig
from bench.worker.batches import Batch, batches, cut
from bench.worker.devices import Device
from bench.worker.encoding import Encoder
from bench.worker.logbook import Logbook
from bench.worker.loop import Steps, Trainer, keeping_the_first_error, train
from bench.worker.paging.counted import Counters
from bench.worker.paging.cuda import refuse_before
from bench.worker.paging.steps import paged_steps
from bench.worker.probes.owners import tensors_in
from bench.worker.tasks import Example

MakeTrainer = Callable[[Any, RunConfig, Device], Trainer]


def train_all(
    logbook: Logbook, model: Any, encoder: Encoder, examples: list[Example], counters: Counters
) -> tuple[Trainer, Steps]:
    """Make all steps of the config; return the trainer and what its steps were."""
    return make_steps(logbook, model, feeding(logbook, encoder, examples), counters)


def feeding(logbook: Logbook, encoder: Encoder, examples: list[Example]) -> Iterator[Batch]:
    """Return the config's batches, without end, and count what had to be cut."""
    config = logbook.config
    sequences, logbook.metrics["data.truncated"] = cut([encoder.whole(e) for e in examples], config.sequence_length)
    return batches(sequences, config, encoder.pad_id)


def make_steps(
    logbook: Logbook, model: Any, feed: Iterator[Batch], counters: Counters, make: MakeTrainer = Trainer
) -> tuple[Trainer, Steps]:
    """Make all steps of the config on batches of `feed`; return the trainer and what its steps were."""
    config = logbook.config
    if config.protocol.evaluate_first:
        evaluate_first(model, config.protocol.evaluate_first, logbook.device.torch_name)
    trainer = make(model, config, logbook.device)
    logbook.resolve({"optimizer.class": f"{type(trainer.optimizer).__module__}.{type(trainer.optimizer).__name__}"})
    if config.paging != "none" and logbook.device.torch_name.startswith("cuda"):
        refuse_before(config.optimizer, [parameter.numel() for parameter in trainer.parameters])
    steps = Steps()
    settling = min(config.untimed_steps, config.steps)
    try:
        train(trainer, feed, steps, settling)
        if config.steps > settling:
            with logbook.timed():
                _timed_steps(logbook, trainer, feed, steps, counters)
    finally:
        for name, values in steps.on_host().items():
            logbook.keep_series(name, values)
        with keeping_the_first_error():
            for name, values in steps.on_device().items():
                logbook.keep_series(name, values)
    state = tensors_in(trainer.optimizer.state)
    logbook.metrics["paging.state_bytes"] = sum(tensor.nbytes for tensor in state)
    return trainer, steps


def evaluate_first(model: Any, shape: tuple[int, int], device: str) -> None:
    """Make the pass over [sequences, length] that a protocol makes before it trains; what it gives is not looked at."""
    model.eval()
    ids = torch.zeros(shape, dtype=torch.long, device=device)
    with torch.no_grad():
        model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True)
    model.train()


def _timed_steps(logbook: Logbook, trainer: Trainer, feed: Iterator[Batch], steps: Steps, counters: Counters) -> None:
    config = logbook.config
    count = config.steps - min(config.untimed_steps, config.steps)
    if config.paging == "none":
        logbook.metrics["train.timed_seconds"] = train(trainer, feed, steps, count)
    else:
        paged_steps(logbook, trainer, feed, steps, count, counters)
