"""Records as the suites write them, with made-up numbers that behave like real ones. For tests only."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bench import store
from bench.analysis.cases import Case, group
from bench.schema import Failure, Kind, RunConfig, RunRecord, Status
from bench.schema.config import configure
from bench.schema.gpus import by_slug
from bench.schema.metrics.memory import CATEGORIES
from bench.store import Stored

GIB = 2**30
MEMORY = {"full": 2.3 * GIB, "lora": 0.9 * GIB, "qlora": 0.52 * GIB}
SECONDS = {"full": 1.9, "lora": 1.3, "qlora": 1.75}
RIGHT = {"full": 0.82, "lora": 0.79, "qlora": 0.71}
TRAINABLE = {"full": 134_515_008, "lora": 4_884_480, "qlora": 4_884_480}
ADAPTER = {"lora": 19_560_000, "qlora": 19_560_000}
METHODS = ("full", "lora", "qlora")
STACK = {"torch": "2.13.0", "transformers": "5.24.0", "peft": "0.21.2", "bitsandbytes": "0.50.2"}
PARAMETERS = 134_515_008
AT_PEAK = {
    "full": {"base_float32": 538_060_032, "gradients": 538_060_032, "optimizer_state": 1_076_120_064},
    "lora": {
        "base_float32": 538_060_032, "adapters": 19_537_920, "gradients": 19_537_920, "optimizer_state": 39_075_840,
    },
    "qlora": {
        "base_float32": 113_541_120, "base_4bit": 53_084_160, "quantization_state": 1_742_208, "adapters": 19_537_920,
        "gradients": 19_537_920, "optimizer_state": 39_075_840,
    },
}  # fmt: skip
"""Bytes whose size is known; what is left of the peak are activations, logits and temporaries."""
FLOPS_A_TOKEN = {
    "full": 6 * PARAMETERS,
    "lora": 4 * PARAMETERS + 6 * 4_884_480,
    "qlora": 4 * PARAMETERS + 6 * 4_884_480,
}
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
        metrics={**_metrics(config, rng), **_costs(config, seconds)},
        absent={
            "train.peak_reserved": "torch's caching allocator exists on CUDA only",
            "train.energy": "RAPL's counters belong to the administrator; make them readable.",
        },
        series={
            "step.seconds": tuple(seconds),
            "step.loss": tuple(3.5 * 0.95**s + rng.uniform(0, 0.2) for s in range(config.steps)),
            "step.tokens_all": (tokens,) * config.steps,
            "step.tokens_real": (real,) * config.steps,
            "step.tokens_trained": (real - config.batch_size,) * config.steps,
            "step.flops": (tokens * FLOPS_A_TOKEN[config.method],) * config.steps,
            **_batches(config, rng),
        },
        items=_items(config, rng),
        resolved={
            "base.dtype": config.dtype,
            "base.quantization": "nf4, double quantised, 64 to a block" if config.method == "qlora" else "none",
            "optimizer": config.optimizer,
            **({"at_peak.stage": "backward"} if config.inspect else {}),
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
    trainable, total = TRAINABLE[config.method], PARAMETERS + (0 if config.method == "full" else 4_884_480)
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


def _costs(config: RunConfig, seconds: list[float]) -> dict[str, int | float]:
    """What the peak consists of, what the stages took, and how quiet the machine was."""
    rng = random.Random(f"costs of {config.case}/{config.seed}")
    gemm, copy = rng.uniform(3.0e11, 3.1e11), rng.uniform(9e9, 9.2e9)
    timed = sum(seconds[config.untimed_steps :])
    costs: dict[str, int | float] = {
        "train.timed_seconds": timed,
        "canary.gemm_before": gemm,
        "canary.gemm_after": gemm * rng.uniform(0.98, 1.02),
        "canary.copy_before": copy,
        "canary.copy_after": copy * rng.uniform(0.98, 1.02),
        "canary.seconds": rng.uniform(0.6, 0.8),
        "train.neighbour_cores": rng.uniform(0, 0.02),
        "train.stolen_cores": 0.0,
        "train.cpu_stall": timed * rng.uniform(0, 0.01),
        "train.memory_stall": 0.0,
        "train.io_stall": 0.0,
        "train.minor_faults": rng.randrange(100_000, 200_000),
        "train.major_faults": 0,
        "paging.state_bytes": AT_PEAK[config.method]["optimizer_state"],
        "train.swap_growth": 0,
    }
    return {**costs, **(_inspected(config, rng) if config.inspect else {})}


def _inspected(config: RunConfig, rng: random.Random) -> dict[str, int | float]:
    """The step that is looked into: categories that sum to the peak, to the byte."""
    total = int(MEMORY[config.method])
    left = total - sum(AT_PEAK[config.method].values())
    parts = {**dict.fromkeys(CATEGORIES, 0), **AT_PEAK[config.method], "activations": left // 2, "logits": left // 4}
    parts["temporaries"] = total - sum(parts.values())
    stages = {"forward": 0.9, "backward": 1.0, "optimizer": 0.8}
    return {
        "at_peak.total": total,
        **{f"at_peak.{name}": size for name, size in parts.items()},
        **{f"{stage}.peak_allocated": int(total * share) for stage, share in stages.items()},
        **{f"{stage}.seconds": SECONDS[config.method] * rng.uniform(0.32, 0.34) for stage in stages},
        "inspect.seconds": rng.uniform(5, 9),
    }


def on_gpu(config: RunConfig, **changes: Any) -> RunRecord:
    """A run on a made-up GPU, where everything that only a GPU has was measured."""
    made = record(config.but(device="cuda"), device="example-gpu")
    peak = int(made.metrics["train.peak_allocated"])
    reserved, context = peak + 300 * 2**20, 500 * 2**20
    metrics: dict[str, int | float] = {"at_peak.unseen": 0}
    for phase, share in {"load": 0.4, "train": 1.0}.items():
        metrics |= {
            f"{phase}.peak_requested": int(peak * share) - 4096,
            f"{phase}.peak_reserved": int(reserved * share),
            f"{phase}.peak_process": int(reserved * share) + context,
            f"{phase}.peak_device": int(reserved * share) + context + 100 * 2**20,
        }
    metrics |= {"at_peak.allocator_slack": reserved - peak, "at_peak.outside_torch": context}
    metrics |= {"train.energy": 9000.0, "train.energy_error": 30.0, "train.sm_clock": 1.755e9}
    metrics |= {"train.temperature_start": 45, "train.temperature_end": 61, "train.power_cap_seconds": 0.4}
    metrics |= {"train.throttled_seconds": 0.0, "train.foreign_processes": 0}
    resolved = {**made.resolved, "device.peak_flops": 989e12, "device.boost_clock": 1.83e9}
    whole = {**made.metrics, **metrics}
    return replace(made, **{"metrics": whole, "absent": {}, "resolved": resolved, **changes})


def paged(path: str = "prefetch", fraction: float = 1.0, **changes: Any) -> RunRecord:
    """A run whose optimiser state is away before every cold step: cold, resident, resident, cold."""
    base = {"optimizer": "mapped_adamw", "paging": path, "paging_fraction": fraction, "steps": 26}
    made = record(fixed_shape("full", **{**base, **changes}))
    state = AT_PEAK["full"]["optimizer_state"]
    away = int(state * fraction)
    chilled = [away if turn % 4 in (0, 3) else 0 for turn in range(made.config.steps - made.config.untimed_steps)]
    settling: tuple[None, ...] = (None,) * made.config.untimed_steps
    gone = [0] * made.config.untimed_steps + chilled
    seconds = [float(s or 0) + size / 2e9 for s, size in zip(made.series["step.seconds"], gone, strict=True)]
    faults = {
        "step.major_faults": (*settling, *(size // 2**17 for size in chilled)),
        "step.minor_faults": (*settling, *(size // 2**12 for size in chilled)),
    }
    series = {**made.series, "step.seconds": tuple(seconds), "step.chilled_bytes": (*settling, *chilled), **faults}
    numbers = {"paging.state_bytes": state, "paging.paged_bytes": state - 4096, "train.peak_managed": state}
    return replace(made, metrics={**made.metrics, **numbers}, series=series)


def counted(believed: bool = True, **changes: Any) -> RunRecord:
    """A run with CUPTI's counters attached: no headline, but what moved in a cold step."""
    config = {"device": "cuda", "optimizer": "paged_adamw_32bit", "uvm_counters": True, **changes}
    made = replace(paged("fault", **config), device="example-gpu")
    numbers = {
        "paging.counters_valid": int(believed), "paging.fault_groups": 5120, "paging.fault_batches": 64,
        "paging.bytes_in": AT_PEAK["full"]["optimizer_state"], "paging.bytes_out": 0, "paging.active_seconds": 0.21,
        "paging.fault_service_seconds": 0.12,
    }  # fmt: skip
    return replace(made, metrics={**made.metrics, **numbers})


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
    so_far = {"load.peak_resident": 1.5 * GIB, "train.peak_resident": 7.5 * GIB}
    blank = {"metrics": {"parameters.total": PARAMETERS, **so_far}, "series": {}, "items": {}, "absent": {}}
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


def cases_of(*records: RunRecord) -> list[Case]:
    """Group records into cases as if they had been read from files."""
    names = (f"{made.started.replace('-', '').replace(':', '')}-{n}.json" for n, made in enumerate(records))
    return group(Stored(Path(name), made) for name, made in zip(names, records, strict=True))


def predicted(config: RunConfig, gpu: str = "l40s", *, fits: bool = True, **changes: Any) -> RunRecord:
    """A prediction of a run on a GPU that is not there; one that does not fit holds every number all the same."""
    config, sku = config.but(device=f"fake:{gpu}"), by_slug(gpu)
    made = record(config, kind=Kind.PREDICTED, device=f"fake-{gpu}")
    kept = {name: number for name, number in made.metrics.items() if name.startswith(("at_peak.", "parameters."))}
    peak, outside = int(MEMORY[config.method]), 450 * 2**20
    capacity = (sku.memory_bytes or sku.memory_gib * GIB) - outside if fits else peak
    for phase, share in {"load": 0.4, "train": 1.0, "forward": 0.9, "backward": 1.0, "optimizer": 0.8}.items():
        kept[f"{phase}.peak_allocated"] = int(peak * share)
    for phase, share in {"load": 0.4, "train": 1.0}.items():
        reserved = int((peak + 300 * 2**20) * share)
        kept |= {f"{phase}.peak_requested": int(peak * share) - 4096, f"{phase}.peak_reserved": reserved}
        kept |= {f"{phase}.peak_process": reserved + outside, f"{phase}.peak_device": reserved + outside}
    kept |= {"at_peak.allocator_slack": 300 * 2**20, "at_peak.outside_torch": outside, "at_peak.unseen": 0}
    kept |= {"predict.capacity": capacity, "predict.seconds": 6.5, "predict.largest_batch": 24 if fits else 1}
    short = f"{sku.name} has {capacity} bytes for torch, and {2 * GIB} more find no room in train, backward of step 2."
    failure = Failure(phase="train", message=short, bytes_requested=2 * GIB)
    fitting: dict[str, Any] = {"metrics": {**kept, "predict.retries": 0}}
    ending = fitting if fits else {"metrics": kept, "status": Status.OOM, "failure": failure}
    facts = {
        "torch.device": sku.name, "torch.multiprocessors": sku.multiprocessors, "outside_torch.bytes": outside,
        "outside_torch.source": "out-of-memory messages", **{f"package.{name}": v for name, v in STACK.items()},
    }  # fmt: skip
    moments = {"peak.moment": "train, backward of step 2", "peak.operation": "aten.mm.default", "predict.steps": 2}
    base = {"absent": {"step.seconds": "nothing is computed in a prediction, so nothing is timed."}, "series": {},
            "items": {}, "resolved": {**made.resolved, **moments}, "environment": facts}  # fmt: skip
    return replace(made, **{**base, **ending, **changes})


def on_card(config: RunConfig, gpu: str = "l40s", **changes: Any) -> RunRecord:
    """A run on a GPU of the catalogue, as its machine tells it."""
    sku, made = by_slug(gpu), on_gpu(config)
    facts = {
        "gpu.name": f"NVIDIA {sku.name}", "gpu.memory_bytes": sku.memory_gib * GIB * 97 // 100,
        "gpu.multiprocessors": sku.multiprocessors, "torch.multiprocessors": sku.multiprocessors,
    }  # fmt: skip
    device = f"nvidia-{sku.name.lower().replace(' ', '-')}"
    return replace(made, **{"device": device, "environment": {**made.environment, **facts}, **changes})


def published(
    config: RunConfig, value: int, metric: str = "train.peak_reserved", gpu: str = "l40s", **changes: Any
) -> RunRecord:
    """A number that somebody else printed, with its source."""
    made = RunRecord(
        config=config.but(device="cuda"), kind=Kind.PUBLISHED, status=Status.OK, device=gpu,
        started="2026-01-01T00:00:00Z", metrics={metric: value},
        citation="example/benchmark, results/table.csv of January 2026: max_memory_reserved of the process",
    )  # fmt: skip
    return replace(made, **changes)
