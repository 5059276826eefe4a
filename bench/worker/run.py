"""One run, the whole story: load, evaluate, train, evaluate, save, infer, look inside, merge."""

from __future__ import annotations

import os
import random
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench import cache
from bench.schema import RunConfig
from bench.schema.catalogue import DEVICES, METHODS, TASKS, find, load
from bench.worker import canaries, models, resolved
from bench.worker.evaluate import Evaluation, evaluate
from bench.worker.infer import infer
from bench.worker.inspection import inspect
from bench.worker.limits import limit_memory
from bench.worker.logbook import Logbook
from bench.worker.merge import merge
from bench.worker.methods import Method
from bench.worker.paging.counted import Counters, counting
from bench.worker.rows import origin
from bench.worker.tasks import Example, Task
from bench.worker.training import train_all


def run(logbook: Logbook) -> None:
    """Do what the logbook's config says and write everything down; raises whatever goes wrong."""
    with counting(logbook) as counters:
        _run(logbook, counters)


def _run(logbook: Logbook, counters: Counters) -> None:
    config = logbook.config
    method: Method = load(find("method", METHODS, config.method))
    task: Task = load(find("task", TASKS, config.task))
    manifest = cache.manifest(config.model)
    kind = models.fetched_class(manifest)
    limit_memory(config.memory_limit)
    logbook.metrics["start.import_seconds"] = _seconds_since_process_start()
    device = logbook.device = load(find("device", DEVICES, config.device.partition(":")[0]))()
    canaries.note(logbook, "before")
    seed_everything(config.seed)

    with logbook.phase("load"):
        tokenizer = models.open_tokenizer(manifest)
        weights = models.stored_weights(manifest)
        loaded = models.open_model(kind, weights, config, method.quantization(config), device.torch_name)
        model = method.prepare(loaded, config)
        test, training = _examples(task, config)
    logbook.resolve({**models.facts(manifest), **resolved.settings(model), **_data_facts(task)})
    logbook.metrics.update(resolved.counts(model))

    def judge(some: list[Example] = test) -> Evaluation:
        return evaluate(model, tokenizer, task, some, config.evaluate_batch_size, device)

    if test:
        with logbook.phase("evaluate"):
            _note_evaluation(logbook, judge(), "before", "evaluate.before.")
    with logbook.phase("train"):
        trainer, steps = train_all(logbook, model, tokenizer, task, training, counters)
    if test:
        with logbook.phase("evaluate"):
            _note_evaluation(logbook, judge(), "after", "evaluate.")
        logbook.metrics["data.contaminated"] = _seen(test, training)
    if method.saves_adapter:
        with logbook.phase("save"):
            logbook.metrics["save.adapter_bytes"] = _saved_bytes(model)
    else:
        logbook.absent["save.adapter_bytes"] = "what is kept is the whole model, not an adapter."
    if config.infer_tokens:
        with logbook.phase("infer"):
            infer(logbook, model, tokenizer, task, test or training)
    if config.inspect:
        inspect(logbook, trainer, steps, partial(judge, test[: config.evaluate_batch_size]) if test else None)
    if config.merge:
        merge(logbook, model)
    canaries.note(logbook, "after")


def seed_everything(seed: int) -> None:
    """Seed Python's, torch's and every device's generator."""
    random.seed(seed)
    torch.manual_seed(seed)


def _examples(task: Task, config: RunConfig) -> tuple[list[Example], list[Example]]:
    """Return test and training examples. The test set is read only when it is to be scored."""
    test = task.test(config.evaluate_items) if config.evaluate_items else []
    return test, task.train(config.seed, config.train_examples)


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
