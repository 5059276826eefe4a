"""What CUDA calls the total memory of a product: less than it has, more than a program gets.

One quantity: `cudaDeviceProp.totalGlobalMem`, which torch gives as `total_memory`, `cudaMemGetInfo` as total and an
out-of-memory message as "total capacity", on Linux. NVML's total is larger, for it counts what the driver keeps.
Error correction takes a sixteenth of GDDR6: the data-centre cards' figures are with it, those of RTX cards without.

Each figure is one that a program printed in public, rounded as it was there: "deviceQuery" of NVIDIA's CUDA samples
prints bytes, torch's `get_device_properties` whole MiB, Unsloth's banner 0.001 GiB, an out-of-memory message
0.01 GiB. Drivers differ by up to half a percent, so the figure printed with the newest driver was taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Total(NamedTuple):
    """Total memory in bytes and where it was printed; without bytes, `source` is the reason."""

    bytes: int | None
    source: str


def _gib(gib: float, source: str) -> Total:
    return Total(round(gib * 1024**3), source)


def _mib(mib: int, source: str) -> Total:
    return Total(mib * 1024**2, source)


TOTALS: Mapping[str, Total] = MappingProxyType({
    "a100-40gb": Total(
        42_405_855_232, "deviceQuery, https://upb-pc2.atlassian.net/wiki/spaces/PC2DOK/pages/1900609; 39.494 GiB in "
        "Unsloth 2026.6.8's banner, torch 2.9.1+cu128"),
    "a100-40gb-pcie": Total(42_405_855_232, "deviceQuery, driver for CUDA 13.0"),
    "a100-80gb": _gib(79.251, "Unsloth's banner, torch 2.11.0+cu128; 79.151 GiB with torch 2.6.0+cu124"),
    "a100-80gb-pcie": Total(84_974_239_744, "deviceQuery, driver for CUDA 12.4; 79.151 GiB in Unsloth's banner"),
    "a30": Total(None, "no public print of what CUDA calls its total was found; NVML's 24576 MiB is all it has"),
    "a40": _gib(44.549, "Unsloth 2026.1.3's banner, torch 2.9.1+cu128; 45403 MiB, deviceQuery, CUDA 12.4"),
    "a10": Total(23_696_375_808, "deviceQuery, driver for CUDA 12.8"),
    "a10g": _gib(21.988, "Unsloth 2024.8's banner, torch 2.3.1+cu121; github.com/mistralai/mistral-finetune/issues/69"),
    "rtx-a6000": _gib(47.431, "Unsloth 2025.9.11's banner, torch 2.8.0+cu128, without error correction; 44.427 with"),
    "rtx-3090": _gib(23.56, "out-of-memory messages of 2026; 23.684 in Unsloth 2025.8.4's banner, torch 2.7.1+cu126"),
    "h100-80gb": Total(
        85_017_755_648, "deviceQuery, driver for CUDA 13.0; 79.179 GiB in Unsloth 2026.8.9's banner; 79.11 GiB in "
        "github.com/vllm-project/vllm/issues/27508"),
    "h100-pcie": _mib(81_008, "torch's get_device_properties, in a log of the product's first year"),
    "h100-nvl": _gib(93.00, "out-of-memory message, github.com/ali-vilab/VACE/issues/56; 93.016 in Unsloth's banner"),
    "h200": _mib(143_156, "torch's get_device_properties; 139.801 GiB in Unsloth 2026.4.8's banner"),
    "h200-nvl": _gib(139.801, "Unsloth 2025.9.11's banner, torch 2.8.0+cu128"),
    "gh200": Total(
        101_468_602_368, "deviceQuery of a GH200 120GB, the same GPU with less host memory, driver for CUDA 12.9; "
        "102,005,473,280 B of a GH200 480GB, CUDA 12.2"),
    "b200": _gib(178.351, "Unsloth 2025.12.9's banner, github.com/unslothai/unsloth/issues/3872"),
    "l4": _gib(22.034, "Unsloth's banner, 2026; 22.161 with torch 2.8.0+cu126 in 2025"),
    "l40": _gib(44.40, "out-of-memory message, github.com/QwenLM/Qwen3-VL/issues/2097"),
    "l40s": _gib(
        44.392, "Unsloth 2026.10.2's banner; 44.52 in github.com/huggingface/sentence-transformers/issues/3214, 2025"),
    "rtx-4090": _gib(23.514, "Unsloth 2025.10.12's banner, github.com/unslothai/unsloth/issues/3542"),
    "rtx-6000-ada": Total(
        50_865_307_648, "torch's total_memory, github.com/unslothai/unsloth-zoo/pull/1053, without error correction; "
        "44.43 GiB with it, github.com/DINGYANB/MTVCrafter/issues/21"),
    "rtx-5090": _gib(
        31.342, "Unsloth 2026.6.7's banner, torch 2.10.0+cu128; 33,677,180,928 B with driver 570, "
        "github.com/aikitoria/open-gpu-kernel-modules/issues/1"),
    "rtx-pro-6000": Total(None, "no public print of what CUDA calls its total on Linux was found; 97887 MiB by NVML"),
    "rtx-pro-6000-server": _gib(94.971, "Unsloth's banner, torch 2.10.0+cu128"),
    "v100-16gb": Total(16_928_342_016, "deviceQuery, driver for CUDA 12.4; 15.766 GiB in Unsloth 2025.5.7's banner"),
    "v100-32gb": Total(34_072_559_616, "deviceQuery, driver for CUDA 12.9"),
    "t4": _gib(14.563, "Unsloth 2026.4.4's banner, torch 2.10.0+cu128; 14.741 with torch 2.8.0+cu126"),
})  # fmt: skip
"""By slug of `bench.schema.gpus`. A banner or message without an address is a log in a public repository."""
