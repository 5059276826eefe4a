"""The datasheets' peaks: they agree with the chips' arithmetic, and only a certain GPU has one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.schema import gpus
from bench.schema.gpus import GIB, SKUS, Peak, identify

HALF = {
    "A100-SXM4-40GB": 2048, "A100-PCIE-40GB": 2048, "A100-SXM4-80GB": 2048, "A100 80GB PCIe": 2048, "A30": 2048,
    "A40": 1024, "A10": 1024, "RTX A6000": 1024, "A10G": 512, "GeForce RTX 3090": 512, "GeForce RTX 4090": 512,
    "H100 80GB HBM3": 4096, "H100 PCIe": 4096, "H200": 4096, "L4": 1024, "L40": 512, "L40S": 1024,
    "Tesla V100-SXM2-16GB": 1024, "Tesla V100-SXM2-32GB": 1024, "Tesla T4": 1024,
}  # fmt: skip
"""Dense 16-bit operations a clock and multiprocessor, accumulated in float32."""
SINGLE = {name: 128 if name.startswith(("A100", "A30", "Tesla")) else 256 for name in HALF}
H100 = {
    "gpu.name": "NVIDIA H100 80GB HBM3",
    "gpu.memory_bytes": 81559 * 1024**2,
    "gpu.memory_bus_bits": 5120,
    "gpu.multiprocessors": 132,
}


@pytest.mark.parametrize("sku", SKUS, ids=lambda sku: sku.name)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_a_peak_is_multiprocessors_times_clock(sku, dtype):
    """Every peak whose clock is told is the product of the chip's parts, within the datasheet's rounding."""
    peak = sku.peak(dtype)
    if peak is None or peak.clock is None:
        assert (sku.name, dtype) not in {(name, "float32") for name in SINGLE}
        return
    rate = (SINGLE if dtype == "float32" else HALF)[sku.name]
    assert peak.flops == pytest.approx(sku.multiprocessors * rate * peak.clock, rel=0.012)


def test_sixteen_bits_are_bfloat_only_where_the_chip_has_it():
    """Volta and Turing have no bfloat16; everything newer computes both kinds alike."""
    for sku in SKUS:
        assert (sku.bfloat16 is None) == sku.name.startswith("Tesla")
        assert sku.float16 is not None
        assert sku.bfloat16 in {None, sku.float16}


def test_every_product_has_a_source_and_a_name_of_its_own():
    """No number without a document, no two products with one name."""
    assert all(sku.source for sku in SKUS)
    assert len({sku.name for sku in SKUS}) == len(SKUS)


@pytest.mark.parametrize(
    ("name", "multiprocessors", "mebibytes", "bus"),
    [
        ("NVIDIA H100 80GB HBM3", 132, 81559, 5120),
        ("NVIDIA H200", 132, 143771, 6144),
        ("NVIDIA A100-SXM4-40GB", 108, 40960, 5120),
        ("A100-SXM4-40GB", 108, 40536, None),
        ("NVIDIA H100 NVL", 132, 95830, 6016),
        ("NVIDIA L40S", 142, 46068, 384),
        ("NVIDIA A10G", 80, 23028, 384),
        ("NVIDIA GeForce RTX 4090", 128, 24564, 384),
        ("Tesla T4", 40, 15360, 256),
    ],
)
def test_known_products_are_identified(name, multiprocessors, mebibytes, bus):
    """What NVML says of real products leads to their entry, with ECC and with older drivers' names."""
    found = identify(name, multiprocessors=multiprocessors, memory=mebibytes * 1024**2, bus_bits=bus)
    assert found is not None
    assert name.endswith(found.name)


@pytest.mark.parametrize(
    "change",
    [
        {"gpu.name": "NVIDIA H100 80GB HBM3 MIG 1g.10gb"},
        {"gpu.name": "NVIDIA H800"},
        {"gpu.name": "NVIDIA GeForce RTX 4090 Laptop GPU"},
        {"gpu.name": None},
        {"gpu.multiprocessors": 114},
        {"gpu.multiprocessors": None},
        {"torch.multiprocessors": 16},
        {"torch.multiprocessors": 134},
        {"gpu.memory_bytes": 40 * GIB},
        {"gpu.memory_bytes": 96 * GIB},
        {"gpu.memory_bytes": None},
        {"gpu.memory_bus_bits": 6144},
    ],
)
def test_a_gpu_that_is_not_certain_has_no_peak(change):
    """One fact that disagrees or is missing, and there is no number."""
    environment = {key: value for key, value in {**H100, **change}.items() if value is not None}
    assert gpus.of(H100) is not None
    assert gpus.of(environment) is None


def test_torchs_count_stands_in_for_nvmls():
    """NVML before driver 510 does not count cores; torch does."""
    environment = {key: value for key, value in H100.items() if key != "gpu.multiprocessors"}
    found = gpus.of({**environment, "torch.multiprocessors": 132})
    assert found is not None
    assert found.peak("bfloat16") == Peak(989.4e12, 1.83e9)


def test_a_bus_that_is_not_told_does_not_matter():
    """The bus only confirms."""
    assert gpus.of({key: value for key, value in H100.items() if key != "gpu.memory_bus_bits"}) is not None


def test_an_unknown_dtype_has_no_peak():
    """No peak is borrowed from another type."""
    found = gpus.of(H100)
    assert found is not None
    assert found.peak("float64") is None


def test_the_peak_at_another_clock_is_proportional():
    """An H100 at 1.98 GHz could do 1070 TFLOP/s; where the datasheet's clock is unknown nothing is scaled."""
    found = gpus.of(H100)
    assert found is not None
    assert found.peak("bfloat16").at(1.98e9) == pytest.approx(1070.5e12, rel=1e-3)
    assert Peak(1e12, None).at(1e9) is None


@given(st.text(), st.integers(-(2**40), 2**40), st.integers(-(2**50), 2**50))
def test_any_other_name_is_nobody(name, multiprocessors, memory):
    """Whatever NVML might say, only exact agreement leads to an entry."""
    found = identify(name, multiprocessors=multiprocessors, memory=memory)
    assert found is None or found.name in name
