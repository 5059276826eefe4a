"""The catalogue of GPUs: found by the name a person gives, or by what a machine says, and then only if certain.

A name alone does not tell a product to a run that measures: an instance of MIG, a cut-down sibling and a laptop's
chip share names. So the multiprocessors and the memory must agree as well; else there is no peak.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.errors import UnknownNameError
from bench.schema.catalogue import Scalar
from bench.schema.skus import GIB, SKUS, Peak, Sku

__all__ = ["GIB", "SKUS", "Peak", "Sku", "by_slug", "identify", "of"]

ALIASES: Mapping[str, str] = MappingProxyType({
    "a100": "a100-80gb",
    "h100": "h100-80gb",
    "h100-sxm": "h100-80gb",
    "a6000": "rtx-a6000",
    "6000-ada": "rtx-6000-ada",
    "3090": "rtx-3090",
    "4090": "rtx-4090",
    "5090": "rtx-5090",
})  # fmt: skip
"""What people say. A100 and H100 are the SXM modules of 80 GB, the commonest; a V100 alone would be a guess."""


def by_slug(name: str) -> Sku:
    """Find a product by its slug, what people call it, or NVML's name, in any case and with spaces or hyphens.

    Raises `UnknownNameError` with the nearest slug.
    """
    wanted = "-".join(name.lower().replace("_", "-").split()).removeprefix("nvidia-")
    wanted = ALIASES.get(wanted, wanted)
    for sku in SKUS:
        if wanted in {sku.slug, "-".join(sku.name.lower().split())}:
            return sku
    raise UnknownNameError("GPU", wanted, [sku.slug for sku in SKUS])


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
