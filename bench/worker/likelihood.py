"""How likely a model finds given answers: the log-likelihood of every choice after its prompt."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from bench.worker.batches import padded
from bench.worker.devices import Device
from bench.worker.encoding import IGNORED, Tokens


class Question(NamedTuple):
    """Token ids of a prompt and of every choice that may follow it; neither is empty."""

    prompt: list[int]
    choices: list[list[int]]


@dataclass(frozen=True, slots=True)
class _Row:
    """What the model reads for some choices of a question: the prompt, and of the longest all but its last token."""

    question: int
    ids: list[int]
    choices: tuple[int, ...]


def log_likelihoods(
    model: Any, questions: Sequence[Question], batch_size: int, pad_id: int, device: Device
) -> tuple[list[list[float]], list[float]]:
    """Return the summed log-likelihood (nats) of every question's choices, and the seconds of every batch.

    A batch holds up to `batch_size` sequences of about one length, padded on the right: causal attention never sees
    what follows. Choices that begin alike are read in one sequence, so that choices of one token need only the prompt.
    """
    scores = [[0.0] * len(question.choices) for question in questions]
    rows = [row for number, question in enumerate(questions) for row in _rows(number, question)]
    rows.sort(key=lambda row: len(row.ids))
    seconds: list[float] = []
    for first in range(0, len(rows), batch_size):
        group = rows[first : first + batch_size]
        device.synchronize()
        start = time.perf_counter()
        for row, found in zip(group, _read(model, group, questions, pad_id, device), strict=True):
            for choice, score in zip(row.choices, found, strict=True):
                scores[row.question][choice] = score
        device.synchronize()
        seconds.append(time.perf_counter() - start)
    return scores, seconds


def _rows(number: int, question: Question) -> list[_Row]:
    """Share the choices of a question among as few sequences as they need."""
    needed = [question.prompt + choice[:-1] for choice in question.choices]
    rows: list[_Row] = []
    taken: set[int] = set()
    for ids in sorted(needed, key=len, reverse=True):
        served = tuple(n for n, start in enumerate(needed) if n not in taken and ids[: len(start)] == start)
        taken.update(served)
        if served:
            rows.append(_Row(number, ids, served))
    return rows


def _read(
    model: Any, group: Sequence[_Row], questions: Sequence[Question], pad_id: int, device: Device
) -> list[list[float]]:
    """Return the log-likelihoods of the choices of every sequence. Only logits that predict a choice are computed."""
    batch = padded([Tokens(row.ids, [IGNORED] * len(row.ids)) for row in group], pad_id)
    inputs = batch.on(device.torch_name)
    del inputs["labels"]
    longest = batch.input_ids.shape[1]
    # counted from the end, since methods with virtual tokens put them in front
    starts = [len(questions[row.question].prompt) - 1 - longest for row in group]
    ends = [len(row.ids) - longest for row in group]
    kept = sorted({place for start, end in zip(starts, ends, strict=True) for place in range(start, end)})
    column = {place: n for n, place in enumerate(kept)}
    with torch.no_grad():
        wanted = torch.tensor(kept, device=device.torch_name)
        logits = model(**inputs, logits_to_keep=wanted, use_cache=False).logits
        return [
            [
                _log_likelihood(logits[n, column[start] :], questions[row.question].choices[choice])
                for choice in row.choices
            ]
            for n, (row, start) in enumerate(zip(group, starts, strict=True))
        ]


def _log_likelihood(logits: torch.Tensor, choice: Sequence[int]) -> float:
    """Sum the log-probabilities of a choice's tokens; `logits` [positions, vocabulary] begin with its first."""
    labels = torch.tensor(choice, device=logits.device)
    return -float(functional.cross_entropy(logits[: len(choice)].float(), labels, reduction="sum"))
