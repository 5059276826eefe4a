"""The plain computation of attention is torch's own, done in Python: the same numbers from the same blocks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from bench.worker.fake import attention
from bench.worker.fake.backends import Asked

NUMBER = 16
"""Bytes up to which a block is a number that Python wrote."""

CASES = [
    {"dtype": torch.bfloat16, "grouped": True},
    {"dtype": torch.float32, "grouped": True, "causal": True},
    {"dtype": torch.float16, "masked": True},
    {"dtype": torch.float32, "masked": True, "dropout": 0.25},
]


@pytest.mark.parametrize("gradient", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_the_plain_computation_takes_and_gives_back_what_torchs_own_does(case, gradient):
    """On a CPU both give the same numbers, and take and give back the same blocks in the same order.

    The end is free: what is released after the last block is taken comes in no order that counts.
    """
    asked = call(**case, gradient=gradient)
    out, changes = watched(lambda: attention._math(asked, 0.3))
    expected, expected_changes = watched(
        lambda: torch.ops.aten._scaled_dot_product_attention_math(
            *asked.inputs, asked.mask, asked.dropout, asked.causal, scale=0.3, enable_gqa=asked.grouped
        )[0]
    )

    torch.testing.assert_close(out, expected)
    end = last_taken(expected_changes)
    assert changes[:end] == expected_changes[:end]
    assert sorted(changes[end:]) == sorted(expected_changes[end:])


def last_taken(changes: list[int]) -> int:
    """Where what is left are releases only."""
    return 1 + max(place for place, change in enumerate(changes) if change > 0)


def call(dtype, grouped=False, causal=False, masked=False, dropout=0.0, gradient=False) -> Asked:
    torch.manual_seed(0)
    heads = 2 if grouped else 4
    query, key, value = (torch.randn(2, count, 24, 16).to(dtype) for count in (4, heads, heads))
    for tensor in (query, key, value):
        tensor.requires_grad_(gradient)
    mask = torch.zeros(24, 24, dtype=dtype) if masked else None
    return Asked(query, key, value, mask, dropout, causal, grouped)


def watched(work: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, list[int]]:
    """Return what `work` returns, and the bytes it took and (less than 0) gave back, one block after the other."""
    torch.manual_seed(1)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        out = work()
    events = profiler.profiler.kineto_results.events()
    changes = [event.nbytes() for event in events if event.name() == "[memory]"]
    return out, [change for change in changes if abs(change) > NUMBER]
