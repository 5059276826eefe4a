"""Merging: what of the adapter's update is in the weights afterwards, and what the merged model says."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from bench.schema.metrics.memory import TENSORS
from bench.schema.metrics.metric import Metric

NAMES: Mapping[str, str] = MappingProxyType(
    {"base": "without the adapter", "unmerged": "with the adapter beside it", "merged": "with the adapter in it"}
)
"""The three models that are compared, and what each is: always the one base that was trained on."""

TOKENS = "Over the first tokens of the test items, prompts and answers; both models read the same text."
PAIRS: Mapping[str, tuple[str, str]] = MappingProxyType({
    "": ("unmerged", "merged"), "_of_base": ("unmerged", "base"), "_from_base": ("merged", "base"),
})  # fmt: skip
"""Ends of a metric's name, and the two models it compares."""


def _between(ending: str, first: str, second: str) -> dict[str, Metric]:
    """How far the next-token predictions of two models are apart."""
    better: Literal["lower", "neither"] = "neither" if ending else "lower"
    return {
        f"merging.kl{ending}": Metric(
            "1", better, "stochastic", f"KL divergence, {first} to {second}",
            f"Mean over tokens of sum p ln(p / q) in nats, p the {first} model's next-token probabilities, q the "
            f"{second} one's (Kullback and Leibler 1951), in float64. {TOKENS}"),
        f"merging.logit_difference{ending}": Metric(
            "1", better, "stochastic", f"largest difference of logits, {first} to {second}",
            f"Largest absolute difference of a logit of the {first} and the {second} model. {TOKENS}"),
        f"merging.flips{ending}": Metric(
            "1", better, "stochastic", f"other top token, {first} to {second}",
            f"Share of tokens at which the {first} and the {second} model's likeliest next tokens differ. {TOKENS}"),
    }  # fmt: skip


MERGING: Mapping[str, Metric] = MappingProxyType({
    "merging.update_size": Metric(
        "1", "neither", "stochastic", "size of the update",
        "Norm of the change that the adapter makes to the weights it sits on, over the norm of those weights "
        "(Frobenius, all adapted layers together, float32)."),
    "merging.update_kept": Metric(
        "1", "higher", "stochastic", "update kept in the weights",
        "Change of the weights that merging really made, projected onto the change the adapter asks for: "
        "<made, asked> / <asked, asked> over all adapted layers. 1: all of it is there; 0: nothing is. The change is "
        "taken against the base that was trained on."),
    "merging.update_error": Metric(
        "1", "lower", "stochastic", "error against the update",
        "Norm of the merged weights minus (base + update), over the norm of the update. 1: as wrong as no merge."),
    "merging.weight_error": Metric(
        "1", "lower", "stochastic", "relative error of the weights",
        "Norm of the merged weights minus (base + update), over the norm of (base + update), in float32 over all "
        "adapted layers."),
    "merging.weight_error_largest": Metric(
        "1", "lower", "stochastic", "largest error of a weight",
        "Largest absolute difference of a merged weight and its (base + update)."),
    **{name: metric for end, pair in PAIRS.items() for name, metric in _between(end, *pair).items()},
    "merging.tokens": Metric(
        "tok", "neither", "exact", "tokens compared", f"Tokens whose next-token logits are compared. {TOKENS}"),
    **{
        f"merging.perplexity_{name}": Metric(
            "1", "lower", "stochastic", f"perplexity, {name}",
            f"exp of the mean negative log-likelihood (nats) of the answers' tokens of all test items, the end of text "
            f"included, by the model {what}.", margin=0.02)
        for name, what in NAMES.items()
    },
    "merging.accuracy": Metric(
        "1", "higher", "stochastic", "accuracy, merged",
        "Share of the test items that the merged model answers right.", raw="merged", margin=0.01),
    "merging.allocated_before": Metric(
        "B", "neither", "near-exact", "tensor memory before merging",
        "Bytes torch's CUDA allocator had handed out just before merging, the training's tensors released.",
        devices=("cuda",)),
    "merging.allocated_after": Metric(
        "B", "lower", "near-exact", "tensor memory after merging",
        "Bytes torch's CUDA allocator had handed out when the merged model was alone.", devices=("cuda",),
        **TENSORS),
    "merging.drift": Metric(
        "1", "lower", "stochastic", "drift of the base",
        "Norm of the base's change after the last round of merging and taking out again, over its norm before the "
        "first (adapted layers, float32). The series merging.round_drift holds it for every round."),
})  # fmt: skip
