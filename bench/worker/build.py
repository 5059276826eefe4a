"""What every study of a model starts from: tokenizer, weights, method and examples, on the device."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from bench import cache
from bench.schema import RunConfig
from bench.schema.catalogue import DEVICES, METHODS, find, load
from bench.worker import models, resolved
from bench.worker.batches import cut
from bench.worker.devices import Device
from bench.worker.encoding import Encoder
from bench.worker.evaluate import Evaluation, evaluate
from bench.worker.limits import limit_memory
from bench.worker.logbook import Logbook
from bench.worker.methods import Method
from bench.worker.rows import origin
from bench.worker.tasks import Example, Task, open_task


@dataclass(slots=True)
class Built:
    """A model that is ready to train, with what it is to learn; `test` is empty where nothing is to be scored."""

    method: Method
    task: Task
    device: Device
    encoder: Encoder
    model: Any
    test: list[Example]
    training: list[Example]
    evaluate_batch_size: int

    def judge(self, some: Sequence[Example] | None = None, model: Any = None) -> Evaluation:
        """Let the model, or another one, answer test examples; all if none are given. It is left in training mode."""
        asked = self.test if some is None else some
        answering = self.model if model is None else model
        return evaluate(answering, self.encoder, self.task, asked, self.evaluate_batch_size, self.device)


class Named(NamedTuple):
    """What a config names, imported and found: its method and task, the fetched model and transformers' class."""

    method: Method
    task: Task
    manifest: cache.Manifest
    kind: Any


def begin(logbook: Logbook) -> Named:
    """Import what the config names, then take its device for the logbook; see `take_device`.

    Raises `NotFetchedError` for a model that is not on this machine.
    """
    config = logbook.config
    method: Method = load(find("method", METHODS, config.method))
    task = open_task(config.task)
    manifest = cache.manifest(config.model)
    named = Named(method, task, manifest, models.fetched_class(manifest))
    take_device(logbook)
    return named


def take_device(logbook: Logbook) -> None:
    """Limit the process as the config says, choose the device and seed every generator; imports end here."""
    config = logbook.config
    limit_memory(config.memory_limit)
    logbook.metrics["start.import_seconds"] = _seconds_since_process_start()
    logbook.device = load(find("device", DEVICES, config.device.partition(":")[0]))()
    seed_everything(config.seed)


def build(logbook: Logbook, named: Named, place: str = "") -> Built:
    """Load and wrap the model as one phase, and keep what was really built; `place` as in `open_prepared`.

    Raises `NotFetchedError` for data that are not on this machine, `UnsupportedError` for what the method refuses.
    """
    config, device = logbook.config, logbook.device
    method, task, manifest = named.method, named.task, named.manifest
    with logbook.phase("load"):
        tokenizer, processor = models.open_tokenizer(manifest), models.open_processor(manifest)
        encoder = Encoder(tokenizer, chat=task.chat, processor=processor)
        model = open_prepared(named, config, device, place)
        test, training = _examples(task, config)
        if method.begin:
            sequences, _ = cut([encoder.whole(example) for example in training], config.sequence_length)
            method.begin(model, sequences, config)
    logbook.resolve({**models.facts(manifest), **resolved.settings(model), **_data_facts(task)})
    if test:
        logbook.resolve(task.facts())
    logbook.metrics.update(resolved.counts(model))
    return Built(method, task, device, encoder, model, test, training, config.evaluate_batch_size)


def open_prepared(named: Named, config: RunConfig, device: Device, place: str = "") -> Any:
    """Load the weights onto the device and make them ready for the method. Raises `UnsupportedError`.

    Another `place` is the host ("cpu"), where they stay in their file's mapping so that no device needs room for the
    whole, or every card.
    """
    weights, quantization = models.stored_weights(named.manifest), named.method.quantization(config)
    loaded = models.open_model(
        named.kind, weights, config, quantization, place or device.torch_name, mapped=place == "cpu"
    )
    return named.method.prepare(loaded, config)


def seed_everything(seed: int) -> None:
    """Seed Python's, torch's and every device's generator."""
    random.seed(seed)
    torch.manual_seed(seed)


def _seconds_since_process_start() -> float:
    """Return how long this process has lived, on Linux to a hundredth of a second; else since Python started."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])  # man proc_pid_stat, starttime
    except OSError:
        return time.process_time()
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))


def _examples(task: Task, config: RunConfig) -> tuple[list[Example], list[Example]]:
    """Return test and training examples. The test set is read only when it is to be scored."""
    test = task.test(config.evaluate_items) if config.evaluate_items else []
    return test, task.train(config.seed, config.train_examples)


def _data_facts(task: Task) -> dict[str, str | int]:
    sources = {f"data.{s.name}/{s.config}/{s.split}": origin(s) for s in task.data_sets}
    return {"task.version": task.version, **sources}
