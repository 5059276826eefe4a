"""The catalogue: peaks agree with the chips' arithmetic, only a certain GPU has one, and names lead to products."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UnknownNameError
from bench.schema import gpus
from bench.schema.gpus import ALIASES, GIB, SKUS, Peak, by_slug, identify
from bench.schema.totals import TOTALS

HALF = {
    "A100-SXM4-40GB": 2048, "A100-PCIE-40GB": 2048, "A100-SXM4-80GB": 2048, "A100 80GB PCIe": 2048, "A30": 2048,
    "A40": 1024, "A10": 1024, "RTX A6000": 1024, "A10G": 512, "GeForce RTX 3090": 512, "GeForce RTX 4090": 512,
    "H100 80GB HBM3": 4096, "H100 PCIe": 4096, "H200": 4096, "L4": 1024, "L40": 512, "L40S": 1024,
    "RTX 6000 Ada Generation": 1024, "GeForce RTX 5090": 512, "RTX PRO 6000 Blackwell Workstation Edition": 1024,
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
        ("NVIDIA GeForce RTX 5090", 170, 32607, 512),
        ("NVIDIA RTX 6000 Ada Generation", 142, 49140, 384),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 188, 97887, 512),
        ("NVIDIA GH200 480GB", 132, 97871, 6144),
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


def test_slugs_are_short_lower_case_and_each_products_own():
    """A slug can be typed and be a folder's name; no two products share one, and no alias hides one."""
    slugs = [sku.slug for sku in SKUS]
    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug) for slug in slugs)
    assert not ALIASES.keys() & set(slugs)


@pytest.mark.parametrize("sku", SKUS, ids=lambda sku: sku.slug)
def test_slugs_and_nvmls_names_lead_to_the_product(sku):
    """In any case, with spaces, underscores or hyphens, with or without the maker's name."""
    for name in (sku.slug, sku.slug.upper(), sku.slug.replace("-", "_"), sku.slug.replace("-", " ")):
        assert by_slug(name) is sku
    assert by_slug(sku.name) is by_slug(f"NVIDIA {sku.name}") is sku


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("A100-80GB", "a100-80gb"),
        ("A100", "a100-80gb"),
        ("H100", "h100-80gb"),
        ("H100 80GB", "h100-80gb"),
        ("L40S", "l40s"),
        ("4090", "rtx-4090"),
        ("RTX 6000 Ada", "rtx-6000-ada"),
        ("A6000", "rtx-a6000"),
    ],
)
def test_what_people_call_a_card_leads_to_the_common_one(name, slug):
    """The spellings the documentation uses, and a generation's name where one card is the usual one."""
    assert by_slug(name).slug == slug


def test_every_alias_leads_somewhere():
    """An alias that outlives its product would be found only by whoever types it."""
    assert {by_slug(name).slug for name in ALIASES} == set(ALIASES.values())


def test_an_unknown_card_is_refused_with_the_nearest():
    """The message names what was meant and lists what is known."""
    with pytest.raises(UnknownNameError, match=r"unknown GPU 'l40x'. Did you mean 'l40[s]?'\? Known: .*rtx-3090"):
        by_slug("L40X")
    for name in ("V100", "", "RTX"):
        with pytest.raises(UnknownNameError):
            by_slug(name)


@given(st.text())
def test_any_other_text_is_no_card(name):
    """Whatever is typed, it is a product or a refusal."""
    with suppress(UnknownNameError):
        assert by_slug(name) in SKUS


def test_the_sizes_people_buy_are_there():
    """A card of 16, 24, 32, 40, 48, 80, 94, 96 and 141 GB can be predicted for."""
    known = {sku.memory_gib for sku in SKUS if sku.memory_bytes is not None}
    assert known >= {16, 24, 32, 40, 48, 80, 94, 96, 141, 180}


@pytest.mark.parametrize("sku", SKUS, ids=lambda sku: sku.slug)
def test_cuda_sees_a_little_less_than_the_product_has(sku):
    """Between nine tenths and all of it, with where it was printed; or nothing, and why."""
    assert sku.memory_source
    assert sku.memory_bytes is None or 0.9 < sku.memory_bytes / (sku.memory_gib * GIB) < 1


@pytest.mark.parametrize(
    ("slug", "mebibytes"),
    [
        ("a100-40gb", 40960), ("a100-80gb", 81920), ("h100-80gb", 81559), ("h100-nvl", 95830), ("h200", 143771),
        ("a10g", 23028), ("l4", 23034), ("l40s", 46068), ("t4", 15360), ("rtx-4090", 24564), ("rtx-5090", 32607),
        ("rtx-6000-ada", 49140), ("rtx-pro-6000-server", 97887), ("b200", 183359), ("gh200", 97871),
    ],
)  # fmt: skip
def test_cuda_sees_less_than_nvml_does(slug, mebibytes):
    """NVML's total, as nvidia-smi prints it, includes up to 5 % that the driver keeps."""
    assert 0.94 < by_slug(slug).memory_bytes / (mebibytes * 1024**2) < 1


def test_every_total_belongs_to_a_product():
    """The table of totals and the table of products name the same cards."""
    assert TOTALS.keys() == {sku.slug for sku in SKUS}


def test_capabilities_are_those_of_the_chips():
    """One architecture a chip, so cards of one chip share a capability; each is NVIDIA's pair of numbers."""
    assert {sku.capability for sku in SKUS} == {(7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)}
    assert all((sku.capability >= (8, 0)) == (sku.bfloat16 is not None) for sku in SKUS)
