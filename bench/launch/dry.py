"""A made-up worker: deterministic numbers, no torch. It lets the whole chain run in seconds.

Its numbers depend on nothing but the config, and its records are of kind `dry`, which
the store keeps out of results/.
"""

from __future__ import annotations

import random
from pathlib import Path

from msgspec.structs import replace

from bench.analysis.blocks import FEWEST_BLOCKS, ORDER
from bench.analysis.stall import is_cold
from bench.schema import Failure, Kind, RunConfig, RunRecord, Status
from bench.schema.catalogue import STUDIES
from bench.schema.codec import decode_config, encode
from bench.schema.metrics import METRICS
from bench.schema.studies import TRAINING

SECONDS_A_TOKEN = {"full": 4e-3, "lora": 3e-3, "qlora": 3.5e-3}
BYTES = {"full": 2_200_000_000, "lora": 1_000_000_000, "qlora": 600_000_000}
LARGEST_BATCH = 64
MADE_UP = FEWEST_BLOCKS * len(ORDER)
STATE = 1_076_121_152


def preload() -> None:
    """Have imported what a run needs: whoever calls this has."""


def main(folder: str) -> None:
    """Read `config.json` in `folder`, write `record.json`: the same contract as the real worker's."""
    config = decode_config(Path(folder, "config.json").read_bytes())
    Path(folder, "record.json").write_text(encode(record(config)))


def record(config: RunConfig) -> RunRecord:
    """Make up the record of `config`: out of memory above a batch of 64, else plausible numbers."""
    blank = RunRecord(config=config, kind=Kind.DRY, status=Status.OK, device="dry", started="2000-01-01T00:00:00Z")
    if config.batch_size > LARGEST_BATCH:
        failure = Failure(phase="train", message="made up: no memory for this batch", bytes_requested=2**31)
        return replace(blank, status=Status.OOM, failure=failure)
    rng = random.Random(f"{config.case}/{config.seed}")  # noqa: S311 (made-up numbers)
    if config.study != TRAINING:
        metrics, series = _of_study(config.study, rng)
        return replace(blank, metrics=metrics, series=series)
    tokens = config.batch_size * config.gradient_accumulation_steps * config.sequence_length
    seconds = [SECONDS_A_TOKEN.get(config.method, 3e-3) * tokens * rng.uniform(0.98, 1.02) for _ in range(config.steps)]
    losses = [4.0 * 0.97**step + rng.uniform(0, 0.1) for step in range(config.steps)]
    items = "".join(rng.choice("01") for _ in range(config.evaluate_items))
    allocated = BYTES.get(config.method, 10**9) + config.batch_size * config.sequence_length * 1_000_000
    return replace(
        blank,
        metrics={
            "parameters.total": 134_515_008,
            "parameters.trainable": 134_515_008 if config.method == "full" else 4_884_480,
            "train.peak_allocated": allocated,
            "train.peak_resident": allocated + 500_000_000,
            "train.seconds": sum(seconds),
            **({"paging.state_bytes": STATE, "paging.paged_bytes": STATE} if config.paging != "none" else {}),
        },
        series={
            "step.seconds": tuple(seconds),
            "step.loss": tuple(losses),
            "step.tokens_real": (tokens,) * config.steps,
            **_chilled(config),
        },
        items={"before": "0" * len(items), "after": items} if items else {},
        resolved={"base.dtype": config.dtype, "base.quantization": "nf4" if config.method == "qlora" else "none"},
    )


def _of_study(study: str, rng: random.Random) -> tuple[dict[str, float], dict[str, tuple[float, ...]]]:
    """Make up every number that a study writes down, and every raw series that its numbers are read off."""
    found = {name: metric for name, metric in METRICS.items() if name.startswith(STUDIES[study].measures)}
    written = (name for name, metric in found.items() if not metric.raw)
    raw = dict.fromkeys(metric.raw for metric in found.values() if metric.raw and "." in metric.raw)
    return {name: rng.uniform(0.1, 1.0) for name in written}, {
        name: tuple(rng.uniform(0.1, 1.0) for _ in range(MADE_UP)) for name in raw
    }


def _chilled(config: RunConfig) -> dict[str, tuple[int | None, ...]]:
    """Make up what was away before each step, as a paging run notes it."""
    if config.paging == "none":
        return {}
    away = int(config.paging_fraction * STATE)
    timed = (away if is_cold(number) else 0 for number in range(config.steps - config.untimed_steps))
    return {"step.chilled_bytes": (*[None] * config.untimed_steps, *timed)}
