"""The products: what identifies each, and what its maker says it can do. `bench.schema.gpus` is the door."""

from __future__ import annotations

from typing import NamedTuple

from bench.schema.totals import TOTALS

GIB = 1024**3


class Peak(NamedTuple):
    """Dense operations a second without sparsity, accumulated in float32, and the clock (Hz) that number assumes."""

    flops: float
    clock: float | None

    def at(self, clock: float) -> float | None:
        """Return the peak at another clock in Hz; None where the datasheet's clock is not known."""
        return None if self.clock is None else self.flops * clock / self.clock


class Sku(NamedTuple):
    """One product: our name for it and NVML's, what identifies it, and what its maker says it can do.

    `slug` is for command lines and file names. `capability` is CUDA's (developer.nvidia.com/cuda-gpus).
    `memory_gib` is the number in the product's name or datasheet; `memory_bytes` is what a program sees of it.
    `float32` is without tensor cores, so it holds where TF32 is off. `bandwidth` is in B/s.
    """

    slug: str
    name: str
    capability: tuple[int, int]
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

    @property
    def memory_bytes(self) -> int | None:
        """Bytes that CUDA, and so torch, calls the card's total; None where no print of it was found."""
        return TOTALS[self.slug].bytes

    @property
    def memory_source(self) -> str:
        """Where `memory_bytes` was printed; or, where it is None, why."""
        return TOTALS[self.slug].source


def _tera(flops: float, gigahertz: float | None = None) -> Peak:
    return Peak(flops * 1e12, None if gigahertz is None else round(gigahertz * 1e9))


def _both(half: Peak) -> tuple[Peak, Peak]:
    """bfloat16 and float16, which Ampere and its successors compute at one rate."""
    return half, half


A100, A100_FLOAT = _both(_tera(312, 1.41)), _tera(19.5, 1.41)
H100, H100_FLOAT = _both(_tera(989.4, 1.83)), _tera(66.9, 1.98)
NVL, NVL_FLOAT = _both(_tera(835.5)), _tera(60)
V100 = (None, _tera(125, 1.53), _tera(15.7, 1.53))

AMPERE = "NVIDIA A100 datasheet; whitepaper NVIDIA A100 Tensor Core GPU Architecture"
HOPPER = "NVIDIA H100 datasheet; whitepaper NVIDIA H100 Tensor Core GPU Architecture"
GA102 = "whitepaper NVIDIA Ampere GA102 GPU Architecture"
ADA = "whitepaper NVIDIA Ada GPU Architecture"
TURING = "whitepaper NVIDIA Turing GPU Architecture"
VOLTA = "NVIDIA V100 datasheet"
BLACKWELL = "whitepaper NVIDIA RTX Blackwell GPU Architecture"
PRO = "whitepaper NVIDIA RTX PRO Blackwell GPU Architecture"

SKUS: tuple[Sku, ...] = (
    Sku("a100-40gb", "A100-SXM4-40GB", (8, 0), 108, 40, 5120, 1555e9, *A100, A100_FLOAT, AMPERE),
    Sku("a100-40gb-pcie", "A100-PCIE-40GB", (8, 0), 108, 40, 5120, 1555e9, *A100, A100_FLOAT, AMPERE),
    Sku("a100-80gb", "A100-SXM4-80GB", (8, 0), 108, 80, 5120, 2039e9, *A100, A100_FLOAT, AMPERE),
    Sku("a100-80gb-pcie", "A100 80GB PCIe", (8, 0), 108, 80, 5120, 1935e9, *A100, A100_FLOAT, AMPERE),
    Sku("a30", "A30", (8, 0), 56, 24, 3072, 933e9, *_both(_tera(165, 1.44)), _tera(10.3, 1.44),
        "NVIDIA A30 datasheet"),
    Sku("a40", "A40", (8, 6), 84, 48, 384, 696e9, *_both(_tera(149.7, 1.74)), _tera(37.4, 1.74),
        "NVIDIA A40 datasheet"),
    Sku("a10", "A10", (8, 6), 72, 24, 384, 600e9, *_both(_tera(125, 1.695)), _tera(31.2, 1.695),
        "NVIDIA A10 datasheet"),
    Sku("a10g", "A10G", (8, 6), 80, 24, 384, 600e9, *_both(_tera(70, 1.71)), _tera(35, 1.71),
        "NVIDIA A10G datasheet, by AWS"),
    Sku("rtx-a6000", "RTX A6000", (8, 6), 84, 48, 384, 768e9, *_both(_tera(154.8, 1.8)), _tera(38.7, 1.8), GA102),
    Sku("rtx-3090", "GeForce RTX 3090", (8, 6), 82, 24, 384, 936e9, *_both(_tera(71, 1.695)), _tera(35.6, 1.695),
        GA102),
    Sku("h100-80gb", "H100 80GB HBM3", (9, 0), 132, 80, 5120, 3352e9, *H100, H100_FLOAT, HOPPER),
    Sku("h100-pcie", "H100 PCIe", (9, 0), 114, 80, 5120, 2039e9, *_both(_tera(756, 1.62)), _tera(51.2, 1.755), HOPPER),
    Sku("h100-nvl", "H100 NVL", (9, 0), 132, 94, None, 3900e9, *NVL, NVL_FLOAT, "NVIDIA H100 datasheet"),
    Sku("h200", "H200", (9, 0), 132, 141, None, 4800e9, *H100, H100_FLOAT,
        "NVIDIA H200 datasheet; the chip of H100 SXM"),
    Sku("h200-nvl", "H200 NVL", (9, 0), 132, 141, None, 4800e9, *NVL, NVL_FLOAT, "NVIDIA H200 datasheet"),
    Sku("gh200", "GH200 480GB", (9, 0), 132, 96, None, 4000e9, *_both(_tera(990)), _tera(67),
        "NVIDIA GH200 datasheet, 96 GB of HBM3"),
    Sku("b200", "B200", (10, 0), 148, 180, None, None, *_both(_tera(2250)), None,
        "NVIDIA HGX B200 datasheet, an eighth"),
    Sku("l4", "L4", (8, 9), 58, 24, 192, 300e9, *_both(_tera(121, 2.04)), _tera(30.3, 2.04), "NVIDIA L4 datasheet"),
    Sku("l40", "L40", (8, 9), 142, 48, 384, 864e9, *_both(_tera(181.05, 2.49)), _tera(90.5, 2.49),
        "NVIDIA L40 datasheet"),
    Sku("l40s", "L40S", (8, 9), 142, 48, 384, 864e9, *_both(_tera(362.05, 2.49)), _tera(91.6, 2.52),
        "NVIDIA L40S datasheet"),
    Sku("rtx-4090", "GeForce RTX 4090", (8, 9), 128, 24, 384, 1008e9, *_both(_tera(165.2, 2.52)), _tera(82.6, 2.52),
        ADA),
    Sku("rtx-6000-ada", "RTX 6000 Ada Generation", (8, 9), 142, 48, 384, 960e9, *_both(_tera(364.2, 2.505)),
        _tera(91.1, 2.505), PRO),
    Sku("rtx-5090", "GeForce RTX 5090", (12, 0), 170, 32, 512, 1792e9, *_both(_tera(209.5, 2.407)),
        _tera(104.8, 2.407), BLACKWELL),
    Sku("rtx-pro-6000", "RTX PRO 6000 Blackwell Workstation Edition", (12, 0), 188, 96, 512, 1792e9,
        *_both(_tera(503.8, 2.617)), _tera(126, 2.617), PRO),
    Sku("rtx-pro-6000-server", "RTX PRO 6000 Blackwell Server Edition", (12, 0), 188, 96, 512, 1597e9,
        *_both(_tera(500)), _tera(120), "NVIDIA's page of the product; half of the petaflop it gives with sparsity"),
    Sku("v100-16gb", "Tesla V100-SXM2-16GB", (7, 0), 80, 16, 4096, 900e9, *V100, VOLTA),
    Sku("v100-32gb", "Tesla V100-SXM2-32GB", (7, 0), 80, 32, 4096, 900e9, *V100, VOLTA),
    Sku("t4", "Tesla T4", (7, 5), 40, 16, 256, 320e9, None, _tera(65, 1.59), _tera(8.1, 1.59), TURING),
)  # fmt: skip
"""GeForce cards halve their tensor cores' rate when they accumulate in float32, as training does; so do these."""
