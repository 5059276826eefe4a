"""Quantisation: what it costs the weights, how many bits it takes, and what the model says afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.metrics.metric import Metric

DATA: Mapping[str, str] = MappingProxyType({
    "": "of the model's quantised layers",
    "normal_": "of 1024 x 1024 standard normal numbers, decided by the seed",
})  # fmt: skip
"""Ends of the study's name in a metric's, and the weights they stand for."""

GRIDS: Mapping[str, str] = MappingProxyType({
    "": "the format that is asked about",
    "uniform_": "uniform 4-bit codes, -7 to 7 times the block's largest absolute value over 7, of the same block size, "
                "scales not quantised",
})  # fmt: skip
TOKENS = "Over the first tokens of the test items, prompts and answers; both models read the same text."


def _errors(data: str, grid: str) -> dict[str, Metric]:
    """The errors of one set of weights in one format."""
    start = f"quantization.{data}{grid}"
    named = f"{'normal numbers' if data else 'weights'} in {'uniform 4-bit' if grid else 'few bits'}"
    said = f"{DATA[data]}, as {GRIDS[grid]}"
    return {
        f"{start}rmse": Metric(
            "1", "lower", "near-exact", f"RMSE, {named}",
            f"Root of the mean squared difference {said}; expanded by plain arithmetic, not by the library's kernels."),
        f"{start}mae": Metric(
            "1", "lower", "near-exact", f"mean absolute error, {named}", f"Mean absolute difference {said}."),
        f"{start}mse": Metric(
            "1", "lower", "near-exact", f"mean squared error, {named}", f"Mean squared difference {said}."),
        f"{start}relative_error": Metric(
            "1", "lower", "near-exact", f"relative error, {named}",
            f"Norm of the difference over the norm of the weights (Frobenius), {said}.", margin=0.01),
    }  # fmt: skip


QUANTIZATION: Mapping[str, Metric] = MappingProxyType({
    **{name: metric for data in DATA for grid in GRIDS for name, metric in _errors(data, grid).items()},
    "quantization.weights": Metric(
        "1", "neither", "exact", "quantised weights", "Weights of the linear layers that are held in the format."),
    "quantization.bits": Metric(
        "bit", "lower", "exact", "bits a weight",
        "Bits of all that holds the quantised layers' weights, over their number: codes, scales, tables; counted from "
        "the tensors that are there, each storage once. Biases are not counted."),
    "quantization.payload_bits": Metric(
        "bit", "lower", "exact", "bits of codes", "Bits of the codes, over the weights, as they are packed."),
    "quantization.scale_bits": Metric(
        "bit", "lower", "exact", "bits of scales",
        "Bits of scales, over the weights; with double quantisation of the 8-bit scales, the scales of those and their "
        "offset. By arithmetic 32 / 64 = 0.5, and 8 / 64 + 32 / (64 x 256) = 0.127: 0.373 saved (arXiv 2305.14314, "
        "section 3)."),
    "quantization.table_bits": Metric(
        "bit", "lower", "exact", "bits of tables",
        "Bits of the tables that codes refer to, over the weights: 16 numbers, and 256 more with double quantisation."),
    "quantization.model_bits": Metric(
        "bit", "lower", "exact", "bits a parameter, whole model",
        "Bits of all weights, biases, scales and tables of the model over its parameters, each storage once: "
        "embeddings and norms keep their dtype, and tied weights count once."),
    "quantization.model_bytes": Metric(
        "B", "lower", "exact", "model", "Bytes behind the bits a parameter of the whole model."),
    "quantization.seconds": Metric(
        "s", "lower", "noisy", "seconds to quantise",
        "Seconds that making all quantised layers took, one by one from weights in memory; no reading from disk."),
    "quantization.perplexity_before": Metric(
        "1", "lower", "stochastic", "perplexity before",
        "exp of the mean negative log-likelihood (nats) of the answers' tokens of the test items, the end of text "
        "included, by the model in the config's dtype."),
    "quantization.perplexity": Metric(
        "1", "lower", "stochastic", "perplexity, quantised",
        "exp of the mean negative log-likelihood (nats) of the answers' tokens of the test items, the end of text "
        "included, by the quantised model.", margin=0.02),
    "quantization.kl": Metric(
        "1", "lower", "stochastic", "KL divergence",
        "Mean over tokens of sum p ln(p / q) in nats, p the next-token probabilities of the model in the config's "
        f"dtype, q the quantised one's (Kullback and Leibler 1951), in float64. {TOKENS}"),
    "quantization.flips": Metric(
        "1", "lower", "stochastic", "other top token",
        f"Share of tokens at which the likeliest next token is another after quantising. {TOKENS}"),
    "quantization.logit_difference": Metric(
        "1", "lower", "stochastic", "largest difference of logits",
        f"Largest absolute difference of a logit before and after quantising. {TOKENS}"),
    "quantization.tokens": Metric(
        "tok", "neither", "exact", "tokens compared before and after",
        f"Tokens whose next-token logits are compared. {TOKENS}"),
})  # fmt: skip
