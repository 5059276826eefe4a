"""Fixed work at both ends of a run: was the machine the same?"""

from __future__ import annotations

import time

import torch

from bench.worker.logbook import Logbook
from bench.worker.probes.canary import canary


def note(logbook: Logbook, when: str) -> None:
    """Keep the speed of a fixed matrix product and copy "before" or "after" a run; no memory left: absent."""
    logbook.enter("canary")
    start = time.perf_counter()
    try:
        heard = canary(logbook.device.torch_name, getattr(torch, logbook.config.dtype))
    except (RuntimeError, MemoryError) as error:
        if logbook.shortage(error) is None:
            raise
        logbook.absent[f"canary.gemm_{when}"] = logbook.absent[f"canary.copy_{when}"] = "no memory left for the canary."
        return
    logbook.metrics[f"canary.gemm_{when}"] = heard.gemm
    logbook.metrics[f"canary.copy_{when}"] = heard.copy
    seconds = logbook.metrics.get("canary.seconds", 0.0)
    logbook.metrics["canary.seconds"] = seconds + time.perf_counter() - start
