"""Optimisers by name. Each takes the parameters and the config and returns a torch optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from bench.errors import UnsupportedError
from bench.schema import RunConfig

Parameters = Iterable[Any]
"""Parameters, or groups of them as torch's optimisers take them: {"params": ..., "lr": ...}."""


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


def lion_8bit(parameters: Parameters, config: RunConfig) -> torch.optim.Optimizer:
    """Lion (arXiv 2302.06675) of bitsandbytes with its one state in 8 bits."""
    return _of_bitsandbytes("Lion8bit", parameters, config)


def lion_32bit(parameters: Parameters, config: RunConfig) -> torch.optim.Optimizer:
    """Lion (arXiv 2302.06675) of bitsandbytes with its one state in 32 bits."""
    return _of_bitsandbytes("Lion32bit", parameters, config)


def ademamix_8bit(parameters: Parameters, config: RunConfig) -> torch.optim.Optimizer:
    """AdEMAMix (arXiv 2409.03137) of bitsandbytes with its three states in 8 bits."""
    return _of_bitsandbytes("AdEMAMix8bit", parameters, config)


def adafactor(parameters: Parameters, config: RunConfig) -> torch.optim.Optimizer:
    """torch.optim.Adafactor (arXiv 1804.04235): second moments as rows and columns; steps relative to the weights."""
    return torch.optim.Adafactor(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)


def muon(parameters: Parameters, config: RunConfig) -> torch.optim.Optimizer:
    """torch.optim.Muon with steps like AdamW's (arXiv 2502.16982). Raises `UnsupportedError` but for matrices."""
    try:
        return torch.optim.Muon(
            parameters, lr=config.learning_rate, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"
        )
    except ValueError as refusal:
        raise UnsupportedError(f"torch refuses: {refusal}") from refusal


NOT_PAGED = "paged optimisers need a CUDA GPU; elsewhere bitsandbytes pages nothing."
"""Why a paged optimiser is refused where bitsandbytes would quietly not page."""


def _pageable(parameters: Parameters) -> list[Any]:
    """Refuse where bitsandbytes would quietly not page; parameters may come in groups."""
    found = list(parameters)
    groups = [given["params"] if isinstance(given, dict) else [given] for given in found]
    if any(parameter.device.type != "cuda" for group in groups for parameter in group):
        raise UnsupportedError(NOT_PAGED)
    return found


def _of_bitsandbytes(name: str, parameters: Parameters, config: RunConfig) -> torch.optim.Optimizer:
    import bitsandbytes.optim

    kind: Callable[..., torch.optim.Optimizer] = getattr(bitsandbytes.optim, name)
    return kind(list(parameters), lr=config.learning_rate, weight_decay=config.weight_decay)
