"""A record holds a datasheet's peak only where it applies to what the run did."""

from __future__ import annotations

import pytest

from bench.launch.datasheet import datasheet
from bench.schema.config import configure

H100 = {
    "gpu.name": "NVIDIA H100 80GB HBM3",
    "gpu.memory_bytes": 85_520_809_984,
    "torch.multiprocessors": 132,
    "torch.tf32": False,
}


def config(**settings):
    return configure(model="m", method="full", task="addition", **{"device": "cuda", "dtype": "bfloat16", **settings})


def test_a_certain_product_has_its_peak():
    """989.4 TFLOP/s at 1.83 GHz for bfloat16 on an H100 SXM, as its datasheet says."""
    assert datasheet(H100, config()) == {
        "device.product": "H100 80GB HBM3",
        "device.peak_flops": 989.4e12,
        "device.boost_clock": 1_830_000_000,
    }


def test_mixed_precision_counts_as_what_it_computes_in():
    """float32 weights under bfloat16 autocast are held against the bfloat16 peak."""
    assert datasheet(H100, config(dtype="float32", autocast="bfloat16"))["device.peak_flops"] == 989.4e12


@pytest.mark.parametrize(
    ("environment", "settings"),
    [
        (H100, {"device": "cpu"}),
        ({**H100, "torch.multiprocessors": 114}, {}),
        ({**H100, "gpu.name": "NVIDIA H100"}, {}),
        ({}, {}),
        ({**H100, "torch.tf32": True}, {"dtype": "float32"}),
    ],
)
def test_what_is_not_certain_has_none(environment, settings):
    """A CPU run, a product that does not fit in every respect, and float32 that may be TF32 get no peak."""
    assert datasheet(environment, config(**settings)) == {}
