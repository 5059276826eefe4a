"""flash-attn 2 on a simulated GPU: transformers finds it, it holds what the package holds, and is gone afterwards."""

from __future__ import annotations

import importlib.util
from contextlib import suppress

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, masking_utils
from transformers import modeling_flash_attention_utils as utilities

from bench.errors import UnsupportedError
from bench.worker.devices.fake import Fake
from bench.worker.fake.flash import NAME, flash_attn_func, rounded_width
from tests.worker.fake.simulated import held, more_at_peak

BATCH, LENGTH, HEADS, WIDTH = 2, 200, 4, 64
TOKENS = BATCH * LENGTH * HEADS
OUT = TOKENS * WIDTH * 2
assert OUT == 204_800, "2 x 200 x 4 x 64 numbers of 2 bytes"


@pytest.fixture
def gpu():
    """A simulated A100; within the test torch and transformers meet it."""
    with Fake("a100-80gb") as device:
        yield device


@pytest.fixture
def heap(gpu):
    return gpu.heap


def tensor(heads=HEADS, width=WIDTH, length=LENGTH, dtype=torch.bfloat16, batch=BATCH):
    return torch.zeros(batch, length, heads, width, dtype=dtype, device="cuda", requires_grad=True)


def inputs(key_heads=HEADS, **form):
    return tensor(**form), tensor(heads=key_heads, **form), tensor(heads=key_heads, **form)


def ids(length=16):
    return torch.zeros(2, length, dtype=torch.long, device="cuda")


def llama(**settings):
    """Return a small model that attends by flash-attn 2, on the simulated GPU."""
    shapes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
              "num_key_value_heads": 2, "vocab_size": 50, "dtype": torch.bfloat16}  # fmt: skip
    model = LlamaForCausalLM(LlamaConfig(**shapes, **settings, attn_implementation=NAME))
    return model.to("cuda", torch.bfloat16)


def state():
    """Return what transformers knows of flash-attn 2: its functions, what is loaded, whether it is there, its mask."""
    known = utilities.FLASH_ATTENTION_COMPATIBILITY_MATRIX[2]
    mask = masking_utils.ALL_MASK_ATTENTION_FUNCTIONS[NAME]
    return [utilities._lazy_imports, utilities._loaded_implementation, dict(known), mask]


def test_a_model_attends_by_it_forward_and_backward(gpu):
    """No mask, no package: every parameter has a gradient."""
    assert importlib.util.find_spec("flash_attn") is None
    model = llama()

    out = model(input_ids=ids(), labels=ids(), use_cache=False)
    out.loss.backward()

    assert out.logits.shape == (2, 16, 50)
    assert all(parameter.grad.shape == parameter.shape for parameter in model.parameters())


@pytest.mark.parametrize("way_out", [None, ZeroDivisionError])
def test_transformers_is_left_as_it_was(way_out):
    """However the block is left, though a model has been in it."""
    before = state()
    meanwhile = []
    with suppress(ZeroDivisionError), Fake("a100-80gb"):
        llama()(input_ids=ids(), use_cache=False)
        meanwhile += state()
        if way_out:
            raise way_out

    assert all(now != then for now, then in zip(meanwhile, before, strict=True))
    assert state() == before


def test_a_padding_mask_is_refused_in_a_sentence(gpu):
    """How many tokens are no padding is in the data; the way out is named."""
    model = llama()

    with pytest.raises(UnsupportedError, match=r"padding or packed sequences cannot be simulated.*sdpa"):
        model(input_ids=ids(), attention_mask=torch.ones_like(ids()), use_cache=False)


def test_other_implementations_are_not_found(gpu):
    """Only the second of the package is simulated."""
    with pytest.raises(UnsupportedError, match="'flash_attention_3' cannot be simulated"):
        utilities.lazy_import_flash_attention("flash_attention_3")


def kept(heap, given, **options):
    """Return the output of a call, and the bytes it leaves behind."""
    before = held(heap)
    out = flash_attn_func(*given, **options)
    return out, held(heap) - before


GENERATOR = 2 * 8
"""Bytes of the state of the generator, two numbers of 64 bits."""


def test_the_output_and_a_sum_a_row_are_kept(heap):
    """And nothing as long as the square of the length."""
    out, size = kept(heap, inputs(), causal=True)

    assert out.shape == (BATCH, LENGTH, HEADS, WIDTH)
    assert size == OUT + TOKENS * 4 + GENERATOR == 204_800 + 6_400 + 16


def test_heads_are_padded_to_multiples_of_eight(heap):
    """Padded copies of query, key and value, and the output, are 64 wide for 60; what is returned is a view."""
    given = inputs(width=60)
    out, size = kept(heap, given)
    out.sum().backward()

    assert out.shape == given[0].shape
    assert size == 4 * OUT + TOKENS * 4 + GENERATOR
    assert all(each.grad.shape == each.shape for each in given)


def test_a_tensor_whose_heads_are_not_dense_is_copied(heap):
    """A key of another layout; the other two are used as they are."""
    query, key, value = inputs()
    strange = torch.zeros(BATCH, LENGTH, WIDTH, HEADS, dtype=torch.bfloat16, device="cuda").transpose(2, 3)
    _, usual = kept(heap, (query, key, value))
    _, size = kept(heap, (query, strange, value))

    assert size - usual == OUT


def test_backward_keeps_sums_and_a_wide_gradient_aside(heap):
    """200 rows are 256: a sum a row, and the query's gradient in float32; its result is in 16 bits."""
    given = inputs()
    out, _ = kept(heap, given)
    gradient = torch.zeros_like(out)
    heap.reset_peaks()
    before = held(heap)

    grads = torch.autograd.grad(out, given, gradient, retain_graph=True)

    assert [grad.nbytes for grad in grads] == [OUT] * 3
    rows = BATCH * HEADS * 256
    assert more_at_peak(heap, before) == 3 * OUT + rows * 4 + rows * 64 * 4 == 614_400 + 8_192 + 524_288


def test_backward_of_grouped_heads_has_gradients_for_every_head(heap):
    """Two key heads for four: their gradients have two, and four while they are computed."""
    given = inputs(key_heads=2)
    out, _ = kept(heap, given)
    gradient = torch.zeros_like(out)
    heap.reset_peaks()
    before = held(heap)

    grads = torch.autograd.grad(out, given, gradient, retain_graph=True)

    assert [grad.nbytes for grad in grads] == [OUT, OUT // 2, OUT // 2]
    rows = BATCH * HEADS * 256
    assert more_at_peak(heap, before) == 2 * OUT + rows * 4 + rows * 64 * 4 + 2 * OUT


def test_a_deterministic_backward_has_a_gradient_for_every_split(heap):
    """108 multiprocessors over 2 x 4 heads are 14 splits."""
    given = inputs()
    out, _ = kept(heap, given, deterministic=True)
    gradient = torch.zeros_like(out)
    heap.reset_peaks()
    before = held(heap)

    torch.autograd.grad(out, given, gradient, retain_graph=True)

    rows = BATCH * HEADS * 256
    assert more_at_peak(heap, before) == 3 * OUT + rows * 4 + 14 * rows * 64 * 4


@pytest.mark.parametrize(("width", "expected"), [
    (8, 32), (32, 32), (40, 64), (64, 64), (80, 96), (128, 128), (160, 160), (192, 192), (200, 256), (256, 256),
])  # fmt: skip
def test_kernels_round_head_widths(width, expected):
    """In steps of 32, and from 192 on at once to 256."""
    assert rounded_width(width) == expected


@pytest.mark.parametrize(("form", "message"), [
    ({"dtype": torch.float32}, "float16 and bfloat16, not in torch.float32"),
    ({"width": 264}, "256 wide, not 264"),
])  # fmt: skip
def test_what_the_package_refuses_is_refused(gpu, form, message):
    """In a sentence that says what it takes."""
    with pytest.raises(UnsupportedError, match=message):
        flash_attn_func(*inputs(**form))


def test_types_that_differ_are_refused(gpu):
    """As the package does."""
    query, key, value = inputs()
    with pytest.raises(UnsupportedError, match="float16 and bfloat16"):
        flash_attn_func(query, key.half(), value)


def test_older_cards_are_refused():
    """It runs from Ampere on."""
    with Fake("t4"), pytest.raises(UnsupportedError, match=r"capability 8\.0; this one has 7\.5"):
        flash_attn_func(*inputs(dtype=torch.float16))


def test_tensors_of_the_host_are_refused(gpu):
    """It runs on a GPU only."""
    query, key, value = inputs()
    with pytest.raises(UnsupportedError, match="on a GPU only"):
        flash_attn_func(query, key.cpu(), value)
