"""What the datasheets promise: dense peaks and memory bandwidth by GPU, and only for a GPU that is certain.

A name alone does not tell a product: an instance of MIG, a cut-down sibling and a laptop's chip
share names. So the multiprocessors and the memory must agree as well; else there is no peak.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bench.schema.catalogue import Scalar

GIB = 1024**3


class Peak(NamedTuple):
    """Dense operations a second without sparsity, accumulated in float32, and the clock (Hz) that number assumes."""

    flops: float
    clock: float | None

    def at(self, clock: float) -> float | None:
        """Return the peak at another clock in Hz; None where the datasheet's clock is not known."""
        return None if self.clock is None else self.flops * clock / self.clock


class Sku(NamedTuple):
    """One product: the name NVML gives it, what identifies it, and what its maker says it can do.

    `float32` is without tensor cores, so it holds where TF32 is off. `bandwidth` is in B/s.
    """

    name: str
    multiprocessors: int
    memory_gib: int
    bus_bits: int | None
    bandwidth: float | None
    bfloat16: Peak | None
    float16: Peak | None
    float32: Peak | None
    source: str

    def peak(self, dtype: str) -> Peak | None:
        """Return the peak of "bfloat16", "float16" or "float32"; None for what the product does not do or say."""
        return {"bfloat16": self.bfloat16, "float16": self.float16, "float32": self.float32}.get(dtype)


def _tera(flops: float, gigahertz: float | None = None) -> Peak:
    return Peak(flops * 1e12, None if gigahertz is None else round(gigahertz * 1e9))


def _both(half: Peak) -> tuple[Peak, Peak]:
    """bfloat16 and float16, which Ampere and its successors compute at one rate."""
    return half, half


A100, A100_FLOAT = _both(_tera(312, 1.41)), _tera(19.5, 1.41)
H100, H100_FLOAT = _both(_tera(989.4, 1.83)), _tera(66.9, 1.98)
NVL, NVL_FLOAT = _both(_tera(835.5)), _tera(60)

AMPERE = "NVIDIA A100 datasheet; whitepaper NVIDIA A100 Tensor Core GPU Architecture"
HOPPER = "NVIDIA H100 datasheet; whitepaper NVIDIA H100 Tensor Core GPU Architecture"
GA102 = "whitepaper NVIDIA Ampere GA102 GPU Architecture"
ADA = "whitepaper NVIDIA Ada GPU Architecture"
TURING = "whitepaper NVIDIA Turing GPU Architecture"

SKUS: tuple[Sku, ...] = (
    Sku("A100-SXM4-40GB", 108, 40, 5120, 1555e9, *A100, A100_FLOAT, AMPERE),
    Sku("A100-PCIE-40GB", 108, 40, 5120, 1555e9, *A100, A100_FLOAT, AMPERE),
    Sku("A100-SXM4-80GB", 108, 80, 5120, 2039e9, *A100, A100_FLOAT, AMPERE),
    Sku("A100 80GB PCIe", 108, 80, 5120, 1935e9, *A100, A100_FLOAT, AMPERE),
    Sku("A30", 56, 24, 3072, 933e9, *_both(_tera(165, 1.44)), _tera(10.3, 1.44), "NVIDIA A30 datasheet"),
    Sku("A40", 84, 48, 384, 696e9, *_both(_tera(149.7, 1.74)), _tera(37.4, 1.74), "NVIDIA A40 datasheet"),
    Sku("A10", 72, 24, 384, 600e9, *_both(_tera(125, 1.695)), _tera(31.2, 1.695), "NVIDIA A10 datasheet"),
    Sku("A10G", 80, 24, 384, 600e9, *_both(_tera(70, 1.71)), _tera(35, 1.71), "NVIDIA A10G datasheet, by AWS"),
    Sku("RTX A6000", 84, 48, 384, 768e9, *_both(_tera(154.8, 1.8)), _tera(38.7, 1.8), GA102),
    Sku("GeForce RTX 3090", 82, 24, 384, 936e9, *_both(_tera(71, 1.695)), _tera(35.6, 1.695), GA102),
    Sku("H100 80GB HBM3", 132, 80, 5120, 3352e9, *H100, H100_FLOAT, HOPPER),
    Sku("H100 PCIe", 114, 80, 5120, 2039e9, *_both(_tera(756, 1.62)), _tera(51.2, 1.755), HOPPER),
    Sku("H100 NVL", 132, 94, None, 3900e9, *NVL, NVL_FLOAT, "NVIDIA H100 datasheet"),
    Sku("H200", 132, 141, None, 4800e9, *H100, H100_FLOAT, "NVIDIA H200 datasheet; the chip of H100 SXM"),
    Sku("H200 NVL", 132, 141, None, 4800e9, *NVL, NVL_FLOAT, "NVIDIA H200 datasheet"),
    Sku("B200", 148, 180, None, None, *_both(_tera(2250)), None, "NVIDIA HGX B200 datasheet, an eighth"),
    Sku("L4", 58, 24, 192, 300e9, *_both(_tera(121, 2.04)), _tera(30.3, 2.04), "NVIDIA L4 datasheet"),
    Sku("L40", 142, 48, 384, 864e9, *_both(_tera(181.05, 2.49)), _tera(90.5, 2.49), "NVIDIA L40 datasheet"),
    Sku("L40S", 142, 48, 384, 864e9, *_both(_tera(362.05, 2.49)), _tera(91.6, 2.52), "NVIDIA L40S datasheet"),
    Sku("GeForce RTX 4090", 128, 24, 384, 1008e9, *_both(_tera(165.2, 2.52)), _tera(82.6, 2.52), ADA),
    Sku("Tesla V100-SXM2-16GB", 80, 16, 4096, 900e9, None, _tera(125, 1.53), _tera(15.7, 1.53),
        "NVIDIA V100 datasheet"),
    Sku("Tesla V100-SXM2-32GB", 80, 32, 4096, 900e9, None, _tera(125, 1.53), _tera(15.7, 1.53),
        "NVIDIA V100 datasheet"),
    Sku("Tesla T4", 40, 16, 256, 320e9, None, _tera(65, 1.59), _tera(8.1, 1.59), TURING),
)  # fmt: skip
"""GeForce cards halve their tensor cores' rate when they accumulate in float32, as training does; so do these."""


def identify(name: str, *, multiprocessors: int | None, memory: int | None, bus_bits: int | None = None) -> Sku | None:
    """Find the product by NVML's name, its multiprocessors and its memory in bytes; None unless all agree.

    `bus_bits` is checked where both sides know it. Older drivers leave "NVIDIA" out of the name.
    NVML's memory is up to a tenth below the product's: ECC and the driver keep some.
    """
    for sku in SKUS:
        if (
            name.removeprefix("NVIDIA ") == sku.name
            and multiprocessors == sku.multiprocessors
            and memory is not None
            and 0.9 * sku.memory_gib * GIB <= memory <= sku.memory_gib * GIB
            and (bus_bits is None or sku.bus_bits is None or bus_bits == sku.bus_bits)
        ):
            return sku
    return None


def of(environment: Mapping[str, Scalar]) -> Sku | None:
    """Find the product in a record's environment; None unless certain.

    Torch's count of multiprocessors (`torch.multiprocessors`) is what the run computed on; NVML's
    (`gpu.multiprocessors`) stands in for it, and must agree where both are known.
    """
    counts = {environment[key] for key in ("torch.multiprocessors", "gpu.multiprocessors") if key in environment}
    name = environment.get("gpu.name")
    if len(counts) != 1 or not isinstance(name, str):
        return None
    return identify(
        name,
        multiprocessors=_whole(counts.pop()),
        memory=_whole(environment.get("gpu.memory_bytes")),
        bus_bits=_whole(environment.get("gpu.memory_bus_bits")),
    )


def _whole(fact: Scalar | None) -> int | None:
    return fact if isinstance(fact, int) else None
