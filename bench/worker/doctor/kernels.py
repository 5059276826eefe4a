"""Are bitsandbytes' 4-bit kernels right here? One small layer against plain arithmetic."""

from __future__ import annotations

import bitsandbytes as bnb
import torch

from bench.worker.quantized import check_kernels, keep_weights_in_place


def checked(torch_name: str) -> str:
    """Check a layer of 256 x 128 in NF4; raises `KernelError` naming the operation that is off."""
    torch.manual_seed(0)
    layer = bnb.nn.Linear4bit(128, 256, bias=False, quant_type="nf4", compute_dtype=torch.float32)
    model = torch.nn.Sequential(layer).to(torch_name)
    keep_weights_in_place(model)
    check_kernels(model)
    return f"NF4 of bitsandbytes {bnb.__version__} agrees with plain arithmetic"
