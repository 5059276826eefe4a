"""Adapters: what many of them in one model cost, and what changing them costs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.metrics.metric import Metric

OPERATIONS: Mapping[str, str] = MappingProxyType({
    "save": "writing one adapter to disk (save_pretrained)",
    "load": "reading one more adapter from disk into the model (load_adapter)",
    "set": "making another adapter of the model the active one (set_adapter)",
    "swap": "overwriting an adapter's weights with a file's, in place (peft.utils.hotswap.hotswap_adapter)",
    "delete": "taking one adapter out of the model (delete_adapter)",
})  # fmt: skip
COMBINATIONS: Mapping[str, str] = MappingProxyType({
    "linear": "its matrices averaged",
    "cat": "its ranks laid side by side, which is the sum of the updates",
    "ties": "TIES (arXiv 2306.01708), half of the weights kept",
    "svd": "an SVD of the mean update",
})  # fmt: skip
TURNS = "turn.batch_seconds"
"""Raw series: seconds of a pass over one batch, in turns: an adapter a row, one for all, one for all, one a row."""


def series_of(operation: str) -> str:
    """Return the name of the raw series that holds the seconds of an operation, every time it was done."""
    return f"operation.{operation}"


def _operation(name: str, label: str, about: str) -> Metric:
    said = f"Median seconds of {about}, while the model holds all adapters of the run; the device is waited for."
    return Metric("s", "lower", "noisy", label, said, raw=series_of(name), margin=0.1)


ADAPTERS: Mapping[str, Metric] = MappingProxyType({
    **{f"adapters.{name}_seconds": _operation(name, f"seconds to {name} an adapter", what)
       for name, what in OPERATIONS.items()},
    **{f"adapters.{name}_seconds": _operation(name, f"seconds to combine, {name}", f"add_weighted_adapter: {what}")
       for name, what in COMBINATIONS.items()},
    "adapters.mixed_seconds": Metric(
        "s", "lower", "noisy", "batch, an adapter a row",
        "Median seconds of one pass over a batch whose rows have the adapters in turn (adapter_names), logits of the "
        "last position only.", raw=TURNS, margin=0.05),
    "adapters.single_seconds": Metric(
        "s", "lower", "noisy", "batch, one adapter",
        "Median seconds of a pass over the same batch with one adapter for all rows, in turns with the mixed one.",
        raw=TURNS),
    "adapters.mixed_slowdown": Metric(
        "1", "lower", "noisy", "mixed batch against one adapter",
        "How many times one adapter's time: median over blocks of four turns of the geometric mean of the mixed two "
        "over that of the other two; the interval is a bootstrap over blocks.", raw=TURNS),
    "adapters.mixed_error": Metric(
        "1", "lower", "near-exact", "largest error of a mixed row",
        "Largest absolute difference of a logit of a row in the mixed batch and of that row with its adapter alone. "
        "Rounding apart it is 0; where the library ignores adapter_names it is as large as the adapters' difference.",
        margin=0.1, grain=1e-3),
    "adapters.mixed_change": Metric(
        "1", "neither", "near-exact", "largest difference between adapters",
        "Largest absolute difference of a logit between the adapters of the batch: what a mistaken row would show."),
    "adapters.reload_error": Metric(
        "1", "lower", "near-exact", "largest error after reloading",
        "Largest absolute difference of a logit between a saved adapter and the same loaded again.",
        margin=0.1, grain=1e-3),
    "adapters.swap_error": Metric(
        "1", "lower", "near-exact", "largest error after a hot-swap",
        "Largest absolute difference of a logit between an adapter and the one it was swapped in over.",
        margin=0.1, grain=1e-3),
    "adapters.weights": Metric(
        "B", "lower", "exact", "weights of all adapters", "Bytes of the weights of all adapters in the model."),
    "adapters.weights_each": Metric(
        "B", "lower", "exact", "weights of an adapter", "adapters.weights over the number of adapters."),
    "adapters.base_weights": Metric(
        "B", "neither", "exact", "weights of the base under them",
        "Bytes of the base's weights and quantisation states, which all adapters share."),
    "adapters.file_bytes": Metric(
        "B", "lower", "exact", "an adapter's file",
        "Bytes of one adapter's safetensors, as save_pretrained writes it."),
    "adapters.base_unchanged": Metric(
        "1", "higher", "exact", "base unchanged",
        "Share of the base's tensors, quantisation states among them, that are bit for bit (SHA-256) what they were "
        "before the first operation, after all of them and when all adapters are unloaded."),
    "adapters.seconds": Metric(
        "s", "neither", "noisy", "seconds of operations", "Wall time of all operations, turns and checks."),
})  # fmt: skip
