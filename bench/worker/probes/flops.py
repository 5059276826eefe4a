"""FLOPs of a training step: the matrix products that forward and backward need, read off the built model.

One forward pass over three tokens is watched: every product, its size, and which of its two
sides wants a gradient. What a step of any size costs follows from that, exactly as
`torch.utils.flop_counter` counts it, also where 4-bit layers hide their products from that
counter. A pass whose products the formula does not explain is refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.errors import UnsupportedError
from bench.worker.probes.products import Products

TOKENS = 3
"""Tokens of the watched pass, all of one sequence: an odd number, because no head is that wide."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model multiplies every token with, and how far gradients reach.

    `weights` counts the weights of all layers that are matrix products: adapters and the output
    head, tied or not, but no embedding, which is a look-up. `input_gradients` counts those of
    them whose input wants a gradient, `weight_gradients` those that want one themselves.
    `attention` sums query heads x head width over the two products of every layer's attention,
    `attention_gradients` over the up to four products that give their gradients. `window` is the
    smallest sliding window in tokens, 0 where attention has none: it counts in full all the same.
    """

    weights: int
    input_gradients: int
    weight_gradients: int
    attention: int
    attention_gradients: int
    window: int = 0


def flops_of_step(shape: Shape, tokens: int, sequence_length: int) -> int:
    """Count the FLOPs of forward and backward over `tokens` positions, padding too, in rows of `sequence_length`.

    With N weights, all trained, that is 6 N a token; with N frozen and L in adapters 4 N + 6 L,
    less the gradients of the first layer's input where nothing wants them; and attention on top,
    every position seeing all others, as torch's counter has it. Recomputation by checkpointing,
    dequantisation and the optimiser do not count.
    """
    linear = shape.weights + shape.input_gradients + shape.weight_gradients
    attention = shape.attention + shape.attention_gradients
    return 2 * tokens * (linear + sequence_length * attention)


def shape_of(model: Any) -> Shape:
    """Watch a forward pass of three tokens; the model, its gradients and the random state stay as they were.

    Call it outside of everything measured, in the precision (autocast) of training. Raises
    `UnsupportedError` where the formula would be wrong or cannot be checked.
    """
    try:
        _refuse_hidden(model)
        with ExitStack() as stack:
            device = next(model.parameters()).device
            stack.enter_context(
                torch.random.fork_rng([] if device.type == "cpu" else [device], device_type=device.type)
            )
            stack.enter_context(_plain(model))
            stack.enter_context(torch.enable_grad())
            counter = stack.enter_context(FlopCounterMode(display=False))
            seen = stack.enter_context(Products(model, TOKENS, counter))
            model(input_ids=torch.zeros(1, TOKENS, dtype=torch.long, device=device), use_cache=False)
        _check(seen, counter.get_total_flops())
    except (UnsupportedError, RuntimeError, ValueError, TypeError, AttributeError) as failure:
        raise UnsupportedError(f"FLOPs of this model are unknown: {failure}") from failure
    return Shape(
        weights=seen.weights,
        input_gradients=seen.input_gradients,
        weight_gradients=seen.weight_gradients,
        attention=seen.attention,
        attention_gradients=seen.attention_gradients,
        window=_window(model.config),
    )


def _check(seen: Products, counted: int) -> None:
    """Refuse where torch's counter, which looks below Python, has seen more or less than was watched."""
    expected = 2 * TOKENS * (seen.weights + TOKENS * seen.attention) - seen.hidden
    found = counted - seen.beside
    if found != expected:
        raise UnsupportedError(
            f"torch counts {found:,} in a pass over {TOKENS} tokens where the formula has {expected:,}."
        )


def _refuse_hidden(model: Any) -> None:
    """Refuse what neither the watch nor torch's counter would see."""
    quantization = getattr(model.config, "quantization_config", None)
    if quantization is not None and "bitsandbytes" not in str(quantization):
        raise UnsupportedError("its layers are quantised by something else than bitsandbytes.")
    for name, parameter in model.named_parameters():
        if parameter.dim() > 2:
            raise UnsupportedError(f"{name} has {parameter.dim()} dimensions, as routed experts and convolutions have.")


@contextmanager
def _plain(model: Any) -> Iterator[None]:
    """Within the block nothing is checkpointed and attention is made of plain products."""
    checkpointed = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
    attention = model.config._attn_implementation
    try:
        for module in checkpointed:
            module.gradient_checkpointing = False
        model.set_attn_implementation("eager")
        yield
    finally:
        model.set_attn_implementation(attention)
        for module in checkpointed:
            module.gradient_checkpointing = True


def _window(config: Any) -> int:
    sliding = "sliding_attention" in (getattr(config, "layer_types", None) or ["sliding_attention"])
    return int(getattr(config, "sliding_window", None) or 0) if sliding else 0
