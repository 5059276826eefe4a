"""How many weights a method trains follows from its definition; tiny-llama's count is worked out here by hand."""

from __future__ import annotations

import pytest

from bench.worker import resolved
from tests.worker.methods.small import SMALL, every_method

LAYERS, HIDDEN, KEYS, WIDE = 2, 64, 32, 192
Q, V = (64, 64), (64, 32)
"""Inputs and outputs of the layers that peft adapts by default."""
ALL = (Q, (64, 32), V, (64, 64), (64, 192), (64, 192), (192, 64))
"""Those of q, k, v, o, gate, up and down."""


def over(layers, count):
    """Sum a count of (inputs, outputs) over layers of this kind in both blocks."""
    return LAYERS * sum(count(inputs, outputs) for inputs, outputs in layers)


def low_rank(rank, layers=(Q, V)):
    return over(layers, lambda i, o: rank * (i + o))


LORA = low_rank(16, ALL)
MIRROR = 2 * (HIDDEN * HIDDEN + HIDDEN * KEYS) + 3 * HIDDEN * WIDE + 3 * HIDDEN
"""A Llama block and its norms, without embeddings."""

SIZES = {
    "full": 115_072,
    "lora": LORA, "qlora": LORA, "lora_8bit": LORA, "rslora": LORA, "loraplus": LORA, "lora_riemannian": LORA,
    "lora_orthogonal": LORA, "pissa": LORA, "olora": LORA, "velora": LORA, "eva": LORA, "loftq": LORA,
    "dora": LORA + over(ALL, lambda i, o: o),
    "kasa": LORA + over(ALL, lambda i, o: 16),
    "lorafa": over(ALL, lambda i, o: 16 * o),
    "mica": over(ALL, lambda i, o: 16 * i),
    # of q, k, v, gate and up B is half, of o and down A
    "bdlora": LORA - over((*ALL[:3], *ALL[4:6]), lambda i, o: 16 * o // 2) - over((ALL[3], ALL[6]), lambda i, o: 8 * i),
    "mora": over(ALL, lambda i, o: ({128: 44, 96: 38, 256: 64}[i + o]) ** 2),  # floor(sqrt((i + o) 16)), made even
    "adamix": 4 * LORA,
    "xlora": 4 * LORA + HIDDEN * 4 + 4,  # and a router from the last hidden state
    "adalora": over((Q, V), lambda i, o: 12 * (i + o + 1)),
    "vera": over((Q, V), lambda i, o: 256 + o),
    "pvera": over((Q, V), lambda i, o: 2 * 256 + o),
    "randlora": over((Q, V), lambda i, o: (min(i, o) // 8) * (8 + min(i, o))),
    "tinylora": LAYERS * 2 * 64,
    "unilora": 256,
    "vblora": 256 * 32 + over((Q, V), lambda i, o: 4 * 256 * (i + o) // 32),
    "lily": over((Q, V), lambda i, o: 32 * (i + 2)) + 2 * 32 * (64 + 32),
    "peanut": over((Q, V), lambda i, o: 2 * 32 * o),
    "loha": 2 * low_rank(8),
    "lokr": LAYERS * (8 * 8 + 8 * 8 + 4 * 8 + 8 * 8),
    "hira": low_rank(32),
    "glora": 2 * low_rank(8),  # Llama's layers have no bias, so there is nothing but scale and shift of weights
    "gralora": low_rank(32),
    "delora": low_rank(8) + LAYERS * 2,
    "deft": low_rank(8),
    "miss": over((Q, V), lambda i, o: 64 * o),
    "fourierft": LAYERS * 2 * 1000,
    "waveft": LAYERS * 2 * 64,
    "c3a": over((Q, V), lambda i, o: i * o // 32),
    "oft": over((Q, V), lambda i, o: i // 32 * (32 * 31 // 2)),
    "boft": over((Q, V), lambda i, o: i // 4 * 4 * 4 + o),
    "hra": over((Q, V), lambda i, o: 8 * i),
    "psoft": LAYERS * 2 * (8 * 7 // 2 + 8 + 8),
    "road": over((Q, V), lambda i, o: o),
    "frod": over((Q, V), lambda i, o: i + i * i // 100),
    "shira": low_rank(4),
    "supertuning": over((Q, V), lambda i, o: i * o // 100),
    "osf": over(ALL, lambda i, o: min(i, o) // 2 * (i + o + 1)),
    "ia3": LAYERS * (KEYS + KEYS + WIDE),  # outputs of k and v, inputs of down
    "beft": LAYERS * KEYS,
    "ln_tuning": (2 * LAYERS + 1) * HIDDEN,
    "trainable_tokens": HIDDEN,  # begin and end of text are one token
    "prompt_tuning": 20 * HIDDEN,
    "p_tuning": 20 * HIDDEN + 3 * (HIDDEN * HIDDEN + HIDDEN),
    "prefix_tuning": 20 * LAYERS * 2 * KEYS,
    "cartridge": 19 * LAYERS * 2 * KEYS,
    "adaption_prompt": LAYERS * (20 * HIDDEN + 1),
    "shadow": MIRROR + LAYERS * 2 * HIDDEN * 8 + LAYERS * 2 * (2 * HIDDEN * 8 + 8 + HIDDEN),
}  # fmt: skip


@pytest.mark.parametrize("method", [m for m in every_method() if m.values[0] != "adamss"])
def test_a_method_trains_as_many_weights_as_its_definition_says(prepared, tiny_config, method):
    """Ranks, block sizes and targets have reached peft, and nothing but the adapter is trained.

    AdaMSS is left out: how many weights it trains depends on clusters found in the base.
    """
    model = prepared(tiny_config(method, **SMALL.get(method, {})))

    assert resolved.counts(model)["parameters.trainable"] == SIZES[method]
