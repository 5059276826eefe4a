"""Attention on a simulated GPU allocates what the kernel it takes allocates, and its gradients are what they should be.

Shapes are [batch, heads, length, width]; bytes are worked out by hand.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)

from bench.worker.devices.fake import Fake
from bench.worker.fake.attention import scaled_dot_product_attention
from bench.worker.fake.replace import replaced
from tests.worker.fake.simulated import held, more_at_peak
from tests.worker.fake.twice import Operations

BATCH, HEADS, LENGTH, WIDTH = 2, 4, 96, 64
TOKENS = BATCH * HEADS * LENGTH
OUT = TOKENS * WIDTH * 2
assert OUT == 98_304, "2 x 4 x 96 x 64 numbers of 2 bytes"

GENERATOR = 2 * 8
"""Bytes of the seed and offset that dropout starts from."""

FLASH_GENERATOR = GENERATOR + 8
"""The flash kernel returns both in one tensor, and one of a single number that is not used."""

ATTENTION = {
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_safe_softmax",
}


@pytest.fixture
def on():
    """Simulate a GPU by its name; within the test torch meets it."""
    devices = []

    def enter(name):
        devices.append(Fake(name).__enter__())
        return devices[-1].heap

    yield enter
    for device in devices:
        device.__exit__(None, None, None)


def tensor(heads=HEADS, length=LENGTH, width=WIDTH, dtype=torch.bfloat16, gradient=True):
    """Make a query, key or value as models do: split out of [batch, length, heads * width]."""
    made = torch.zeros(BATCH, length, heads, width, dtype=dtype, device="cuda")
    return made.transpose(1, 2).requires_grad_(gradient)


def inputs(key_heads=HEADS, **form):
    return tensor(**form), tensor(heads=key_heads, **form), tensor(heads=key_heads, **form)


def padding(length=LENGTH, dtype=torch.bool):
    return torch.zeros(BATCH, 1, length, length, dtype=dtype, device="cuda")


class Grown:
    """Bytes a call leaves behind, and the kernels it took."""

    def __init__(self, heap, given, **options):
        before = held(heap)
        with Operations() as seen:
            self.out = F.scaled_dot_product_attention(*given, **options)
        self.bytes = held(heap) - before
        self.kernels = seen.names & ATTENTION


def test_flash_keeps_the_output_and_a_sum_a_row(on):
    """Nothing is as long as the square of the length."""
    grown = Grown(on("a100-80gb"), inputs(), is_causal=True)

    assert grown.kernels == {"_scaled_dot_product_flash_attention"}
    assert grown.bytes == OUT + TOKENS * 4 + FLASH_GENERATOR == 98_304 + 3_072 + 24


def test_flash_pads_heads_to_multiples_of_eight(on):
    """Padded copies of query, key and value are kept, 72 wide for 68; what is returned is a view of one as wide."""
    grown = Grown(on("a100-80gb"), inputs(width=68), is_causal=True)

    assert grown.out.shape == (BATCH, HEADS, LENGTH, 68)
    padded = TOKENS * 72 * 2
    assert grown.bytes == 4 * padded + TOKENS * 4 + FLASH_GENERATOR == 4 * 110_592 + 3_072 + 24


def test_flash_takes_grouped_heads_as_they_are(on):
    """No key is repeated: one key head to two query heads changes nothing of what is kept."""
    grown = Grown(on("a100-80gb"), inputs(key_heads=2), is_causal=True, enable_gqa=True)

    assert grown.kernels == {"_scaled_dot_product_flash_attention"}
    assert grown.bytes == OUT + TOKENS * 4 + FLASH_GENERATOR


def test_efficient_keeps_the_output_and_sums_of_whole_blocks(on):
    """Rows of sums are rounded up to 32: 96 stay 96."""
    grown = Grown(on("t4"), inputs(dtype=torch.float16), is_causal=True)

    assert grown.kernels == {"_scaled_dot_product_efficient_attention"}
    assert grown.bytes == OUT + TOKENS * 4 + GENERATOR


def test_efficient_rounds_sums_up_to_32_rows(on):
    """Of 40 tokens there are sums of 64 rows where a backward pass needs them, none where there is none."""
    heap = on("t4")
    out = BATCH * HEADS * 40 * WIDTH * 2
    trained = Grown(heap, inputs(dtype=torch.float16, length=40)).bytes - out
    inferred = Grown(heap, inputs(dtype=torch.float16, length=40, gradient=False)).bytes - out

    assert inferred == 0
    assert trained == BATCH * HEADS * 64 * 4 + GENERATOR == 2_048 + 16


def test_efficient_makes_no_sums_without_gradients(on):
    """Nothing but the output and the generator's numbers, not even for a while."""
    heap = on("t4")
    given = inputs(dtype=torch.float16, gradient=False)
    before = held(heap)
    F.scaled_dot_product_attention(*given)

    assert more_at_peak(heap, before) == OUT + GENERATOR == 98_304 + 16


def test_a_boolean_mask_becomes_one_that_is_added(on):
    """A copy in the query's type, kept for the backward pass; one that is added already is used as it is."""
    heap = on("a100-80gb")
    added, boolean = padding(dtype=torch.bfloat16), padding()
    as_it_is = Grown(heap, inputs(), attn_mask=added)
    copied = Grown(heap, inputs(), attn_mask=boolean)

    assert as_it_is.kernels == copied.kernels == {"_scaled_dot_product_efficient_attention"}
    assert copied.bytes - as_it_is.bytes == BATCH * LENGTH * LENGTH * 2 == 36_864


@pytest.mark.parametrize(("length", "columns"), [(96, 0), (100, 104), (97, 104), (103, 104)])
def test_efficient_aligns_rows_of_a_mask(on, length, columns):
    """Rows that do not start at multiples of eight numbers are copied into wider ones; multiples of eight are not."""
    heap = on("a100-80gb")
    mask = padding(length, torch.bfloat16)
    grown = Grown(heap, inputs(length=length), attn_mask=mask)
    without = Grown(heap, inputs(length=length, width=264), is_causal=True)

    rest = BATCH * HEADS * length * 2
    assert grown.bytes - (without.bytes - rest * (264 - WIDTH)) == BATCH * length * columns * 2


def test_a_boolean_mask_is_copied_twice_where_its_rows_are_not_aligned(on):
    """Only the aligned copy stays: the other, 2 x 100 x 100 numbers of 2 bytes, is gone after the call."""
    heap, given = on("a100-80gb"), inputs(length=100)
    added = Grown(heap, given, attn_mask=padding(100, torch.bfloat16))
    boolean = Grown(heap, given, attn_mask=padding(100))

    assert boolean.bytes == added.bytes


def test_cudnn_keeps_the_output_and_a_sum_a_row(on):
    """Sums are there where a backward pass needs them; masks and groups are taken as they are."""
    heap = on("h100-80gb")
    mask = padding(dtype=torch.bfloat16)
    grown = Grown(heap, inputs(key_heads=2), attn_mask=mask, enable_gqa=True)

    assert grown.kernels == {"_scaled_dot_product_cudnn_attention"}
    assert grown.bytes == OUT + TOKENS * 4 + GENERATOR


def plain(heap, **options):
    """Attend in float64, which no fused kernel takes, after cuBLAS has its workspace."""
    given = inputs(dtype=torch.float64)
    torch.ones(8, 8, device="cuda") @ torch.ones(8, 8, device="cuda")
    return Grown(heap, given, **options)


SCORES = TOKENS * LENGTH * 8
assert SCORES == 589_824, "2 x 4 x 96 x 96 numbers of 8 bytes"


def test_plain_attention_keeps_scores(on):
    """The square of the length for every head; the output; query, key and value, copied for the products' layout."""
    grown = plain(on("a100-80gb"))

    assert grown.kernels == {"_safe_softmax"}
    assert grown.bytes == SCORES + 4 * TOKENS * WIDTH * 8 == 589_824 + 4 * 393_216


def test_plain_attention_drops_out_of_a_copy(on):
    """Scores after it, and which of them were kept, a byte each."""
    heap = on("a100-80gb")

    assert plain(heap, dropout_p=0.1).bytes - plain(heap).bytes == SCORES + TOKENS * LENGTH


def test_plain_attention_computes_halves_in_float32(on):
    """On a card too old for bfloat16 kernels: three wide copies, scores of four bytes, and an output of two again."""
    heap = on("t4")
    torch.ones(8, 8, device="cuda") @ torch.ones(8, 8, device="cuda")
    given = inputs()
    before = held(heap)
    grown = Grown(heap, given)

    assert grown.kernels == {"_safe_softmax"}
    assert grown.out.dtype is torch.bfloat16
    assert more_at_peak(heap, before) >= 3 * TOKENS * WIDTH * 4 + 2 * TOKENS * LENGTH * 4
    wide = TOKENS * WIDTH * 4
    assert grown.bytes == OUT + 3 * wide + TOKENS * LENGTH * 4


def test_plain_attention_repeats_keys_of_a_group(on):
    """A key and a value for every query head; only float64 and the like comes here with groups on this card."""
    heap = on("a100-80gb")
    torch.ones(8, 8, device="cuda") @ torch.ones(8, 8, device="cuda")
    given = inputs(key_heads=2, dtype=torch.float32)
    grown = Grown(heap, given, enable_gqa=True)

    row = TOKENS * WIDTH * 4
    assert grown.kernels == {"_safe_softmax"}
    assert grown.out.shape == given[0].shape
    # the output, the query copied, key and value repeated, and scores
    assert grown.bytes == 4 * row + TOKENS * LENGTH * 4


CALLS = {
    "flash": ("a100-80gb", {}, {"is_causal": True}),
    "flash, padded": ("a100-80gb", {"width": 60}, {}),
    "flash, grouped": ("a100-80gb", {"key_heads": 2}, {"enable_gqa": True}),
    "efficient": ("t4", {"dtype": torch.float16}, {}),
    "efficient, float32": ("a100-80gb", {"dtype": torch.float32}, {"is_causal": True}),
    "efficient, dropout": ("t4", {"dtype": torch.float16}, {"dropout_p": 0.1}),
    "cudnn": ("h100-80gb", {}, {"is_causal": True}),
    "cudnn, grouped": ("h100-80gb", {"key_heads": 2}, {"enable_gqa": True}),
    "math": ("a100-80gb", {"dtype": torch.float64}, {"is_causal": True}),
    "math, grouped": ("a100-80gb", {"dtype": torch.float32, "key_heads": 2}, {"enable_gqa": True}),
    "math, halves": ("t4", {}, {"dropout_p": 0.1}),
}


@pytest.mark.parametrize(("gpu", "form", "options"), CALLS.values(), ids=CALLS.keys())
def test_output_and_gradients_are_like_the_inputs(on, gpu, form, options):
    """Shape and type, whatever the kernel."""
    on(gpu)
    given = inputs(**form)
    out = F.scaled_dot_product_attention(*given, **options)
    out.sum().backward()

    assert (out.shape, out.dtype) == (given[0].shape, given[0].dtype)
    for each in given:
        assert (each.grad.shape, each.grad.dtype) == (each.shape, each.dtype)


@pytest.mark.parametrize("mask", [torch.bool, torch.bfloat16])
@pytest.mark.parametrize("gpu", ["a100-80gb", "h100-80gb", "t4"])
def test_masks_can_be_trained_with(on, gpu, mask):
    """Of either kind, and on every kernel that takes one."""
    on(gpu)
    given = inputs(length=100)
    F.scaled_dot_product_attention(*given, attn_mask=padding(100, mask)).sum().backward()

    assert all(each.grad.shape == each.shape for each in given)


def test_autocast_casts_what_is_given(on):
    """Copies in 16 bits are made of query, key and value, and kept."""
    heap = on("a100-80gb")
    given = inputs(dtype=torch.float32)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        grown = Grown(heap, given, is_causal=True)

    assert grown.kernels == {"_scaled_dot_product_flash_attention"}
    assert grown.out.dtype is torch.bfloat16
    assert grown.bytes == 3 * OUT + OUT + TOKENS * 4 + FLASH_GENERATOR


def test_autocast_casts_a_mask_that_is_added(on):
    """A copy of 2 x 96 x 96 numbers of 2 bytes is kept beside those of query, key and value."""
    heap = on("a100-80gb")
    mask, given = padding(dtype=torch.float32), inputs(dtype=torch.float32)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        grown = Grown(heap, given, attn_mask=mask)

    assert grown.kernels == {"_scaled_dot_product_efficient_attention"}
    assert grown.bytes == 3 * OUT + BATCH * LENGTH * LENGTH * 2 + OUT + TOKENS * 4 + GENERATOR


def test_autocast_is_over_within(on):
    """Plain attention computes in float32 as it does without autocast: products inside are not cast."""
    heap = on("t4")
    torch.ones(8, 8, device="cuda") @ torch.ones(8, 8, device="cuda")
    usual = Grown(heap, inputs()).bytes
    with torch.autocast("cuda", dtype=torch.bfloat16):
        grown = Grown(heap, inputs())

    assert grown.kernels == {"_safe_softmax"}
    assert grown.bytes == usual


def test_autocast_leaves_float64(on):
    """Its rules do."""
    on("a100-80gb")
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert F.scaled_dot_product_attention(*inputs(dtype=torch.float64)).dtype is torch.float64


def test_float32_is_efficient_and_not_flash(on):
    """Twice the bytes for the output, and sums of the same size."""
    grown = Grown(on("a100-80gb"), inputs(dtype=torch.float32), is_causal=True)

    assert grown.kernels == {"_scaled_dot_product_efficient_attention"}
    assert grown.bytes == 2 * OUT + TOKENS * 4 + GENERATOR


def test_tensors_of_the_host_go_to_the_original():
    """With every argument they came with."""
    calls = []

    def original(*args, **kwargs):
        calls.append((args, kwargs))
        return "original"

    query, key, value, mask = (torch.ones(1, 1, 2, 2) for _ in range(4))
    with replaced(F, "scaled_dot_product_attention", original):
        attention = scaled_dot_product_attention((8, 0))
        answer = attention(query, key, value, mask, 0.5, True, scale=2.0, enable_gqa=True)

    assert answer == "original"
    assert calls == [((query, key, value, mask, 0.5, True), {"scale": 2.0, "enable_gqa": True})]
