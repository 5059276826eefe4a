"""Records as the suites write them, with made-up numbers that behave like real ones. For tests only."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bench import store
from bench.schema import Failure, Kind, RunConfig, RunRecord, Status
from bench.schema.config import configure

GIB = 2**30
MEMORY = {"full": 2.3 * GIB, "lora": 0.9 * GIB, "qlora": 0.52 * GIB}
SECONDS = {"full": 1.9, "lora": 1.3, "qlora": 1.75}
RIGHT = {"full": 0.82, "lora": 0.79, "qlora": 0.71}
TRAINABLE = {"full": 134_515_008, "lora": 4_884_480, "qlora": 4_884_480}
ADAPTER = {"lora": 19_560_000, "qlora": 19_560_000}
METHODS = ("full", "lora", "qlora")
STACK = {"torch": "2.13.0", "transformers": "5.24.0", "peft": "0.21.2", "bitsandbytes": "0.50.2"}
RATES = {"full": 2e-5, "lora": 2e-4, "qlora": 2e-4}


def fixed_shape(method: str, **changes: Any) -> RunConfig:
    """A case for speed and memory: packed, no test set."""
    base = {"model": "smollm2-135m", "task": "addition", "packing": True, "steps": 10, "untimed_steps": 2}
    return configure(**{**base, "method": method, **changes})


def learning(method: str, **changes: Any) -> RunConfig:
    """A case for accuracy: padded examples and two hundred test items."""
    base = {"model": "smollm2-135m", "task": "addition", "steps": 60, "evaluate_items": 200, "sequence_length": 64}
    return configure(**{**base, "method": method, "learning_rate": RATES[method], **changes})


def record(config: RunConfig, day: int = 1, kind: Kind = Kind.MEASURED, **changes: Any) -> RunRecord:
    """A complete record of a run that went well, decided by the config and its seed."""
    rng = random.Random(f"{config.case}/{config.seed}")
    tokens = config.batch_size * config.sequence_length
    real = tokens if config.packing else tokens * 2 // 3
    seconds = [SECONDS[config.method] * rng.uniform(0.97, 1.03) * (1.6 if s < 2 else 1) for s in range(config.steps)]
    made = RunRecord(
        config=config,
        kind=kind,
        status=Status.OK,
        device="example-cpu-2-cores",
        started=f"2026-01-{day:02}T10:{config.seed:02}:00Z",
        metrics=_metrics(config, rng),
        absent={"train.peak_reserved": "torch's caching allocator exists on CUDA only"},
        series={
            "step.seconds": tuple(seconds),
            "step.loss": tuple(3.5 * 0.95**s + rng.uniform(0, 0.2) for s in range(config.steps)),
            "step.tokens_all": (tokens,) * config.steps,
            "step.tokens_real": (real,) * config.steps,
            **_batches(config, rng),
        },
        items=_items(config, rng),
        resolved={
            "base.dtype": config.dtype,
            "base.quantization": "nf4, double quantised, 64 to a block" if config.method == "qlora" else "none",
            "optimizer": config.optimizer,
        },
        environment={
            "cpu.model": "Example CPU",
            "cpu.cores": 2,
            "python": "3.12.1",
            **{f"package.{name}": version for name, version in STACK.items()},
        },
    )
    return replace(made, **changes)


def _metrics(config: RunConfig, rng: random.Random) -> dict[str, int | float]:
    trainable, total = TRAINABLE[config.method], 134_515_008 + (0 if config.method == "full" else 4_884_480)
    peak = int(MEMORY[config.method])
    metrics: dict[str, int | float] = {
        "parameters.total": total,
        "parameters.trainable": trainable,
        "parameters.trainable_share": trainable / total,
        "start.import_seconds": rng.uniform(6, 7),
        "harness.seconds": rng.uniform(0.2, 0.4),
    }
    phases = {"load": 0.4, "train": 1.0} | ({"evaluate": 0.6} if config.evaluate_items else {})
    for phase, share in phases.items():
        metrics[f"{phase}.peak_allocated"] = int(peak * share)
        metrics[f"{phase}.peak_resident"] = int(peak * share + 0.6 * GIB * rng.uniform(0.98, 1.02))
        metrics[f"{phase}.seconds"] = rng.uniform(2, 20)
    if config.method in ADAPTER:
        metrics["save.adapter_bytes"] = ADAPTER[config.method]
    return metrics


def _batches(config: RunConfig, rng: random.Random) -> dict[str, tuple[float, ...]]:
    if not config.evaluate_items:
        return {}
    count = -(-config.evaluate_items // config.evaluate_batch_size)
    seconds = {"full": 2.0, "lora": 2.4, "qlora": 3.6}[config.method]
    return {
        "evaluate.batch_seconds": tuple(seconds * rng.uniform(0.95, 1.05) for _ in range(count)),
        "evaluate.batch_tokens": (config.evaluate_batch_size * 3,) * count,
    }


def _items(config: RunConfig, rng: random.Random) -> dict[str, str]:
    if not config.evaluate_items:
        return {}
    hard = random.Random("items")
    difficulty = [hard.random() for _ in range(config.evaluate_items)]
    right = RIGHT[config.method] + rng.uniform(-0.02, 0.02)
    return {
        "before": "".join("01"[d < 0.08] for d in difficulty),
        "after": "".join("01"[d + rng.uniform(-0.05, 0.05) < right] for d in difficulty),
    }


def failed(config: RunConfig, day: int = 1, **changes: Any) -> RunRecord:
    """A run that found no memory while training."""
    failure = Failure(
        phase="train",
        message="not enough memory: you tried to allocate 4294967296 bytes",
        bytes_requested=4 * GIB,
        last_words=("step 1 of 10", "RuntimeError: not enough memory"),
    )
    blank = {"metrics": {"parameters.total": 134_515_008}, "series": {}, "items": {}, "absent": {}}
    return record(config, day, **{"status": Status.OOM, "failure": failure, **blank, **changes})


def everything() -> Iterator[RunRecord]:
    """Full, LoRA and QLoRA with three seeds each, for speed and for learning, and one failed run."""
    for method in METHODS:
        for seed in range(3):
            yield record(fixed_shape(method, seed=seed))
            yield record(learning(method, seed=seed))
    yield failed(fixed_shape("full", batch_size=64))


def filled(root: Path, *records: RunRecord) -> Path:
    """Save records (all of `everything` when none are given) below `root` and return it."""
    root.mkdir(parents=True, exist_ok=True)
    for made in records or everything():
        store.save(made, root)
    return root
