"""Speed: seconds, tokens, operations, and the share of what the device could do."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.metrics.metric import Metric

SPEED: Mapping[str, Metric] = MappingProxyType({
    "start.import_seconds": Metric("s", "lower", "noisy", "import seconds",
                                   "From the process's start to the first line of the run: interpreter and imports; "
                                   "near zero when forked from a process that has imported them already."),
    "harness.seconds": Metric("s", "lower", "noisy", "harness seconds",
                              "Wall time of a run as the launcher sees it, minus imports and every phase: "
                              "what ftbench itself costs."),
    "inspect.seconds": Metric("s", "neither", "noisy", "seconds inspecting",
                              "Wall time of the steps that are looked at after all timed work."),
    "canary.seconds": Metric("s", "neither", "noisy", "seconds of canaries",
                             "Wall time of the fixed work before and after the run that tells whether the machine "
                             "was the same at both ends."),
    "train.step_seconds": Metric("s", "lower", "noisy", "seconds a step",
                                 "Median wall time of an optimiser step, untimed steps left out.",
                                 raw="step.seconds", margin=0.02),
    "train.step_seconds_p95": Metric("s", "lower", "noisy", "95th percentile of a step",
                                     "Step time that 95 % of the timed steps stay below (linear interpolation); "
                                     "absent below 20 timed steps.", raw="step.seconds"),
    "train.timed_seconds": Metric("s", "lower", "noisy", "seconds of the timed steps",
                                  "Wall time of all timed steps as one block, the device synchronised at its ends."),
    "train.tokens_per_second": Metric("tok/s", "higher", "noisy", "tokens/s",
                                      "Non-padding tokens of the timed steps over their wall time.",
                                      raw="step.seconds"),
    "train.all_tokens_per_second": Metric("tok/s", "higher", "noisy", "tokens/s, padding included",
                                          "All positions of the timed steps, padding too, over their wall time.",
                                          raw="step.seconds"),
    "train.trained_tokens_per_second": Metric("tok/s", "higher", "noisy", "trained tokens/s",
                                              "Tokens whose prediction enters the loss over the wall time of the "
                                              "timed steps.", raw="step.seconds"),
    "train.flops_per_second": Metric("FLOP/s", "higher", "noisy", "model FLOP/s",
                                     "Operations of the matrix products that forward and backward need, over the "
                                     "wall time of the timed steps. Recomputation by checkpointing and dequantisation "
                                     "do not count; attention counts in full, as torch's counter does.",
                                     raw="step.flops"),
    "train.mfu": Metric("1", "higher", "noisy", "MFU against the datasheet",
                        "train.flops_per_second over the dense peak of the device's datasheet.", raw="step.flops"),
    "train.mfu_at_clock": Metric("1", "higher", "noisy", "MFU at the observed clock",
                                 "train.flops_per_second over the datasheet's peak scaled to the median clock seen "
                                 "while training.", raw="step.flops", devices=("cuda",)),
    "train.mfu_against_gemm": Metric("1", "higher", "noisy", "against a measured GEMM",
                                     "train.flops_per_second over the faster canary GEMM of this run, in the run's "
                                     "own dtype.", raw="step.flops"),
    "train.allocator_growth": Metric("1", "lower", "exact", "segments allocated while timed",
                                     "cudaMalloc calls of torch's allocator within the timed steps "
                                     "(num_device_alloc); above 0 the run had not settled.", devices=("cuda",)),
    "train.allocator_retries": Metric("1", "lower", "exact", "allocator retries",
                                      "Times torch's allocator had to free its cache and ask again within the timed "
                                      "steps (num_alloc_retries).", devices=("cuda",)),
    "infer.tokens_per_second": Metric("tok/s", "higher", "noisy", "tokens/s, one sequence",
                                      "Tokens generated one sequence at a time over wall time, after training, the "
                                      "adapter not merged; the first sequence warms up and is left out.",
                                      raw="infer.seconds", margin=0.05),
})  # fmt: skip
