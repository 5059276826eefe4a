"""Every number a record may hold or that is read off one: unit, direction, noise, meaning.

Base units only: bytes, seconds, tokens a second, 1. GiB and percent are for display.
`raw` names the raw numbers a derived metric is computed from when read; see
`bench.analysis.values`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """`noise`: exact (equal in every run), near-exact, noisy (timing) or stochastic (training)."""

    unit: Literal["B", "s", "tok/s", "tok", "1"]
    better: Literal["lower", "higher", "neither"]
    noise: Literal["exact", "near-exact", "noisy", "stochastic"]
    label: str
    about: str
    raw: str | None = None


def _peaks(phase: str, doing: str) -> dict[str, Metric]:
    """The memory metrics every phase has."""
    return {
        f"{phase}.peak_allocated": Metric(
            "B", "lower", "near-exact", f"peak tensor memory, {doing}",
            f"Most bytes of tensors alive at once while {doing}. CUDA: torch.cuda.max_memory_allocated. CPU: bytes "
            "of parameters, buffers, quantisation state and optimiser state, plus what torch's CPU allocator adds "
            "in one untimed step with fixed shapes. Misses what libraries allocate outside torch."),
        f"{phase}.peak_reserved": Metric(
            "B", "lower", "near-exact", f"peak reserved memory, {doing}",
            f"Most bytes torch's caching allocator held while {doing}; CUDA only "
            "(torch.cuda.max_memory_reserved). Misses the CUDA context."),
        f"{phase}.peak_resident": Metric(
            "B", "lower", "noisy", f"peak process memory, {doing}",
            f"Most host memory resident in the process while {doing}: VmHWM of /proc/self/status, reset "
            "when the phase starts. Includes the interpreter and libraries (about 0.5 GB) and memory the C "
            "allocator has not returned."),
        f"{phase}.seconds": Metric("s", "lower", "noisy", f"seconds {doing}", f"Wall time spent {doing}."),
    }  # fmt: skip


METRICS: Mapping[str, Metric] = MappingProxyType({
    "parameters.total": Metric("1", "neither", "exact", "parameters",
                               "Weights of the model and its adapters; a 4-bit weight counts as one."),
    "parameters.trainable": Metric("1", "neither", "exact", "trainable parameters", "Weights that get a gradient."),
    "parameters.trainable_share": Metric("1", "neither", "exact", "trainable share",
                                         "parameters.trainable over parameters.total.", raw="parameters.trainable"),
    "start.import_seconds": Metric("s", "lower", "noisy", "import seconds",
                                   "From the process's start to the first line of the run: interpreter and imports; "
                                   "near zero when forked from a process that has imported them already."),
    "harness.seconds": Metric("s", "lower", "noisy", "harness seconds",
                              "Wall time of a run as the launcher sees it, minus imports and every phase: "
                              "what ftbench itself costs."),
    **_peaks("load", "loading and wrapping the model"),
    **_peaks("train", "training"),
    **_peaks("evaluate", "evaluating"),
    **_peaks("save", "saving the adapter"),
    "train.step_seconds": Metric("s", "lower", "noisy", "seconds a step",
                                 "Median wall time of an optimiser step, untimed steps left out.",
                                 raw="step.seconds"),
    "train.tokens_per_second": Metric("tok/s", "higher", "noisy", "tokens/s",
                                      "Non-padding tokens of the timed steps over their wall time.",
                                      raw="step.seconds"),
    "train.loss_first": Metric("1", "lower", "stochastic", "first loss", "Loss of the first step.", raw="step.loss"),
    "train.loss_last": Metric("1", "lower", "stochastic", "last loss",
                              "Mean loss of the last tenth of the steps, at least one.", raw="step.loss"),
    "evaluate.accuracy_before": Metric("1", "higher", "near-exact", "accuracy before",
                                       "Share of the test items answered right before training.", raw="before"),
    "evaluate.accuracy": Metric("1", "higher", "stochastic", "accuracy",
                                "Share of the test items answered right after training.", raw="after"),
    "evaluate.tokens_per_second": Metric("tok/s", "higher", "noisy", "generated tokens/s",
                                         "Tokens generated over wall time, batched greedy decoding of the test items, "
                                         "after training.", raw="evaluate.batch_seconds"),
    "data.truncated": Metric("1", "lower", "exact", "examples cut",
                             "Training examples longer than sequence_length, cut at its end."),
    "data.contaminated": Metric("1", "lower", "exact", "test items seen",
                                "Test items whose prompt is also a training prompt."),
    "save.adapter_bytes": Metric("B", "lower", "exact", "adapter on disk",
                                 "Bytes of the adapter's weight file as peft saves it."),
})  # fmt: skip
