"""Can this build of torch simulate a GPU?"""

from __future__ import annotations

import torch

from bench.errors import UnsupportedError
from bench.worker.devices.fake import Fake

CARD = "a100-80gb"
ROWS, WIDTH = 1024, 4096
BFLOAT16 = 2


def checked() -> str:
    """Let a gradient be made on a simulated GPU, and hold its memory against the sum by hand.

    Raises `UnsupportedError` where this torch cannot, or counts something else. Changes the process for good.
    """
    with Fake(CARD) as device:
        weight = torch.empty(WIDTH, WIDTH, dtype=torch.bfloat16, device=device.torch_name, requires_grad=True)
        given = torch.empty(ROWS, WIDTH, dtype=torch.bfloat16, device=device.torch_name)
        before = device.cuda.memory_allocated()
        given.mul(weight[:ROWS]).sum().backward()  # type: ignore[no-untyped-call]
        found = device.cuda.memory_allocated() - before
    expected = WIDTH * WIDTH * BFLOAT16  # the gradient
    if found != expected:
        raise UnsupportedError(f"a simulated step holds {found} B where it should hold {expected} B.")
    return f"torch {torch.__version__} simulates GPUs: ftbench predict"
