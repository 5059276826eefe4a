"""The tracker sees what a CPU really allocates: the same blocks, in the same order, for every method.

The same model, method, optimiser and loop run twice, on real tensors and on fake ones, and the real side is recorded
by torch's profiler. Equal to the byte is not only the peak of every stage but the whole list of what was taken and
given back in two steps. Three kinds of blocks are left out of the comparison, for no GPU holds them either:

- numbers, up to 16 bytes: torch turns a Python number into a tensor on the host, which no operation returns;
- the state of the host's generator (5056 bytes), saved by gradient checkpointing; a GPU's is on the host too;
- what a CPU kernel takes and gives back within one operation, by whose name it is told: weights that mkldnn lays out
  anew for bfloat16, partial sums of attention, operands cast to a common type, MKL's random integers. What CUDA's
  kernels take instead is `bench.worker.fake.kernels`' to say.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.errors import UnsupportedError
from bench.schema import RunConfig
from bench.schema.catalogue import METHODS
from bench.schema.config import Protocol, configure
from tests.worker.fake.twice import Log, on_cpu, peaks, simulated

DATA_DECIDES = {
    "adamss": "numpy|scikit-learn",  # which peft needs here and is not always installed
    "frod": "nonzero",
    "shira": "nonzero",
    "unilora": "bincount",
    "waveft": "nonzero",
}
"""Methods that cannot be simulated, by what needs the data: operations whose result has a size that the data decides,
and libraries that compute with it."""

ORDER_DIFFERS = {
    "c3a": "a CPU's Fourier transform returns other strides than FakeTensorMode tells, which saves it a copy",
}

PLAIN: dict[str, Any] = {"dtype": "float32", "attention": "eager", "optimizer": "adamw", "packing": True}
CHECKPOINTED: dict[str, Any] = {"dtype": "bfloat16", "attention": "sdpa", "gradient_checkpointing": True}

GRID: list[dict[str, Any]] = [
    {"dtype": "float32", "attention": "sdpa", "packing": True, "gradient_accumulation_steps": 2},
    {"dtype": "float32", "attention": "eager", "gradient_checkpointing": True, "optimizer": "adamw"},
    {"dtype": "bfloat16", "attention": "eager", "packing": True, "optimizer": "adamw"},
    {"dtype": "bfloat16", "attention": "sdpa", "packing": True, "gradient_checkpointing": True},
    {"dtype": "bfloat16", "attention": "sdpa", "autocast": "bfloat16"},
    {"dtype": "bfloat16", "protocol": Protocol(use_cache=True, outputs="forward", zero_grad_first=True)},
    {"dtype": "bfloat16", "protocol": Protocol(outputs="backward", shapes=((2, 16), (3, 9)), padded=True)},
    {"dtype": "float16", "attention": "sdpa", "packing": True},
]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small matrices are decomposed a hundred times faster by one thread than by two that wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def config_of(method: str, settings: dict[str, Any]) -> RunConfig:
    return configure(**{"model": "tiny-llama", "method": method, "task": "addition", "batch_size": 2,
                        "sequence_length": 16, "steps": 2, **settings})  # fmt: skip


def both(config: RunConfig) -> tuple[Log, Log]:
    """Return the real and the simulated run; a refusal is a log of one sentence."""
    try:
        made, operations = simulated(config)
    except UnsupportedError as refusal:
        made, operations = [str(refusal)], set()
    try:
        return on_cpu(config, operations), made
    except UnsupportedError as refusal:
        return [str(refusal)], made


@pytest.mark.parametrize("settings", [PLAIN, CHECKPOINTED], ids=["plain", "checkpointed"])
@pytest.mark.parametrize("method", [name for name in METHODS if name not in DATA_DECIDES])
def test_every_method_allocates_what_it_really_allocates(method, settings):
    """Stage by stage peaks are equal, and so is every block before and after; what peft refuses it refuses twice."""
    real, made = both(config_of(method, settings))

    assert peaks(made) == peaks(real)
    if method not in ORDER_DIFFERS:
        assert made == real


@pytest.mark.parametrize("settings", GRID, ids=range(len(GRID)))
@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_so_do_precisions_attention_checkpointing_and_loops(method, settings):
    """The commonest methods, in every dtype, with both attentions, with and without a mask, and in others' loops."""
    real, made = both(config_of(method, settings))

    assert peaks(made) == peaks(real)
    assert made == real


@pytest.mark.parametrize(("method", "operation"), DATA_DECIDES.items())
def test_what_the_data_decides_is_refused_by_name(method, operation):
    """A method that makes tensors of a size only their data tells is unsupported, not wrong."""
    with pytest.raises(UnsupportedError, match=operation):
        simulated(config_of(method, PLAIN))
