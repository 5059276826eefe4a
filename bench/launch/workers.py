"""Who can do a run, how its process starts, and the environment it finds."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from bench.schema import Kind
from bench.schema.catalogue import is_predicted

Isolation = Literal["fork", "spawn"]


@dataclass(frozen=True, slots=True)
class Worker:
    """Who does a run: the "module:function" that gets the run's folder, and what to call once before it is forked.

    `variables` are what its environment has to say, whatever the launcher's says.
    """

    entry: str
    preload: str | None = None
    kind: Kind = Kind.MEASURED
    variables: Mapping[str, str] = field(default_factory=dict)


REAL = Worker("bench.worker.main:main", "bench.worker.preload:preload")
# A prediction must not touch the GPU of this machine, if there is one: with a GPU in sight torch's fake tensors make a
# context on it (`init_gpu_context` in torch/_subclasses/fake_tensor.py), in which no forked process can follow.
PREDICTED = Worker(
    "bench.worker.main:main", "bench.worker.preload:preload", Kind.PREDICTED, {"CUDA_VISIBLE_DEVICES": ""}
)
DRY = Worker("bench.launch.dry:main", "bench.launch.dry:preload", Kind.DRY)

# What runs never do: talk to the hub, send telemetry, draw progress bars, warn about forks, hash by chance.
QUIET: Mapping[str, str] = MappingProxyType({
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
})  # fmt: skip
SECRET = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")  # runs are offline and need neither


def isolation_for(device: str) -> Isolation:
    """Fork runs from a process with the imports done where that is safe: CPU runs and predictions on Linux.

    Importing what a CUDA run needs may touch the driver, and a forked child of such a
    process cannot use the GPU; those runs start a fresh interpreter.
    """
    return "fork" if sys.platform == "linux" and (device == "cpu" or is_predicted(device)) else "spawn"
