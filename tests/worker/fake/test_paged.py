"""Optimisers of bitsandbytes keep on a simulated GPU what they keep on a real one, and page what they page there."""

from __future__ import annotations

import bitsandbytes as bnb
import pytest
import torch

from bench.worker.probes.managed import bitsandbytes_bytes
from tests.worker.fake.simulated import described, held, simulated

SHAPES = [(10,), (4095,), (64, 64), (100, 130), (317, 316)]
"""Below and above 4096 values, from which on states have 8 bits, and above 100,000, from which on they are paged."""

OPTIMIZERS = ["AdamW8bit", "AdamW32bit", "Lion8bit", "Lion32bit", "AdEMAMix8bit", "RMSprop8bit"]
PAGED = ["PagedAdamW8bit", "PagedAdamW32bit", "PagedLion8bit"]


def stepped(name: str, device: str, steps: int = 1) -> torch.optim.Optimizer:
    """Let an optimiser of bitsandbytes step with a parameter of every shape."""
    parameters = [torch.nn.Parameter(torch.zeros(shape, device=device)) for shape in SHAPES]
    optimizer = getattr(bnb.optim, name)(parameters)
    for _ in range(steps):
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    return optimizer


def states(optimizer: torch.optim.Optimizer) -> list[dict[str, object]]:
    return [described(optimizer.state[p]) for p in optimizer.param_groups[0]["params"]]


def unpaged(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of parameters, gradients, states that are not paged, and the maps of codes that states share."""
    kept = [tensor for tensor in optimizer.name2qmap.values() if tensor.device.type == "cuda"]
    for parameter, state in optimizer.state.items():
        own = [value for name, value in state.items() if not name.startswith("qmap") and torch.is_tensor(value)]
        kept += [parameter, parameter.grad, *(tensor for tensor in own if not getattr(tensor, "is_paged", False))]
    return sum(tensor.nbytes for tensor in kept)


def paged(optimizer: torch.optim.Optimizer) -> list[int]:
    """Bytes of every paged state."""
    tensors = [tensor for state in optimizer.state.values() for tensor in state.values()]
    return [tensor.nbytes for tensor in tensors if getattr(tensor, "is_paged", False)]


@pytest.mark.parametrize("device", ["cuda", "cpu"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_states_are_those_of_real_tensors(name, device):
    """Every state has name, shape, type and bytes of the one that the same optimiser keeps of real tensors."""
    real = states(stepped(name, "cpu"))

    with simulated():
        assert states(stepped(name, device)) == real


@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU")
@pytest.mark.parametrize("name", PAGED)
def test_paged_states_are_of_the_size_of_others(name):
    """Paging moves states and changes none; a host pages nothing, so there they are compared unpaged."""
    real = states(stepped(name, "cpu"))

    with simulated():
        assert states(stepped(name, "cuda")) == real


@pytest.mark.parametrize("name", [*OPTIMIZERS, *PAGED])
def test_the_gpu_holds_all_that_is_not_paged(name):
    """What the heap counts is parameters, gradients and unpaged states to the byte; what is paged it never sees."""
    with simulated() as heap:
        optimizer = stepped(name, "cuda")

        assert held(heap) == unpaged(optimizer)
        assert bitsandbytes_bytes() == sum(paged(optimizer))


def test_only_large_states_are_paged():
    """bitsandbytes pages states of 100,000 values and more (optim/optimizer.py, `get_state_buffer`)."""
    with simulated():
        assert paged(stepped("PagedAdamW32bit", "cuda")) == [4 * 317 * 316] * 2
        assert paged(stepped("AdamW32bit", "cuda")) == []


def test_later_steps_take_nothing_more():
    """States are made at the first step only."""
    with simulated() as heap:
        once = stepped("PagedAdamW8bit", "cuda")
        after_one = held(heap), bitsandbytes_bytes()
        del once
    with simulated() as heap:
        thrice = stepped("PagedAdamW8bit", "cuda", steps=3)

        assert (held(heap), bitsandbytes_bytes()) == after_one
        del thrice


def test_the_page_manager_is_left_as_it_was():
    """What a simulation pages is counted in it alone."""
    manager = bnb.functional.GlobalPageManager.get_instance()
    before = list(manager.paged_tensors)

    with simulated():
        kept = stepped("PagedAdamW32bit", "cuda")
        assert bitsandbytes_bytes() > 0
        del kept

    assert bnb.functional.GlobalPageManager.get_instance() is manager
    assert manager.paged_tensors == before
