"""Paged optimiser state without a GPU: memory that torch's allocator never sees, as cudaMallocManaged's is.

bitsandbytes' own optimisers decide what is paged, and its own page manager keeps what was. Only what its C library
does is missing here: the memory, filling it, and moving its pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bitsandbytes.functional
import torch

from bench.worker.fake.replace import replaced


@contextmanager
def managed_memory() -> Iterator[None]:
    """Within the block paged state is fake, and a page manager of its own counts it."""
    functional = bitsandbytes.functional
    with (
        replaced(functional, "get_paged", get_paged),
        replaced(functional, "fill", lambda *_, **__: None),
        replaced(functional, "prefetch_tensor", lambda *_, **__: None),
        replaced(functional.GlobalPageManager, "_instance", None),
    ):
        yield


def get_paged(*shape: int, dtype: torch.dtype, device: torch.device) -> Any:
    """Stand for bitsandbytes' function of this name: a marked tensor on the host, as torch sees managed memory."""
    made: Any = torch.empty(shape, dtype=dtype, device="cpu")
    made.is_paged = True
    made.page_deviceid = device.index
    return made
