"""What kernels take inside one operation, worked out by hand for one call of each rule."""

from __future__ import annotations

import pytest
import torch

from bench.worker.devices.fake import Fake
from bench.worker.fake.kernels import RULES, scratch
from tests.worker.fake.simulated import held, more_at_peak

BF16, FLOAT = torch.bfloat16, torch.float32

FLASH, EFFICIENT, CUDNN = (f"_scaled_dot_product_{name}_attention" for name in ("flash", "efficient", "cudnn"))


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


@pytest.fixture
def a100(on):
    """An A100: capability 8.0, 108 multiprocessors."""
    return on("a100-80gb")


def zeros(*shape, dtype=BF16):
    return torch.zeros(shape, dtype=dtype, device="cuda")


def taken(name, *args, out=None, **kwargs):
    return list(scratch(name, args, kwargs, out))


def heads(batch=2, heads=4, length=200, width=64, dtype=BF16):
    """Make a query or key [batch, heads, length, width] as models do: of [batch, length, heads, width]."""
    return zeros(batch, length, heads, width, dtype=dtype).transpose(1, 2)


def test_an_operation_without_a_rule_takes_nothing(a100):
    """Nor is its argument looked at."""
    assert scratch("mul", (object(),), {}, None) == ()


def test_every_rule_is_of_an_operation_of_torch():
    """A name that torch does not have would never be met."""
    assert all(hasattr(torch.ops.aten, name) for name in RULES)


def test_the_tracker_takes_and_releases_scratch(a100):
    """A backward pass of flash attention peaks above its gradients and leaves only them."""
    query, key, value = (heads().requires_grad_() for _ in range(3))
    out = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    gradient = torch.zeros_like(out)
    a100.reset_peaks()
    before = held(a100)

    grads = torch.autograd.grad(out, (query, key, value), gradient, retain_graph=True)

    gradients = 3 * 2 * 4 * 200 * 64 * 2
    assert held(a100) - before == sum(grad.nbytes for grad in grads) == gradients
    assert more_at_peak(a100, before) == gradients + 2 * 4 * 256 * 4 + 2 * 4 * 256 * 64 * 4


# flash: 200 rows are rounded up to 256


def test_flash_backward(a100):
    """A sum a row, and the query's gradient in float32."""
    query = heads()
    rows = 2 * 4 * 256

    assert taken(f"{FLASH}_backward", query, query, query) == [rows * 4, rows * 64 * 4] == [8_192, 524_288]


def test_flash_backward_of_groups(a100):
    """And gradients of key and value for each of four query heads, though there are two key heads."""
    query, key = heads(), heads(heads=2)
    full = 2 * 4 * 200 * 64 * 2

    assert taken(f"{FLASH}_backward", query, query, key)[2:] == [full] * 2 == [204_800] * 2


@pytest.mark.parametrize(("width", "rounded"), [(40, 64), (96, 96), (128, 128), (136, 192), (192, 192), (200, 256)])
def test_flash_backward_rounds_widths(a100, width, rounded):
    """To multiples of 32, above 128 of 64."""
    query = heads(width=width)

    assert taken(f"{FLASH}_backward", query, query, query)[1] == 2 * 4 * 256 * rounded * 4


def test_flash_backward_copies_a_gradient_of_another_layout(a100):
    """As [batch, length, heads, width] it is not dense."""
    query, gradient = heads(), zeros(2, 4, 200, 64)

    assert taken(f"{FLASH}_backward", gradient, query, query)[0] == gradient.nbytes


def test_flash_backward_made_deterministic(a100):
    """A gradient for each of 14 splits: 108 multiprocessors over 2 x 4 heads, rounded up."""
    query = heads()
    torch.use_deterministic_algorithms(True)
    try:
        sizes = taken(f"{FLASH}_backward", query, query, query)
    finally:
        torch.use_deterministic_algorithms(False)

    assert sizes == [2 * 4 * 256 * 4, 14 * 2 * 4 * 256 * 64 * 4]


def test_flash_splits_keys_where_queries_are_few(a100):
    """4 heads of 64 queries are 4 blocks for 216 places: the 16 blocks of 4096 keys each have their own sums."""
    query, key = heads(1, 4, 64), heads(1, 4, 4096)
    rows = 16 * 4 * 64

    assert taken(FLASH, query, key, key, 0.0, True) == [rows * 4, rows * 64 * 4] == [16_384, 1_048_576]


def test_flash_splits_keys_of_a_single_token(a100):
    """32 query heads to 8 of keys are 8 heads of 4 tokens; 2048 keys are 16 blocks of 128."""
    query, key = heads(1, 32, 1, 128), heads(1, 8, 2048, 128)
    rows = 16 * 8 * 4

    assert taken(FLASH, query, key, key) == [rows * 4, rows * 128 * 4] == [2_048, 262_144]


@pytest.mark.parametrize(("batch", "dropout"), [(2, 0.0), (1, 0.1)])
def test_flash_does_not_split_full_work_or_with_dropout(a100, batch, dropout):
    """2 x 32 heads of 4 blocks are 256 and fill 80 % of 216 places."""
    query = heads(batch, 32 if batch == 2 else 4, 256)

    assert taken(FLASH, query, query, query, dropout_p=dropout) == []


# efficient: a block of the query's gradient has 16 bytes before its numbers


@pytest.mark.parametrize(("width", "dtype", "expected"), [
    (128, BF16, []), (192, BF16, [2 * 4 * 200 * 192 * 4]), (192, FLOAT, []),
])  # fmt: skip
def test_efficient_forward(a100, width, dtype, expected):
    """Heads wider than 128 in 16 bits are summed in an output of float32."""
    query = heads(width=width, dtype=dtype)

    assert taken(EFFICIENT, query, query, query) == expected


HALF = torch.float16
BACKWARD = [
    # 64 x 64: 4 blocks of rows, one of columns
    ("a100-80gb", 64, BF16, 0.0, 4 * (16 + 64 * 64 * 4)),
    ("a100-80gb", 64, FLOAT, 0.0, 4 * (16 + 64 * 64 * 4)),
    ("t4", 64, HALF, 0.0, 4 * (16 + 64 * 64 * 4)),
    # 128 x 128: 2 blocks
    ("a100-80gb", 128, BF16, 0.0, 2 * (16 + 128 * 128 * 4)),
    # 128 x 64: 2 blocks by 3; and gradients of 4 parts of the keys, 64 x (256 + 256)
    ("a100-80gb", 160, BF16, 0.0, 6 * (16 + 128 * 64 * 4) + 4 * 64 * 512 * 4),
    ("a100-80gb", 160, FLOAT, 0.0, 6 * (16 + 128 * 64 * 4)),
    # too little shared memory for 128 x 128: one of 128 x 64 that is 96 wide, and with dropout 64 x 64
    ("rtx-4090", 96, BF16, 0.0, 4 * (16 + 128 * 64 * 4)),
    ("rtx-4090", 96, BF16, 0.1, 8 * (16 + 64 * 64 * 4) + 4 * 64 * 256 * 4),
]


@pytest.mark.parametrize(("gpu", "width", "dtype", "dropout", "a_head"), BACKWARD)
def test_efficient_backward(on, gpu, width, dtype, dropout, a_head):
    """A sum a row, and one workspace of so many bytes for each of 8 heads of 200 tokens."""
    on(gpu)
    query = heads(width=width, dtype=dtype)
    args = (query, query, query, query, None, query, query, query, query, dropout)

    assert taken(f"{EFFICIENT}_backward", *args) == [2 * 4 * 200 * 4, 8 * a_head]


def test_efficient_backward_splits_keys_of_many_heads_less(a100):
    """100 heads share 200 parts, 2 each, of 4 there could be."""
    query = heads(batch=10, heads=10, width=160)

    expected = 100 * (6 * (16 + 128 * 64 * 4) + 2 * 64 * 512 * 4)
    assert taken(f"{EFFICIENT}_backward", query, query, query, query)[1] == expected


def test_efficient_backward_copies_a_gradient_of_another_layout(a100):
    """As [batch, length, heads, width] it is not dense."""
    query, gradient = heads(), zeros(2, 4, 200, 64)

    assert taken(f"{EFFICIENT}_backward", gradient, query, query, query)[0] == gradient.nbytes


def test_cudnn_backward(on):
    """The query's gradient and a sum a row in float32; grouped, gradients of key and value for every query head."""
    on("h100-80gb")
    query, key = heads(), heads(heads=2)
    aside = 2 * 4 * 200 * (64 + 1) * 4

    assert taken(f"{CUDNN}_backward", query, query, query, query) == [aside] == [416_000]
    full = 2 * 4 * 200 * (64 + 64) * 2
    assert taken(f"{CUDNN}_backward", query, query, key, key) == [aside + full] == [416_000 + 409_600]


def test_safe_softmax(a100):
    """A truth value for each of 4 x 10 x 20 scores and for each row."""
    scores = zeros(4, 10, 20, dtype=FLOAT)

    assert taken("_safe_softmax", scores, -1, out=scores) == [800, 40]


# others


@pytest.mark.parametrize(("tokens", "expected"), [
    (3072, []),
    # 4400 parts: every tenth of 4000 tokens, and as many as there may be different ones
    (4000, [32_000] * 3 + [32_000] * 2 + [35_200, 4_400 * 64 * 4]),
])  # fmt: skip
def test_embedding_backward(a100, tokens, expected):
    """Few tokens are not sorted; of many there are numbers, places and parts, and a wide gradient for each part."""
    args = (zeros(tokens, 64), zeros(tokens, dtype=torch.int64), 32_000, -1, False)

    assert taken("embedding_dense_backward", *args) == expected


def test_embedding_backward_of_few_rows(a100):
    """Of 100 rows no more than 100 tokens are different: 400 + 100 parts."""
    args = (zeros(4000, 64), zeros(4000, dtype=torch.int64), 100, -1, False)

    expected = [32_000] * 3 + [800] * 2 + [4_000, 500 * 64 * 4]
    assert taken("embedding_dense_backward", *args) == expected


def test_embedding_backward_by_frequency(a100):
    """Tokens are counted, and therefore sorted however few they are."""
    args = (zeros(1000, 64), zeros(1000, dtype=torch.int64), 32_000, -1, True)

    expected = [8_000] * 4 + [8_000] * 2 + [8_800, 1_100 * 64 * 4]
    assert taken("embedding_dense_backward", *args) == expected


@pytest.mark.parametrize("name", ["index_put", "index_put_", "_index_put_impl_", "_unsafe_index_put"])
def test_index_put_sorts_where_it_adds(a100, name):
    """10 x 300 positions of 8 bytes, in six lists; an index of each dimension spreads over the other, None is all."""
    rows, columns = zeros(10, 1, dtype=torch.int64), zeros(300, dtype=torch.int64)
    into = zeros(5000, 8, 5000)

    assert taken(name, into, [rows, None, columns], zeros(1), True) == [24_000] * 6
    assert taken(name, into, [rows, None, columns], zeros(1), accumulate=True) == [24_000] * 6
    assert taken(name, into, [rows, None, columns], zeros(1)) == []


def test_index_put_sorts_where_it_must_be_deterministic(a100):
    """Even where it adds nothing."""
    torch.use_deterministic_algorithms(True)
    try:
        assert taken("index_put", zeros(50, 8), [zeros(10, dtype=torch.int64)], zeros(1)) == [80] * 6
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(("dtype", "element"), [(BF16, 4), (FLOAT, 4), (torch.float64, 8)])
def test_norms_of_a_list(a100, dtype, element):
    """The largest tensor has three chunks of 65,536 and less, and so has the other."""
    tensors = [zeros(2 * 65_536 + 1, dtype=dtype), zeros(10, dtype=dtype)]

    assert taken("_foreach_norm", tensors, 2) == [2 * 3 * element]


def test_norms_of_nothing(a100):
    """Empty tensors have no chunk."""
    assert taken("_foreach_norm", [zeros(0)], 2) == []


SQUARE = (4096, 4096)

# Four outputs are loaded at once: 1024 of them are 32 columns of blocks, each 32 wide and 4 high, of 1024 values to a
# thread. Of 128 threads an A100 holds 108 x 16 = 1728 blocks, 54 to a column, a T4 40 x 8 = 320, 10 to a column.
COLUMNS = [("a100-80gb", 54), ("t4", 10)]


@pytest.mark.parametrize(("gpu", "parts"), COLUMNS)
@pytest.mark.parametrize(("name", "args"), [
    ("sum", ([0],)), ("sum", ([-2], True)), ("mean", ([0],)), ("linalg_vector_norm", (2, [0])),
])  # fmt: skip
def test_a_sum_over_rows(on, gpu, parts, name, args):
    """Torch asks for 4 bytes an output, times its parts, times the 32 x 4 columns of a block."""
    on(gpu)

    assert taken(name, zeros(*SQUARE), *args) == [4 * 4096 * parts * 32 * 4]


def test_a_sum_over_rows_in_two_dimensions(a100):
    """Of batches and their tokens: they are one dimension."""
    assert taken("sum", zeros(4, 1024, 4096), [0, 1]) == taken("sum", zeros(*SQUARE), [0])


def test_a_sum_of_wide_numbers(a100):
    """Of 8 bytes, summed in 8."""
    assert taken("sum", zeros(*SQUARE, dtype=torch.float64), [0]) == [8 * 4096 * 54 * 32 * 4]


def test_a_norm_by_keyword(a100):
    """As torch passes it where it is given by name."""
    assert taken("linalg_vector_norm", zeros(*SQUARE), dim=[0]) == [4 * 4096 * 54 * 32 * 4]


@pytest.mark.parametrize(("shape", "dims"), [
    (SQUARE, [1]), (SQUARE, [0, 1]), (SQUARE, None), ((512, 4096), [0]), ((4096, 1), [0]),
])  # fmt: skip
def test_sums_that_take_nothing_to_speak_of(a100, shape, dims):
    """Over columns, over all, and over few rows: of 512 a thread sums 128 and no block needs help."""
    assert taken("sum", zeros(*shape), dims) == []
