"""Full, LoRA or QLoRA: what does each cost, and what does each learn?"""

from __future__ import annotations

import pytest

METHODS = ("full", "lora", "qlora")


@pytest.mark.parametrize("method", METHODS)
def test_speed_and_memory(measure, work, method):
    """Short repeated runs on the same fixed shapes: seconds a step, tokens a second, peak memory."""
    measure(work.speed(method), rounds=work.rounds)


@pytest.mark.parametrize("method", METHODS)
def test_learning(measure, work, method):
    """One training per method and seed, long enough to learn the task: accuracy before and after."""
    measure(work.learning(method), rounds=work.seeds)
