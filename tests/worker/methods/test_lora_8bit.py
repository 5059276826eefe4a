"""The 8-bit base computes nearly what the plain one does, and the record says what it is."""

from __future__ import annotations

import pytest
import torch

from bench.worker import resolved

LARGEST_ERROR = 0.02
"""Of a model's output, relative: 127 steps to the largest weight of a row err by 0.4 % of it at most, in each of two
factors of every product."""


@pytest.mark.parametrize("threshold", [6.0, 0.0])
def test_an_untrained_adapter_on_8_bits_says_nearly_what_the_base_says(prepared, tiny_config, threshold):
    """Quantised and wrapped, the model's output differs by a percent or so, with outliers apart or not."""
    ids = torch.arange(1, 33)[None]
    base, wrapped = prepared(tiny_config("full")).eval(), prepared(tiny_config("lora_8bit", threshold=threshold)).eval()

    with torch.no_grad():
        right, found = base(ids).logits, wrapped(ids).logits.float()
    assert 0 < (found - right).norm() / right.norm() < LARGEST_ERROR


def test_the_record_says_8_bits(prepared, tiny_config):
    """Base, adapter and number of quantised layers are read off the model; a weight in 8 bits counts as one."""
    model = prepared(tiny_config("lora_8bit"))
    described = resolved.settings(model)

    assert described["base.quantization"] == "int8, inputs beyond 6 apart"
    assert described["base.quantized_layers"] == 14
    assert described["base.dtype"] == "float32"
    assert resolved.counts(model) == resolved.counts(prepared(tiny_config("lora")))
