"""One training run, the whole story: load, evaluate, train, evaluate, save, infer, look inside, merge."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.worker import canaries
from bench.worker.build import Built, begin, build
from bench.worker.evaluate import Evaluation
from bench.worker.infer import infer
from bench.worker.inspection import inspect
from bench.worker.logbook import Logbook
from bench.worker.merge import merge
from bench.worker.paging.counted import Counters, counting
from bench.worker.tasks import Example
from bench.worker.training import train_all

UNFINISHED = {"before": "evaluate.unfinished_before", "after": "evaluate.unfinished"}
"""Where answers that were cut are counted, by the verdicts they belong to."""


def run(logbook: Logbook) -> None:
    """Do what the logbook's config says and write everything down; raises whatever goes wrong."""
    with counting(logbook) as counters:
        _run(logbook, counters)


def _run(logbook: Logbook, counters: Counters) -> None:
    config = logbook.config
    named = begin(logbook)
    canaries.note(logbook, "before")
    built = build(logbook, named)
    if built.test:
        note_evaluation(logbook, built, "before", "evaluate.before.")
    with logbook.phase("train"):
        trainer, steps = train_all(logbook, built.model, built.encoder, built.training, counters)
    if built.test:
        note_evaluation(logbook, built, "after", "evaluate.")
        logbook.metrics["data.contaminated"] = seen(built.test, built.training)
    if built.method.saves_adapter:
        with logbook.phase("save"):
            logbook.metrics["save.adapter_bytes"] = _saved_bytes(built.model)
    else:
        logbook.absent["save.adapter_bytes"] = "what is kept is the whole model, not an adapter."
    if config.infer_tokens:
        with logbook.phase("infer"):
            infer(logbook, built.model, built.encoder, built.test or built.training)
    if config.inspect:
        first = built.test[: config.evaluate_batch_size]
        inspect(logbook, trainer, steps, partial(built.judge, first) if first else None)
    if config.merge:
        merge(logbook, built.model)
    canaries.note(logbook, "after")


def note_evaluation(logbook: Logbook, built: Built, when: str, prefix: str, model: Any = None) -> Evaluation:
    """Score the test items, as one phase, and keep verdicts, seconds and tokens."""
    with logbook.phase("evaluate"):
        done = built.judge(model=model)
        logbook.items[when] = done.verdicts
        logbook.keep_series(f"{prefix}batch_seconds", done.seconds)
        logbook.metrics["evaluate.truncated"] = done.truncated
        if done.unfinished is None:
            logbook.absent.update(dict.fromkeys((*UNFINISHED.values(), "evaluate.tokens_per_second"), done.uncounted))
        else:
            logbook.keep_series(f"{prefix}batch_tokens", done.tokens)
            if when in UNFINISHED:
                logbook.metrics[UNFINISHED[when]] = done.unfinished
    return done


def seen(test: Sequence[Example], training: Sequence[Example]) -> int:
    """Count the test items whose prompt is a training prompt too, letter case and white space aside."""
    known = {_plain(example.prompt) for example in training}
    return sum(_plain(example.prompt) in known for example in test)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _saved_bytes(model: Any) -> int:
    """Save the adapter as peft does and return the bytes of its weights."""
    with tempfile.TemporaryDirectory(prefix="ftbench-adapter-") as folder:
        model.save_pretrained(folder, safe_serialization=True)
        return sum(path.stat().st_size for path in Path(folder).rglob("*.safetensors"))
