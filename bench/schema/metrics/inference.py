"""Inference: what an adapter costs when text is generated, beside its base in the same run."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.metrics.metric import Metric

FIRST, LATER = "turn.first_token_seconds", "turn.token_seconds"
"""Raw series: seconds to the first token of every turn, and of each further token of every turn, in order."""
SEATS: Mapping[str, tuple[str, str]] = MappingProxyType({
    "": ("", "the state that is asked about"), "base_": ("base: ", "the base without the adapter, in the same run"),
})  # fmt: skip
"""Beginnings of names: what is asked about, and what it is compared with."""
HOW = (
    "Greedy, with a key-value cache, token by token, the device waited for after each; prompts of equal length, no "
    "padding; warmed up; turns with the adapter, without, without, with."
)


def _seat(prefix: str, label: str, what: str) -> dict[str, Metric]:
    return {
        f"inference.{prefix}first_token_seconds": Metric(
            "s", "lower", "noisy", f"{label}time to first token",
            f"Median seconds from the prompt to the first token of {what}. {HOW}", raw=FIRST, margin=0.05),
        f"inference.{prefix}token_seconds": Metric(
            "s", "lower", "noisy", f"{label}time per token",
            f"Median over turns of a turn's median seconds for each token after the first, of {what}; every sequence "
            f"of the batch gets one. {HOW}", raw=LATER, margin=0.05),
        f"inference.{prefix}tokens_per_second": Metric(
            "tok/s", "higher", "noisy", f"{label}tokens/s, in turns",
            f"Tokens of all sequences over the median turn's seconds, the prompt's included, of {what}. {HOW}",
            raw=LATER),
    }  # fmt: skip


INFERENCE: Mapping[str, Metric] = MappingProxyType({
    **{name: metric for prefix, said in SEATS.items() for name, metric in _seat(prefix, *said).items()},
    "inference.slowdown": Metric(
        "1", "lower", "noisy", "time per token against the base",
        "How many times the base's time per token: median over blocks of four turns of the geometric mean of the "
        "adapter's two over that of the base's two; the interval is a bootstrap over blocks. State `base`, "
        "compared with itself, shows what the turns cannot tell apart.",
        raw=LATER),
    "inference.first_token_slowdown": Metric(
        "1", "lower", "noisy", "time to first token against the base",
        "The same of the time to first token.", raw=FIRST),
    "inference.seconds": Metric(
        "s", "neither", "noisy", "seconds in turns",
        "Wall time of all turns, with the warm-up of the base and, beside a merged model, its loading."),
    "inference.weights": Metric(
        "B", "lower", "exact", "weights that are served",
        "Bytes of the weights, adapters and quantisation states of the model that is asked about, each storage once."),
    "inference.base_weights": Metric(
        "B", "neither", "exact", "weights of the base", "The same of the base without the adapter."),
    "inference.cache_bytes": Metric(
        "B", "lower", "exact", "key-value cache",
        "Bytes of the keys and values that the cache holds after the last token, counted on its tensors."),
    "inference.cache_formula": Metric(
        "B", "neither", "exact", "key-value cache by formula",
        "2 x layers x key-value heads x head size x bytes of a key x tokens x sequences; a token is cached when it is "
        "read, so the last one is not. Windows, shared layers and other savings of a model are left out."),
    "inference.logit_change": Metric(
        "1", "neither", "stochastic", "largest change of a logit",
        "Largest absolute difference of a logit of the first new token with the adapter and without it: 0 would mean "
        "that the adapter does nothing."),
    "inference.logit_error": Metric(
        "1", "lower", "stochastic", "largest error of a merged logit",
        "Largest absolute difference of a logit of the first new token between the merged and the unmerged model; a "
        "merge into few bits rounds the update away (see the metrics of merging)."),
})  # fmt: skip
