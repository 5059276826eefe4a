"""What a model says to the test items: logits of the first tokens, and how likely it finds every right answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn import functional

from bench.schema import RunConfig
from bench.worker.batches import Batch, cut, padded
from bench.worker.build import Built
from bench.worker.encoding import IGNORED
from bench.worker.tasks import Example

ROWS = 32
"""Tokens whose probabilities are held in float64 at once; a vocabulary of 128,256 makes 33 MB of them."""


class Seen(NamedTuple):
    """`logits` float32 [tokens, vocabulary] on the host; negative log-likelihood (nats) and tokens of every answer."""

    logits: torch.Tensor
    nll: list[float]
    tokens: list[int]


class Apart(NamedTuple):
    """How two models differ: KL divergence of every token in nats and its mean, largest logit difference, flips.

    Numbers that are not finite are None.
    """

    divergences: list[float]
    divergence: float | None
    largest: float | None
    flips: float | None


def look(built: Built, examples: Sequence[Example], config: RunConfig, limit: int) -> Seen:
    """Let the model read the examples, in batches as large as training's; keep the logits of the first `limit` tokens.

    A token counts where something comes before it and it is no padding. The model is left in training mode.
    """
    sequences, _ = cut([built.encoder.whole(example) for example in examples], config.sequence_length)
    kept: list[torch.Tensor] = []
    missing, nll, tokens = limit, list[float](), list[int]()
    built.model.eval()
    for first in range(0, len(sequences), config.batch_size):
        batch = padded(sequences[first : first + config.batch_size], built.encoder.pad_id)
        inputs = batch.on(built.device.torch_name)
        labels = inputs.pop("labels")[:, 1:]
        with torch.no_grad():
            logits = built.model(**inputs).logits[:, :-1].float()
        if missing:
            kept.append(_real(logits, batch)[:missing].cpu())
            missing -= len(kept[-1])
        nll += _unlikelihood(logits, labels)
        tokens += (labels != IGNORED).sum(1).tolist()
    built.model.train()
    return Seen(torch.cat(kept), nll, tokens)


def _real(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the logits [tokens, vocabulary] that predict a token and not padding."""
    return logits[batch.attention_mask[:, 1:].to(logits.device) == 1]


def _unlikelihood(logits: torch.Tensor, labels: torch.Tensor) -> list[float]:
    """Return the negative log-likelihood of the labels of every sequence, in nats."""
    found: list[float] = (
        functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none").sum(1).tolist()
    )
    return found


def perplexity(seen: Seen) -> float | None:
    """Return exp of the mean negative log-likelihood of the answers' tokens; None where that is no finite number."""
    tokens = sum(seen.tokens)
    try:
        return _finite(math.exp(sum(seen.nll) / tokens)) if tokens else None
    except OverflowError:
        return None


def apart(first: torch.Tensor, second: torch.Tensor) -> Apart:
    """Compare the logits [tokens, vocabulary] of two models on the same tokens; `first` is p of the KL divergence."""
    divergences: list[float] = []
    for start in range(0, len(first), ROWS):
        rows = (logits[start : start + ROWS].double() for logits in (first, second))
        of_p, of_q = (functional.log_softmax(row, dim=-1) for row in rows)
        divergences += functional.kl_div(of_q, of_p, reduction="none", log_target=True).sum(-1).tolist()
    return Apart(
        divergences,
        _finite(math.fsum(divergences) / len(divergences)),
        _finite((first - second).abs().max().item()),
        _finite((first.argmax(-1) != second.argmax(-1)).double().mean().item()),
    )


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
