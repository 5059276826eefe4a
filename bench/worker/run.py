"""One run, the whole story: load, evaluate, train, evaluate, save."""

from __future__ import annotations

import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from bench import cache
from bench.schema import RunConfig
from bench.schema.catalogue import DEVICES, METHODS, TASKS, find, load
from bench.worker import models, resolved
from bench.worker.batches import Encoder, batches, cut
from bench.worker.devices import Device
from bench.worker.evaluate import Evaluation, evaluate
from bench.worker.logbook import Logbook
from bench.worker.loop import Steps, Trainer, train
from bench.worker.methods import Method
from bench.worker.rows import origin
from bench.worker.tasks import Example, Task


def run(logbook: Logbook) -> None:
    """Do what the logbook's config says and write everything down; raises whatever goes wrong."""
    config = logbook.config
    method: Method = load(find("method", METHODS, config.method))
    task: Task = load(find("task", TASKS, config.task))
    manifest = cache.manifest(config.model)
    kind = models.model_class(manifest)
    device: Device = load(find("device", DEVICES, config.device.partition(":")[0]))()
    logbook.device = device
    logbook.metrics["start.import_seconds"] = _seconds_since_process_start()
    logbook.environment.update(device.facts())
    seed_everything(config.seed)

    with logbook.phase("load"):
        tokenizer = models.open_tokenizer(manifest)
        loaded = models.open_model(manifest, kind, config, method.quantization(config), device.torch_name)
        model = method.prepare(loaded, config)
        test, training = _examples(task, config)
    logbook.resolve({**models.facts(manifest), **resolved.settings(model), **_data_facts(task)})
    logbook.metrics.update(resolved.counts(model))

    def judge() -> Evaluation:
        return evaluate(model, tokenizer, task, test, config.evaluate_batch_size, device)

    if test:
        with logbook.phase("evaluate"):
            _note_evaluation(logbook, judge(), "before", "evaluate.before.")
    with logbook.phase("train"):
        _train(logbook, model, tokenizer, task, training)
    if test:
        with logbook.phase("evaluate"):
            _note_evaluation(logbook, judge(), "after", "evaluate.")
        logbook.metrics["data.contaminated"] = _seen(test, training)
    if method.saves_adapter:
        with logbook.phase("save"):
            logbook.metrics["save.adapter_bytes"] = _saved_bytes(model)
    else:
        logbook.absent["save.adapter_bytes"] = "what is kept is the whole model, not an adapter."


def seed_everything(seed: int) -> None:
    """Seed Python's, torch's and every device's generator."""
    random.seed(seed)
    torch.manual_seed(seed)


def _examples(task: Task, config: RunConfig) -> tuple[list[Example], list[Example]]:
    """Return test and training examples. The test set is read only when it is to be scored."""
    test = task.test(config.evaluate_items) if config.evaluate_items else []
    return test, task.train(config.seed, config.train_examples)


def _train(logbook: Logbook, model: Any, tokenizer: Any, task: Task, examples: list[Example]) -> None:
    """Train, with the memory of one untimed step counted on the way, and keep the raw series even if it fails."""
    config, device = logbook.config, logbook.device
    assert device is not None
    encoder = Encoder(tokenizer, chat=task.chat)
    sequences, logbook.metrics["data.truncated"] = cut([encoder.whole(e) for e in examples], config.sequence_length)
    feed = batches(sequences, config, tokenizer.pad_token_id)
    trainer = Trainer(model, config, device)
    logbook.resolve({"optimizer.class": f"{type(trainer.optimizer).__module__}.{type(trainer.optimizer).__name__}"})
    steps = Steps()
    settling = min(config.untimed_steps, config.steps)
    try:
        train(trainer, feed, steps, max(0, settling - 1))
        if settling:
            with device.count_allocations() as counted:
                held = resolved.live_bytes(model, trainer.optimizer)
                train(trainer, feed, steps, 1)
            _note_allocations(logbook, held, counted.peak)
        train(trainer, feed, steps, config.steps - settling)
    finally:
        for name, values in steps.series().items():
            logbook.keep_series(name, values)


def _note_allocations(logbook: Logbook, held: int, added: int | None) -> None:
    """Keep the peak of a counted step, where it stands for every step."""
    if added is None:
        return  # the device's own peaks cover the phase
    if logbook.config.untimed_steps < 2:
        logbook.absent["train.peak_allocated"] = "needs two untimed steps: optimiser state exists from the second on."
    elif not logbook.config.packing:
        logbook.absent["train.peak_allocated"] = "shapes vary between steps."
    else:
        logbook.metrics["train.peak_allocated"] = held + added


def _note_evaluation(logbook: Logbook, done: Evaluation, when: str, prefix: str) -> None:
    logbook.items[when] = done.verdicts
    logbook.keep_series(f"{prefix}batch_seconds", done.seconds)
    logbook.keep_series(f"{prefix}batch_tokens", done.tokens)


def _seen(test: list[Example], training: list[Example]) -> int:
    """Count the test items whose prompt is a training prompt too."""
    known = {example.prompt for example in training}
    return sum(example.prompt in known for example in test)


def _data_facts(task: Task) -> dict[str, str | int]:
    sources = {f"data.{s.name}/{s.config}/{s.split}": origin(s) for s in task.data_sets}
    return {"task.version": task.version, **sources}


def _saved_bytes(model: Any) -> int:
    """Save the adapter as peft does and return the bytes of its weights."""
    with tempfile.TemporaryDirectory(prefix="ftbench-adapter-") as folder:
        model.save_pretrained(folder, safe_serialization=True)
        return sum(path.stat().st_size for path in Path(folder).rglob("*.safetensors"))


def _seconds_since_process_start() -> float:
    """Return how long this process has lived, on Linux to a hundredth of a second; else since Python started."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])  # man proc_pid_stat, starttime
    except OSError:
        return time.process_time()
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
