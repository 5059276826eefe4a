"""What the datasheet says the GPU of a run could do, kept in the record beside what the run did."""

from __future__ import annotations

from collections.abc import Mapping

from bench.schema import RunConfig, gpus
from bench.schema.catalogue import Scalar


def datasheet(environment: Mapping[str, Scalar], config: RunConfig) -> dict[str, Scalar]:
    """Return the dense peak in FLOP/s for the dtype a run computed in, and the clock in Hz it assumes; else nothing.

    Nothing for a CPU run, a product that is not certain, and float32 that may use TF32.
    """
    dtype = config.dtype if config.autocast == "none" else config.autocast
    product = gpus.of(environment) if config.device.startswith("cuda") else None
    peak = product.peak(dtype) if product else None
    if product is None or peak is None or (dtype == "float32" and environment.get("torch.tf32") is not False):
        return {}
    clock: dict[str, Scalar] = {"device.boost_clock": peak.clock} if peak.clock else {}
    return {"device.product": product.name, "device.peak_flops": peak.flops, **clock}
