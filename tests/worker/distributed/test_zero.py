"""DeepSpeed's engine: what it is not given."""

from __future__ import annotations

import sys

import pytest
import torch

from bench.errors import MissingPackageError, UnsupportedError
from bench.worker.devices.cpu import Cpu
from bench.worker.distributed.zero import engine_dtype, zero


def test_without_deepspeed_the_extra_is_named(monkeypatch, tiny_config):
    """One line says what to install."""
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    config = tiny_config("full", study="distributed", strategy="zero2")

    with pytest.raises(MissingPackageError, match=r"pip install 'ftbench\[deepspeed\]'"):
        zero(2)(torch.nn.Linear(2, 2), config, Cpu())


@pytest.mark.parametrize(
    ("settings", "dtype"),
    [
        ({"dtype": "bfloat16", "quant_storage": "bfloat16"}, "bfloat16"),
        ({"dtype": "bfloat16"}, "bfloat16"),
        ({"dtype": "float32", "quant_storage": "bfloat16"}, "float32"),
    ],
)
def test_bits_that_the_engine_leaves_alone_are_taken(tiny_config, settings, dtype):
    """It casts weights to its type, and none to float32."""
    assert engine_dtype(tiny_config("qlora", study="distributed", strategy="zero3", **settings)) == dtype


@pytest.mark.parametrize(
    "settings",
    [
        {"dtype": "bfloat16", "quant_storage": "float32"},
        {"dtype": "bfloat16", "autocast": "float16", "quant_storage": "bfloat16"},
    ],
)
def test_bits_stored_as_another_type_are_refused(tiny_config, settings):
    """The engine casts weights to its type, and 4-bit ones stored as another float type would lose bits."""
    config = tiny_config("qlora", study="distributed", strategy="zero3", **settings)

    with pytest.raises(UnsupportedError, match="use quant_storage="):
        engine_dtype(config)
