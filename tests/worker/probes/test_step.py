"""A real step on the CPU: categories to the byte against arithmetic, and against torch's own count."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate

import pytest
import torch

from bench.worker.probes.owners import owners
from bench.worker.probes.recorder_cpu import changes_of
from bench.worker.probes.timeline import timeline
from tests.worker.probes.traced import sizes, traced_step

ROWS, WIDE, HIDDEN, WORDS = 16, 32, 64, 1000


class Tiny(torch.nn.Module):
    """tanh between two plain layers, cross-entropy at the end."""

    def __init__(self):
        super().__init__()
        self.body = torch.nn.Linear(WIDE, HIDDEN, bias=False)
        self.head = torch.nn.Linear(HIDDEN, WORDS, bias=False)

    def get_output_embeddings(self):
        return self.head

    def forward(self, inputs, labels):
        return torch.nn.functional.cross_entropy(self.head(torch.tanh(self.body(inputs))), labels)


def test_a_tiny_model_by_hand():
    """Weights, gradients, AdamW's state and activations to the byte; logits but for scalars."""
    model = Tiny()
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False, fused=False)
    inputs, labels = torch.randn(ROWS, WIDE), torch.randint(0, WORDS, (ROWS,))
    weights = 4 * (WIDE * HIDDEN + HIDDEN * WORDS)

    for first in (True, False):
        result, _, _ = traced_step(model, optimizer, [lambda: model(inputs, labels)])

        series = timeline(result, 10**6)
        state = 2 * weights + 2 * 4  # two moments and a count a weight
        assert result.start["base_float32"] == weights
        assert result.start["optimizer_state"] == (0 if first else state)
        assert max(series["timeline.gradients"]) == weights
        assert max(series["timeline.optimizer_state"]) == state
        assert max(series["timeline.activations"]) == 4 * ROWS * HIDDEN  # tanh's result
        # backward holds the log-probabilities, their gradient and the logits' gradient
        assert 0 <= max(series["timeline.logits"]) - 3 * 4 * ROWS * WORDS <= 16
        assert result.strays == 0


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_a_llama_agrees_with_independent_sums(prepared, tiny_config, method, micro_batches):
    """Categories equal sums over tensors, and the total equals what torch's profiler alone counts for such a step."""
    model = prepared(tiny_config(method)).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    tokens = torch.arange(48).reshape(2, 24)

    def loss():
        return model(input_ids=tokens, labels=tokens, use_cache=False).loss

    traced_step(model, optimizer, [loss])
    result, _, truth = traced_step(model, optimizer, [loss] * micro_batches)
    alone = held(model, optimizer) + added(optimizer, [loss] * micro_batches)

    highest = Counter({name: max(values) for name, values in timeline(result, 10**6).items()})
    assert highest["timeline.gradients"] == truth["gradients"]
    assert result.peak["optimizer_state"] == truth["optimizer_state"]
    assert result.peak["adapters"] == truth["adapters"]
    base = sum(size for name, size in result.peak.items() if name.startswith("base_"))
    assert base == truth["parameters"] - truth["adapters"]
    assert result.peak["buffers"] == truth["buffers"]
    assert (result.peak["quantization_state"] > 0) == (method == "qlora")
    assert min(highest["timeline.activations"], highest["timeline.logits"]) > 0
    assert result.total == alone
    assert result.head_seen
    assert result.strays == 0


def held(model, optimizer):
    """Sum what lives between steps."""
    return sum(block.size for block in owners(model, optimizer))


def added(optimizer, losses):
    """Return what a step adds at its peak, by the plain sum of the profiler's allocations, without a mark."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        for loss in losses:
            loss().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    changes = changes_of(profile.profiler.kineto_results.experimental_event_tree())
    return max(accumulate((change.size for change in changes), initial=0))


def test_logits_grow_with_the_vocabulary_and_activations_with_depth():
    """Twice the words, twice the logits; the body's activations stay."""
    found = []
    for words in (WORDS, 2 * WORDS):
        model = Tiny()
        model.head = torch.nn.Linear(HIDDEN, words, bias=False)
        inputs, labels = torch.randn(ROWS, WIDE), torch.randint(0, WORDS, (ROWS,))
        result, _, _ = traced_step(
            model, torch.optim.SGD(model.parameters()), [lambda m=model, i=inputs, y=labels: m(i, y)]
        )
        series = timeline(result, 10**6)
        found.append((max(series["timeline.logits"]), max(series["timeline.activations"])))

    (narrow, before), (broad, after) = found
    assert abs(broad - 2 * narrow) <= 16
    assert before == after


def test_true_sizes_are_counted_apart():
    """The yardstick itself: a layer of 2 by 3 in float32, its gradient, SGD's momentum."""
    model = torch.nn.Linear(2, 3, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
    model(torch.ones(2)).sum().backward()
    optimizer.step()

    assert sizes(model, optimizer) == {
        "gradients": 24, "optimizer_state": 24, "adapters": 0, "parameters": 24, "buffers": 0,
    }  # fmt: skip
