"""The canary does the work it says it does, all of it, and leaves the run as it found it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from bench.worker.probes.canary import (
    BUDGET,
    FEWEST,
    OTHER,
    SETTLE,
    SIZES,
    Work,
    block_copy,
    canary,
    matrix_product,
    speed,
)  # fmt: skip

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_product_has_the_operations_torch_counts(dtype):
    """One call is 2 n^3 operations by torch's own counter, in the dtype asked for."""
    work = matrix_product(96, "cpu", dtype)
    with FlopCounterMode(display=False) as counter:
        product = work.run()

    assert work.amount == counter.get_total_flops() == 2 * 96**3
    assert product.dtype == dtype
    assert product.shape == (96, 96)
    assert product.float().std() > 0


def test_a_whole_canary_is_whole_products():
    """All that a canary multiplies are products of its fixed size: warm-up and at least three measured."""
    with FlopCounterMode(display=False) as counter:
        canary("cpu", torch.float32)
    calls, rest = divmod(counter.get_total_flops(), 2 * SIZES["cpu"].rows ** 3)

    assert rest == 0
    assert calls >= 1 + FEWEST


def test_a_copy_moves_its_whole_block():
    """As many bytes are written as read, and the target holds the source afterwards."""
    work = block_copy(4096, "cpu")
    target = work.run()

    assert work.amount == 2 * target.nbytes == 8192
    assert bool((target == 1).all())


class Machine:
    """A queue, a clock and a device on which a call takes a known time, and only synchronising waits for it."""

    def __init__(self, seconds):
        self.seconds = iter(seconds)
        self.now = self.queued = 0.0
        self.calls = 0

    def run(self):
        self.calls += 1
        self.queued += next(self.seconds)

    def synchronize(self):
        self.now += self.queued
        self.queued = 0.0

    def clock(self):
        return self.now


@given(st.floats(1e-3, 10), st.integers(1, 9), st.integers(1, 10**12))
def test_speed_is_the_amount_over_the_time_the_device_needs(each, calls, amount):
    """Queued work is waited for: the speed is that of the device, however many calls a round has."""
    machine = Machine([each] * 100_000)
    found = speed(Work(machine.run, amount), calls, machine.synchronize, machine.clock)

    assert found == pytest.approx(amount / each)
    assert machine.queued == 0


def test_one_slow_call_does_not_decide():
    """The median stands: neither a slow start, nor an interruption, nor one lucky round change the speed."""
    machine = Machine([5.0, 0.9, 0.01, 0.04])
    found = speed(Work(machine.run, 8), 1, machine.synchronize, machine.clock)

    assert found == pytest.approx(8 / 0.04)


@given(st.floats(1e-3, 10))
def test_the_time_taken_is_bounded(each):
    """Fixed work ends with the first round past its budget, or after the fewest rounds where each is long."""
    machine = Machine([each] * 100_000)
    speed(Work(machine.run, 1), 1, machine.synchronize, machine.clock)

    rounds = math.ceil(SETTLE / each) + max(FEWEST, math.ceil(BUDGET / each))
    assert abs(machine.calls - rounds) <= 2  # sums of floats may end a round sooner or later


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_canary_sings_in_every_dtype(dtype):
    """Both speeds are numbers above 0 in every dtype a config can ask for."""
    gemm, copy = canary("cpu", dtype)

    assert math.isfinite(gemm)
    assert gemm > 0
    assert math.isfinite(copy)
    assert copy > 0


def test_a_canary_leaves_the_run_as_it_was():
    """Random numbers, gradient mode and the default dtype are the same after it."""
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    canary("cpu", torch.bfloat16)

    assert torch.equal(torch.rand(3), expected)
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32


def test_a_shortage_is_told(monkeypatch):
    """Where memory runs out torch's own error reaches the caller, with the bytes it asked for."""
    monkeypatch.setitem(SIZES, "cpu", SIZES["cpu"]._replace(block=2**50))

    with pytest.raises(RuntimeError, match=f"tried to allocate {2**50} bytes"):
        canary("cpu", torch.float32)


def test_a_device_is_waited_for_and_its_cache_given_back(monkeypatch):
    """On an accelerator each round is synchronised at both ends, and the memory goes back at the end."""
    events = []
    device = type("Backend", (), {
        "synchronize": staticmethod(lambda: events.append("wait")),
        "empty_cache": staticmethod(lambda: events.append("empty")),
    })  # fmt: skip
    work = Work(lambda: events.append("work"), 1)
    monkeypatch.setattr(torch, "cuda", device)
    monkeypatch.setattr("bench.worker.probes.canary.matrix_product", lambda *_: work)
    monkeypatch.setattr("bench.worker.probes.canary.block_copy", lambda *_: work)

    canary("cuda:0", torch.float32)

    one_round = ["wait", *["work"] * SIZES["cuda"].calls, "wait"]
    whole, rest = divmod(len(events) - 1, len(one_round))
    assert rest == 0
    assert events == [*one_round * whole, "empty"]


def test_sizes_are_fixed_by_the_kind_of_device():
    """The same device does the same work in every run; on a CPU three products of a slow core pair take 0.5 s at most.

    Slow is 20 GFLOP/s: two cores without vector units of 512 bits at half their peak.
    """
    assert (1 + FEWEST) * 2 * SIZES["cpu"].rows ** 3 / 20e9 <= 0.5
    assert all(size.block % 2**20 == 0 and size.calls >= 1 for size in [*SIZES.values(), OTHER])
