"""Optimisers by name. Each takes the parameters and the config and returns a torch optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from bench.errors import UnsupportedError
from bench.schema import RunConfig

Parameters = Iterable[torch.nn.Parameter]


def adamw(parameters: Parameters, config: RunConfig) -> torch.optim.Optimizer:
    """torch.optim.AdamW as torch chooses to run it."""
    return torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)


def adamw_fused(parameters: Parameters, config: RunConfig) -> torch.optim.Optimizer:
    """torch.optim.AdamW, one kernel a step."""
    return torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)


def adamw_8bit(parameters: Parameters, config: RunConfig) -> torch.optim.Optimizer:
    """bitsandbytes AdamW with 8-bit states."""
    return _of_bitsandbytes("AdamW8bit", parameters, config)


def adamw_32bit(parameters: Parameters, config: RunConfig) -> torch.optim.Optimizer:
    """bitsandbytes AdamW with 32-bit states."""
    return _of_bitsandbytes("AdamW32bit", parameters, config)


def paged_adamw_8bit(parameters: Parameters, config: RunConfig) -> torch.optim.Optimizer:
    """bitsandbytes AdamW with 8-bit states in managed memory."""
    return _of_bitsandbytes("PagedAdamW8bit", _pageable(parameters), config)


def paged_adamw_32bit(parameters: Parameters, config: RunConfig) -> torch.optim.Optimizer:
    """bitsandbytes AdamW with 32-bit states in managed memory."""
    return _of_bitsandbytes("PagedAdamW32bit", _pageable(parameters), config)


def _pageable(parameters: Parameters) -> list[torch.nn.Parameter]:
    """Refuse where bitsandbytes would quietly not page."""
    found = list(parameters)
    if any(p.device.type != "cuda" for p in found):
        raise UnsupportedError("paged optimisers need a CUDA GPU; elsewhere bitsandbytes pages nothing.")
    return found


def _of_bitsandbytes(name: str, parameters: Parameters, config: RunConfig) -> torch.optim.Optimizer:
    import bitsandbytes.optim

    kind: Callable[..., torch.optim.Optimizer] = getattr(bitsandbytes.optim, name)
    return kind(list(parameters), lr=config.learning_rate, weight_decay=config.weight_decay)
