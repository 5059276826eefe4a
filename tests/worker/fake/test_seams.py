"""Real code takes the ways on a simulated GPU that it takes on a real one, and meets the real torch again after it."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

from bench.errors import UnsupportedError
from bench.worker.devices.fake import Fake
from bench.worker.fake.replace import replaced
from bench.worker.fake.seams import ANSWERED, SEQUENTIAL_LOADING
from tests.worker.fake.twice import Operations

ROOT = Path(__file__).parents[3]

TORCHS_OWN = {"torch.jit._builtins._builtin_table", "torch._subclasses.meta_utils.DESCRIBER_NEXT_ID"}
"""A table that torch fills when it is first asked for, and a counter of fake tensors."""


@pytest.fixture
def gpu():
    """A simulated H100; within the test torch meets it."""
    with Fake("h100-80gb") as device:
        yield device


def operations(work) -> set[str]:
    """Return which operations ran."""
    with Operations() as seen:
        work()
    return seen.names


@pytest.fixture(scope="module")
def leftovers():
    """What a process of its own finds changed by a simulated GPU that it left well, and by an error."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.worker.fake.leftovers"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("way_out", ["well", "error"])
def test_torch_and_its_family_are_left_as_they_were(leftovers, way_out):
    """Of all attributes of all their modules and classes, lists, tables and variables, none is another afterwards."""
    found = leftovers[way_out]

    assert set(found["left"]) <= TORCHS_OWN
    assert found["new"] == []
    meanwhile = set(found["meanwhile"])
    assert {f"torch.cuda.{name}" for name in ANSWERED} <= meanwhile
    assert {"environment", "torch.nn.functional.scaled_dot_product_attention", "torch.storage.UntypedStorage.data_ptr",
            "torch.utils._foreach_utils._foreach_supported_types"} <= meanwhile  # fmt: skip


def test_a_variable_that_was_set_keeps_its_value(monkeypatch):
    """Loading is sequential within, and what the user wanted after it."""
    monkeypatch.setenv(SEQUENTIAL_LOADING, "0")
    with Fake("t4"):
        assert os.environ[SEQUENTIAL_LOADING] == "1"
    assert os.environ[SEQUENTIAL_LOADING] == "0"


def test_a_parameter_that_moves_keeps_its_hooks(gpu):
    """Module.to gives a real parameter other data; hooks that were registered before it run after it."""
    called = []
    layer = torch.nn.Linear(4, 4)
    layer.weight.register_hook(lambda _: called.append("gradient"))
    layer.weight.register_post_accumulate_grad_hook(lambda _: called.append("accumulated"))

    layer.to("cuda", torch.bfloat16)
    layer(torch.ones(2, 4, device="cuda", dtype=torch.bfloat16)).sum().backward()

    assert layer.weight.device.type == "cuda"
    assert called == ["gradient", "accumulated"]


def test_a_parameter_that_is_given_data_is_where_they_are(gpu):
    """A parameter of the host whose data become a tensor of the GPU is on the GPU, and needs no other move."""
    parameter = torch.nn.Parameter(torch.zeros(8))
    parameter.data = torch.zeros(8, device="cuda")

    assert parameter.device.type == "cuda"
    assert operations(lambda: parameter.to("cuda")) & {"_to_copy", "copy_"} == set()


def test_a_module_can_be_copied(gpu):
    """The copy has memory of its own, moves like the original, and lives on the same simulated GPU."""
    layer = torch.nn.Linear(16, 16, bias=False).to("cuda")
    gpu.heap.settle()
    before = gpu.heap.allocator.requested

    copied = copy.deepcopy(layer)

    assert copied.weight.fake_mode is layer.weight.fake_mode
    copied.to("cuda")
    gpu.heap.settle()
    assert gpu.heap.allocator.requested == 2 * before


def test_optimisers_treat_all_parameters_in_one_call(gpu):
    """torch.optim.AdamW takes its foreach way, with its temporaries; so does clipping."""
    parameters = [torch.nn.Parameter(torch.zeros(8, device="cuda")) for _ in range(2)]
    optimizer = torch.optim.AdamW(parameters)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)

    seen = operations(lambda: (torch.nn.utils.clip_grad_norm_(parameters, 1.0), optimizer.step()))

    assert {"_foreach_norm", "_foreach_sqrt", "_foreach_addcdiv_"} <= seen


def test_autocast_casts(gpu):
    """A matrix product of float32 is made in bfloat16."""
    square = torch.ones(4, 4, device="cuda")
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert (square @ square).dtype is torch.bfloat16


def test_operations_that_cuda_has_kernels_for_stay_whole(gpu):
    """silu's derivative is one kernel on a GPU, with no temporaries, though it is also defined by others."""
    given = torch.ones(4, device="cuda", requires_grad=True)
    seen = operations(lambda: torch.nn.functional.silu(given).sum().backward())

    assert "silu_backward" in seen
    assert "sigmoid" not in seen


def test_numpy_is_refused_in_a_sentence(gpu):
    """There are no values to compute with."""
    with pytest.raises(UnsupportedError, match="no values"):
        torch.ones(3).numpy()


def test_a_storage_lies_where_the_allocator_put_it(gpu):
    """Views share the address, the host's storages have none, and no two live ones have the same."""
    one, two, host = torch.ones(1000, device="cuda"), torch.ones(1000, device="cuda"), torch.ones(10)
    addresses = [tensor.untyped_storage().data_ptr() for tensor in (one, one[10:], two, host)]

    assert addresses[0] == addresses[1] != addresses[2]
    assert addresses[2] != 0
    assert addresses[3] == 0


@pytest.fixture
def attended(gpu):
    """Run a small model of one layer on the simulated GPU; return what its attention was given for a mask."""
    settings = LlamaConfig(hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
                           num_key_value_heads=2, vocab_size=50, attn_implementation="sdpa")  # fmt: skip
    model = LlamaForCausalLM(settings).to("cuda", torch.bfloat16)
    given = []

    def run(**inputs):
        attention = torch.nn.functional.scaled_dot_product_attention

        def note(*args, attn_mask=None, **kwargs):
            given.append(attn_mask)
            return attention(*args, attn_mask=attn_mask, **kwargs)

        with replaced(torch.nn.functional, "scaled_dot_product_attention", note):
            model(**{name: tensor.to("cuda") for name, tensor in inputs.items()}, use_cache=False)
        return given[-1]

    return run


def test_a_mask_that_is_there_is_used(attended):
    """Every layer gets it, in all four dimensions."""
    ids = torch.zeros(2, 7, dtype=torch.long)

    assert attended(input_ids=ids, attention_mask=torch.ones_like(ids)).shape == (2, 1, 7, 7)


def test_without_a_mask_none_is_made(attended):
    """Transformers' search for packed sequences finds none; attention is causal by itself."""
    assert attended(input_ids=torch.zeros(2, 7, dtype=torch.long)) is None


def test_the_search_for_packed_sequences_takes_the_memory_it_takes(gpu):
    """It computes on the position ids as ever, and what it reads back is that there are none."""
    look = transformers.masking_utils.find_packed_sequence_indices
    found = []

    seen = operations(lambda: found.append(look(torch.zeros(2, 7, dtype=torch.long, device="cuda"))))

    assert found == [None]
    assert "cumsum" in seen
