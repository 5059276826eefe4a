"""DeepSpeed's engine where it is not installed."""

from __future__ import annotations

import sys

import pytest
import torch

from bench.errors import MissingPackageError
from bench.worker.devices.cpu import Cpu
from bench.worker.distributed.zero import zero


def test_without_deepspeed_the_extra_is_named(monkeypatch, tiny_config):
    """One line says what to install."""
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    config = tiny_config("full", study="distributed", strategy="zero2")

    with pytest.raises(MissingPackageError, match=r"pip install 'ftbench\[deepspeed\]'"):
        zero(2)(torch.nn.Linear(2, 2), config, Cpu())
